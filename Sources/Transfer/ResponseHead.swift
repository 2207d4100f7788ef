internal import Platform

/// An entity tag (RFC 9110 section 8.8.3).
struct EntityTag: Equatable {
    /// The opaque part with its quotes.
    let opaque: [UInt8]
    let isWeak: Bool

    /// Nil for what is no entity tag, or one that cannot be sent back unchanged (bytes outside visible ASCII).
    init?(_ value: ArraySlice<UInt8>) {
        isWeak = value.starts(with: "W/".utf8)
        let quoted = isWeak ? value.dropFirst(2) : value
        guard quoted.count >= 2, quoted.count <= 1024, quoted.first == 0x22, quoted.last == 0x22 else { return nil }
        for byte in quoted.dropFirst().dropLast() where byte <= 0x20 || byte >= 0x7f || byte == 0x22 { return nil }
        opaque = Array(quoted)
    }

    /// As If-Range needs it: a weak tag says nothing about bytes (RFC 9110 section 13.1.5).
    var strongText: String? { isWeak ? nil : String(decoding: opaque, as: UTF8.self) }
}

/// A Content-Range (RFC 9110 section 14.4).
enum ContentRange: Equatable {
    /// First and last byte, both included, and the length of the whole object.
    case part(first: UInt64, last: UInt64, total: UInt64)
    /// `bytes */N` of a 416.
    case unsatisfied(total: UInt64)
    /// Another unit, an unknown total, or nonsense.
    case unusable

    init(_ value: ArraySlice<UInt8>) {
        self = .unusable
        guard value.count > 6, lowered(value.prefix(6)).elementsEqual("bytes ".utf8) else { return }
        let body = value.dropFirst(6)
        guard let slash = body.firstIndex(of: 0x2f), let total = decimal(body[(slash + 1)...]) else { return }
        let range = body[..<slash]
        if range.elementsEqual("*".utf8) {
            self = .unsatisfied(total: total)
            return
        }
        guard let dash = range.firstIndex(of: 0x2d), let first = decimal(range[..<dash]),
            let last = decimal(range[(dash + 1)...]), first <= last, last < total
        else { return }
        self = .part(first: first, last: last, total: total)
    }
}

/// The parts of a response's head that decide about its body.
struct ResponseHead {
    private(set) var status = 0
    private(set) var contentRange: ContentRange?
    private(set) var contentLength: UInt64?
    private(set) var entityTag: EntityTag?
    private(set) var isEncoded = false
    private(set) var isWebPage = false
    private(set) var isMultipart = false
    private(set) var retryAfterSeconds: UInt64?
    /// The raw value of Location.
    private(set) var location: [UInt8]?
    /// A header that must come once came twice with different values, or a length is no number.
    private(set) var isContradictory = false

    /// Whether libcurl will follow it.
    var isRedirect: Bool { status >= 300 && status < 400 && location != nil }

    /// Starts a head from its status line (`HTTP/1.1 206 Partial Content`); nil for any other line.
    init?(statusLine line: [UInt8]) {
        guard line.starts(with: "HTTP/".utf8), let space = line.firstIndex(of: 0x20) else { return nil }
        let digits = line[(space + 1)...].prefix(3)
        guard digits.count == 3, let status = decimal(digits) else { return nil }
        self.status = Int(status)
    }

    /// Takes one header line, without its line end. Unknown ones are ignored, and so are continuation lines
    /// (RFC 9112 section 5.2 retired them).
    mutating func take(_ line: [UInt8]) {
        guard let colon = line.firstIndex(of: 0x3a) else { return }
        let name = lowered(line[..<colon])
        let value = trimmed(line[(colon + 1)...])
        if name.elementsEqual("content-range".utf8) {
            if conflicts(&contentRange, ContentRange(value)) { isContradictory = true }
        } else if name.elementsEqual("content-length".utf8) {
            guard let length = decimal(value) else {
                isContradictory = true
                return
            }
            if conflicts(&contentLength, length) { isContradictory = true }
        } else if name.elementsEqual("etag".utf8) {
            if let tag = EntityTag(value), conflicts(&entityTag, tag) { isContradictory = true }
        } else if name.elementsEqual("content-encoding".utf8) {
            if !value.isEmpty && !lowered(value).elementsEqual("identity".utf8) { isEncoded = true }
        } else if name.elementsEqual("content-type".utf8) {
            let type = lowered(value)
            isWebPage = type.starts(with: "text/html".utf8) || type.starts(with: "application/xhtml".utf8)
            isMultipart = type.starts(with: "multipart/".utf8)
        } else if name.elementsEqual("retry-after".utf8) {
            retryAfterSeconds = decimal(value)
        } else if name.elementsEqual("location".utf8) {
            location = Array(value)
        }
    }
}

/// Sets the field; whether it held another value before.
private func conflicts<Value: Equatable>(_ field: inout Value?, _ value: Value) -> Bool {
    defer { field = value }
    guard let present = field else { return false }
    return present != value
}

/// ASCII lower case; String's own needs Unicode tables on the device.
func lowered(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    bytes.map { $0 >= 0x41 && $0 <= 0x5a ? $0 + 0x20 : $0 }
}

/// Without blanks and line ends at both sides.
private func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    var rest = bytes
    while let first = rest.first, first <= 0x20 { rest = rest.dropFirst() }
    while let last = rest.last, last <= 0x20 { rest = rest.dropLast() }
    return rest
}

/// A number of digits only, as HTTP's lengths are; nil for anything else or what UInt64 cannot hold.
private func decimal(_ digits: ArraySlice<UInt8>) -> UInt64? {
    guard !digits.isEmpty, digits.count <= 20 else { return nil }
    var value: UInt64 = 0
    for digit in digits {
        guard digit >= 0x30, digit <= 0x39 else { return nil }
        let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
        let (sum, carry) = tens.addingReportingOverflow(UInt64(digit - 0x30))
        if overflow || carry { return nil }
        value = sum
    }
    return value
}
