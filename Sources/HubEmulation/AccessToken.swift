internal import COpenSSL
internal import Platform

/// A shared access signature: `SharedAccessSignature sr=…&sig=…&se=…[&skn=…]`.
///
/// Written apart from the client's own code: one mistake in both would prove nothing.
struct AccessToken: Equatable {
    /// What it opens, still percent-encoded: that text is signed.
    let resource: String
    /// Seconds since 1970.
    let expiry: Int64
    /// The expiry as it stands in the token.
    let expiryText: String
    let signature: [UInt8]
    /// A shared access policy, for back ends.
    let policy: String?

    init?(_ text: String) {
        let prefix = "SharedAccessSignature "
        guard text.hasPrefix(prefix) else { return nil }
        var fields: [String: String] = [:]
        for part in text.dropFirst(prefix.count).split(separator: "&") {
            let halves = part.split(separator: "=", maxSplits: 1)
            guard halves.count == 2, fields.updateValue(String(halves[1]), forKey: String(halves[0])) == nil else {
                return nil
            }
        }
        guard let resource = fields["sr"], let expiryText = fields["se"], let expiry = Int64(expiryText),
            let encoded = fields["sig"], let base64 = PercentText.decode(encoded),
            let signature = Base64.decode(base64), !signature.isEmpty
        else { return nil }
        self.resource = resource
        self.expiryText = expiryText
        self.expiry = expiry
        self.signature = signature
        policy = fields["skn"]
    }

    /// Why the token does not open `wanted` now; nil when it does.
    func problem(opening wanted: String, keys: [[UInt8]], now: Int64) -> String? {
        guard let named = PercentText.decode(resource) else { return "sr is not percent-encoded" }
        // Names of hubs are not case-sensitive, those of devices are; the official clients write both as configured.
        if named != wanted { return "sr is \(named), must be \(wanted)" }
        if expiry <= now { return "it expired \(now - expiry) s ago" }
        let signed = Array("\(resource)\n\(expiryText)".utf8)
        if keys.contains(where: { MessageCode.sha256(key: $0, signed) == signature }) { return nil }
        return "the signature is not that of any key of the identity"
    }
}

/// HMAC (RFC 2104).
enum MessageCode {
    /// HMAC-SHA256, 32 bytes.
    static func sha256(key: [UInt8], _ message: [UInt8]) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: 32)
        var length: UInt32 = 32
        let done = unsafe HMAC(EVP_sha256(), key, Int32(key.count), message, message.count, &out, &length)
        precondition(unsafe done != nil && length == 32, "HMAC-SHA256 is in every OpenSSL")
        return out
    }
}
