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
    /// Host, with the brackets of an IPv6 address, and port.
    let host: String
    let port: String
    /// Whether the query holds a signature (Azure SAS, S3, CloudFront, Google): such an address runs out.
    let isSigned: Bool

    /// Port 443 of https, or 80 of http.
    var isStandardPort: Bool { port.utf8.elementsEqual((isSecure ? "443" : "80").utf8) }

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
        guard let url = unsafe curl(nil, { unsafe curl_url() }) else {
            throw TransferError.network(.library, source: "libcurl", detail: "out of memory")
        }
        defer { unsafe curl_url_cleanup(url) }
        let code = curl(CURLUE_OUT_OF_MEMORY) { unsafe curl_url_set(url, CURLUPART_URL, text, 0) }
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
        let ownPort = unsafe part(CURLUPART_PORT, of: url)
        let path = unsafe part(CURLUPART_PATH, of: url) ?? "/"
        displayName = scheme + "://" + host + (ownPort.map { ":" + $0 } ?? "") + path
        isSecure = secure
        self.host = host
        port = ownPort ?? (secure ? "443" : "80")
        isSigned = Self.holdsSignature(unsafe part(CURLUPART_QUERY, of: url) ?? "")
        self.text = text
    }

    /// Names of query members that hold a signature: `sig` (Azure), `X-Amz-Signature`, `Signature` (CloudFront, S3
    /// before version 4), `X-Goog-Signature`, `verify` and `token` (other CDNs).
    private static let signatures = [
        "sig", "x-amz-signature", "signature", "x-goog-signature", "verify", "token",
    ]

    private static func holdsSignature(_ query: String) -> Bool {
        for member in query.utf8.split(separator: 0x26) {
            let name = lowered(Array(member.prefix { $0 != 0x3d })[...])
            for known in signatures where name.elementsEqual(known.utf8) { return true }
        }
        return false
    }
}

private func describe(_ code: CURLUcode) -> String {
    guard let text = unsafe curl_url_strerror(code) else { return "error \(code.rawValue)" }
    return unsafe String(cString: text)
}

/// One part of a parsed URL; nil when it has none.
@unsafe private func part(_ what: CURLUPart, of url: OpaquePointer) -> String? {
    var value: UnsafeMutablePointer<CChar>?
    let code = curl(CURLUE_OUT_OF_MEMORY) { unsafe curl_url_get(url, what, &value, 0) }
    guard code == CURLUE_OK, let text = unsafe value else { return nil }
    defer { unsafe curl_free(text) }
    return unsafe String(cString: text)
}
