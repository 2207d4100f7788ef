internal import CCurl

/// An http or https URL that was checked. It may hold credentials and a signed query, so it describes itself
/// without them and its text stays inside the module.
public struct HTTPAddress: Sendable, Equatable, CustomStringConvertible {
    /// The whole URL, secrets included.
    let text: String
    /// Scheme, host, port and path: for messages.
    public let displayName: String
    /// Whether it is https.
    public let isSecure: Bool

    public var description: String { displayName }

    /// Longest URL in bytes.
    static let limit = 8192

    /// Checks a URL; anything else is `TransferError.location`.
    public init(_ text: String) throws(TransferError) {
        let bytes = Array(text.utf8)
        guard bytes.count <= Self.limit else {
            throw TransferError.location(reason: "the URL is longer than \(Self.limit) bytes")
        }
        for byte in bytes where byte <= 0x20 || byte >= 0x7f {
            throw TransferError.location(reason: "the URL has characters that must be percent-encoded")
        }
        // libcurl would take `http:/host` and `http:///host` too and guess.
        guard let colon = bytes.firstIndex(of: 0x3a), bytes[(colon + 1)...].starts(with: "//".utf8),
            !bytes[(colon + 1)...].starts(with: "///".utf8)
        else { throw TransferError.location(reason: "the URL must have the form http(s)://host/path") }
        guard let url = unsafe curl_url() else {
            throw TransferError.network(.library, source: "libcurl", detail: "out of memory")
        }
        defer { unsafe curl_url_cleanup(url) }
        let code = unsafe curl_url_set(url, CURLUPART_URL, text, 0)
        guard code == CURLUE_OK else {
            throw TransferError.location(reason: "the URL is malformed: \(describe(code))")
        }
        let scheme = unsafe part(CURLUPART_SCHEME, of: url) ?? ""
        let secure = scheme.utf8.elementsEqual("https".utf8)
        guard secure || scheme.utf8.elementsEqual("http".utf8) else {
            throw TransferError.location(reason: "the scheme \(scheme) is not supported")
        }
        guard let host = unsafe part(CURLUPART_HOST, of: url), !host.utf8.isEmpty else {
            throw TransferError.location(reason: "the URL names no host")
        }
        let port = unsafe part(CURLUPART_PORT, of: url).map { ":" + $0 } ?? ""
        let path = unsafe part(CURLUPART_PATH, of: url) ?? "/"
        displayName = scheme + "://" + host + port + path
        isSecure = secure
        self.text = text
    }
}

private func describe(_ code: CURLUcode) -> String {
    guard let text = unsafe curl_url_strerror(code) else { return "error \(code.rawValue)" }
    return unsafe String(cString: text)
}

/// One part of a parsed URL; nil when it has none.
@unsafe private func part(_ what: CURLUPart, of url: OpaquePointer) -> String? {
    var value: UnsafeMutablePointer<CChar>?
    guard unsafe curl_url_get(url, what, &value, 0) == CURLUE_OK, let text = unsafe value else { return nil }
    defer { unsafe curl_free(text) }
    return unsafe String(cString: text)
}
