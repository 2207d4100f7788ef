internal import BundleFormat
internal import Platform
internal import StrictJSON

/// Whom this device believes that a deployment comes from Azure Device Update: the service's root keys, and what the
/// newest root-key package says of them.
///
/// This is a check beside Kedge's own, never instead of it: the bundle that a deployment names is accepted by its own
/// signatures and nothing else.
public struct DeviceUpdateTrust: Sendable {
    /// A root key by its id.
    struct Root: Equatable, Sendable {
        let id: String
        let key: RS256Key
    }

    private var roots: [Root]
    private var disabledRoots: [String] = []
    private var disabledKeys: [Digest] = []
    /// Of the package that was taken over; 0: none.
    public private(set) var version: Int64 = 0

    /// Longest package, bytes.
    public static let packageLimit = 64 * 1024
    private static let documentLimit = 64 * 1024
    private static let keyLimit = 16

    /// The service's own root keys.
    public init() {
        roots = []
        for (id, text) in Self.serviceRoots {
            if let bytes = LooseBase64.decode(text), let key = RS256Key(modulus: bytes) {
                roots.append(Root(id: id, key: key))
            }
        }
    }

    init(roots: [Root]) { self.roots = roots }

    // MARK: The root-key package

    /// Takes a root-key package over. It must be signed by every root key known so far that it does not disable, and must
    /// not be older than the one before; otherwise nothing changes.
    public mutating func adopt(_ package: String) throws(DeviceUpdateError) {
        var next = self
        do throws(JSONError) { try next.take(package) } catch { throw .rootKeys(error.context) }
        self = next
    }

    private mutating func take(_ package: String) throws(JSONError) {
        var reader = try JSONObjectReader(try JSONValue.parse(package, limit: Self.packageLimit), at: "")
        let protected = try reader.required("protected")
        var signatures: [[UInt8]] = []
        for value in try reader.array("signatures", count: 1...Self.keyLimit) {
            guard value["alg"]?.text == "RS256", let text = value["sig"]?.text, let bytes = LooseBase64.decode(text)
            else { throw JSONError(.outOfBounds, at: "signatures", "must be RS256 and base64url") }
            signatures.append(bytes)
        }
        try reader.finish()
        var body = try JSONObjectReader(protected, at: "protected")
        let number = try body.integer("version", in: 1...Int64(Int32.max))
        _ = try body.integer("published", in: 0...Int64.max)
        if try body.optionalBool("isTest") ?? false {
            throw JSONError(.outOfBounds, at: "protected.isTest", "must not be true")
        }
        var disabled: [String] = []
        for value in try body.array("disabledRootKeys", count: 0...Self.keyLimit) {
            disabled.append(try JSONObjectReader.string(value, at: "protected.disabledRootKeys", limit: 64))
        }
        var hashes: [Digest] = []
        for value in try body.array("disabledSigningKeys", count: 0...Self.keyLimit) {
            guard value["alg"]?.text == "SHA256", let text = value["hash"]?.text,
                let bytes = LooseBase64.decode(text), let digest = Digest(bytes: bytes.rawBytes), bytes.count == 32
            else { throw JSONError(.outOfBounds, at: "protected.disabledSigningKeys", "must be SHA256 in base64url") }
            hashes.append(digest)
        }
        var keys: [Root] = []
        guard case .object(let members) = try body.required("rootKeys"), members.count <= Self.keyLimit else {
            throw JSONError(.wrongType, at: "protected.rootKeys", "must be an object of at most \(Self.keyLimit)")
        }
        for member in members {
            guard member.value["keyType"]?.text == "RSA", member.value["e"]?.number == 65537,
                let text = member.value["n"]?.text, let bytes = LooseBase64.decode(text),
                let key = RS256Key(modulus: bytes)
            else { throw JSONError(.outOfBounds, at: "protected.rootKeys.\(member.name)", "is no RSA key") }
            keys.append(Root(id: member.name, key: key))
        }
        try body.finish()
        if number < version { throw JSONError(.outOfBounds, at: "protected.version", "is older than \(version)") }
        try check(signatures, over: protected.bytes, disabled)
        (roots, disabledRoots, disabledKeys, version) = (keys, disabled, hashes, number)
    }

    /// What is signed is the compact text of `protected`, with its members in their order.
    private func check(_ signatures: [[UInt8]], over bytes: [UInt8], _ disabled: [String]) throws(JSONError) {
        let needed = roots.filter { !disabled.contains($0.id) }
        if needed.isEmpty { throw JSONError(.outOfBounds, at: "disabledRootKeys", "leaves no key of those known") }
        for root in needed where !signatures.contains(where: { root.key.verifies($0, over: bytes) }) {
            throw JSONError(.outOfBounds, at: "signatures", "none is by the root key \(root.id)")
        }
    }

    // MARK: The manifest

    /// Checks the chain from a root key over the signing key to the manifest's hash, and gives the manifest's text back
    /// as one that was verified.
    ///
    /// `signature` is a JWS in compact form whose header holds another one, of the signing key.
    public func verify(_ manifest: String, signature: String) throws(DeviceUpdateError) -> VerifiedUpdateManifest {
        let outer: Statement
        let signer: RS256Key
        let hash: String
        do throws(JSONError) {
            outer = try Statement(signature, limit: Self.documentLimit)
            let inner = try Statement(outer.header["sjwk"]?.text ?? "", limit: Self.documentLimit)
            signer = try signingKey(inner)
            guard let text = outer.payload["sha256"]?.text else {
                throw JSONError(.missing, at: "payload.sha256", "is missing")
            }
            hash = text
        } catch { throw .signature(error.context) }
        guard signer.verifies(outer.signature, over: outer.signed) else {
            throw .signature("the manifest is not signed by its signing key")
        }
        guard let bytes = LooseBase64.decode(hash), bytes == SHA256.digest(of: Array(manifest.utf8)).bytes else {
            throw .signature("the manifest is not the one that was signed")
        }
        return try VerifiedUpdateManifest(verified: manifest)
    }

    private func signingKey(_ statement: Statement) throws(JSONError) -> RS256Key {
        let id = statement.header["kid"]?.text ?? ""
        guard let root = roots.first(where: { $0.id == id }) else {
            throw JSONError(.outOfBounds, at: "sjwk.kid", "names no root key that is known")
        }
        if disabledRoots.contains(id) { throw JSONError(.outOfBounds, at: "sjwk.kid", "names a disabled root key") }
        guard root.key.verifies(statement.signature, over: statement.signed) else {
            throw JSONError(.outOfBounds, at: "sjwk", "is not signed by the root key \(id)")
        }
        let jwk = statement.payload
        guard jwk["kty"]?.text == "RSA", jwk["alg"]?.text == "RS256", jwk["e"]?.text == "AQAB",
            let text = jwk["n"]?.text, let bytes = LooseBase64.decode(text), let key = RS256Key(modulus: bytes)
        else { throw JSONError(.outOfBounds, at: "sjwk.payload", "is no RS256 key") }
        if key.fingerprints.contains(where: { disabledKeys.contains($0) }) {
            throw JSONError(.outOfBounds, at: "sjwk.payload", "is a disabled signing key")
        }
        return key
    }

    /// A JWS in compact form (RFC 7515 section 7.1), taken apart and not yet checked.
    private struct Statement {
        let header: JSONValue
        let payload: JSONValue
        let signature: [UInt8]
        /// Header and payload as they were signed.
        let signed: [UInt8]

        init(_ text: String, limit: Int) throws(JSONError) {
            let parts =
                text.utf8.count <= limit ? text.utf8.split(separator: 0x2e, omittingEmptySubsequences: false) : []
            guard parts.count == 3, let head = Self.decode(parts[0]), let body = Self.decode(parts[1]),
                let signature = Self.decode(parts[2])
            else { throw JSONError(.wrongType, at: "signature", "is no JWS in compact form") }
            header = try JSONValue.parse(head, limit: limit)
            // The one algorithm: what a header says must never choose a weaker check.
            guard header["alg"]?.text == "RS256", header["crit"] == nil else {
                throw JSONError(.outOfBounds, at: "signature.alg", "must be RS256 without crit")
            }
            payload = try JSONValue.parse(body, limit: limit)
            self.signature = signature
            signed = Array(parts[0]) + [0x2e] + Array(parts[1])
        }

        private static func decode(_ part: Substring.UTF8View) -> [UInt8]? {
            LooseBase64.decode(String(decoding: Array(part), as: UTF8.self))
        }
    }
}
