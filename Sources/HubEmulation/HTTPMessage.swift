internal import StrictJSON

/// A request to the service API (HTTP/1.1 with a body of known length: all that the official clients send).
public struct HTTPRequest: Equatable, Sendable {
    public var method: String
    /// Decoded parts of the path.
    public var path: [String]
    /// Decoded, in the order given.
    public var query: [String: String]
    /// Names in lower case.
    public var headers: [String: String]
    public var body: [UInt8]
    public var closesConnection: Bool
}

/// An answer of the service API.
public struct HTTPResponse: Equatable, Sendable {
    public var status: Int
    public var headers: [(name: String, value: String)] = []
    public var type = "application/json; charset=utf-8"
    public var body: [UInt8]

    public static func == (left: Self, right: Self) -> Bool {
        left.status == right.status && left.body == right.body && left.type == right.type
    }

    static func json(_ value: JSONValue, status: Int = 200) -> HTTPResponse {
        HTTPResponse(status: status, body: value.bytes)
    }

    static let empty = HTTPResponse(status: 204, body: [])

    /// An error in the service's form.
    static func error(_ status: Int, _ name: String, _ message: String) -> HTTPResponse {
        let text = "ErrorCode:\(name);\(message)"
        return json(.members([("Message", .string(text)), ("ExceptionMessage", .string(""))]), status: status)
    }

    /// The bytes on the wire.
    func encoded(closing: Bool) -> [UInt8] {
        var head = "HTTP/1.1 \(status) \(Self.reason(status))\r\n"
        if status != 204 { head += "Content-Type: \(type)\r\n" }
        head += "Content-Length: \(body.count)\r\n"
        for header in headers { head += "\(header.name): \(header.value)\r\n" }
        head += closing ? "Connection: close\r\n\r\n" : "\r\n"
        return Array(head.utf8) + body
    }

    private static func reason(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 409: "Conflict"
        case 412: "Precondition Failed"
        case 413: "Content Too Large"
        case 429: "Too Many Requests"
        case 504: "Gateway Timeout"
        default: "Status"
        }
    }
}

/// Cuts the bytes of one connection into requests.
struct HTTPRequestDecoder {
    static let longestHead = 64 * 1024
    static let longestBody = 1024 * 1024
    private var pending: [UInt8] = []

    /// Why a connection cannot go on.
    enum Failure: Error, Equatable {
        case malformed, tooLarge
    }

    mutating func append(_ bytes: [UInt8]) { pending += bytes }

    /// The next whole request, or nil when more bytes must come first.
    mutating func next() throws(Failure) -> HTTPRequest? {
        guard let end = Self.endOfHead(pending) else {
            if pending.count > Self.longestHead { throw .tooLarge }
            return nil
        }
        guard let head = String(validating: pending[0..<end], as: UTF8.self) else { throw .malformed }
        var lines = head.split(separator: "\r\n", omittingEmptySubsequences: false)[...]
        guard let first = lines.popFirst() else { throw .malformed }
        let words = first.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 3, words[2].hasPrefix("HTTP/1.") else { throw .malformed }
        var headers: [String: String] = [:]
        for line in lines where !line.isEmpty {
            let halves = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard halves.count == 2 else { throw .malformed }
            headers[halves[0].lowercased()] = Self.trimmed(halves[1])
        }
        if headers["transfer-encoding"] != nil { throw .malformed }
        guard let length = Int(headers["content-length"] ?? "0"), length >= 0 else { throw .malformed }
        if length > Self.longestBody { throw .tooLarge }
        let start = end + 4
        guard pending.count >= start + length else { return nil }
        let target = words[1].split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        var path: [String] = []
        for part in target[0].split(separator: "/") {
            guard let name = PercentText.decode(part) else { throw .malformed }
            path.append(name)
        }
        var query: [String: String] = [:]
        for pair in PercentText.pairs(target.count > 1 ? target[1] : "") { query[pair.name] = pair.value }
        let body = Array(pending[start..<(start + length)])
        pending.removeFirst(start + length)
        let isOld = words[2] == "HTTP/1.0"
        let closes = headers["connection"]?.lowercased() == "close" || isOld
        return HTTPRequest(
            method: String(words[0]), path: path, query: query, headers: headers, body: body, closesConnection: closes)
    }

    private static func endOfHead(_ bytes: [UInt8]) -> Int? {
        guard bytes.count >= 4 else { return nil }
        for index in 0...(bytes.count - 4) where bytes[index] == 13 {
            if bytes[index + 1] == 10, bytes[index + 2] == 13, bytes[index + 3] == 10 { return index }
        }
        return nil
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text
        while text.first == " " || text.first == "\t" { text.removeFirst() }
        while text.last == " " || text.last == "\t" { text.removeLast() }
        return String(text)
    }
}
