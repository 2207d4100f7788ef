internal import BundleFormat
public import Trust

/// A root file that several people sign after each other.
public struct RootSignatures: Sendable {
    /// How far a threshold is met.
    public struct Progress: Equatable, Sendable {
        /// Version of the root whose root role counts.
        public let version: UInt32
        /// Distinct unrevoked keys of that role with good signatures.
        public let present: Int
        public let needed: Int

        /// Whether enough have signed.
        public var isMet: Bool { present >= needed }
    }

    /// The root that is signed; not trusted for that.
    public let root: TrustRoot
    private var file: RootFile

    /// An unsigned draft.
    public init(draft root: TrustRoot) {
        self.root = root
        file = RootFile(payload: root.bytes, signatures: [])
    }

    /// From the bytes of a root file with any number of signatures. Only the form is checked.
    public init(inspecting bytes: [UInt8]) throws(SigningError) {
        do throws(TrustError) {
            file = try RootFile.decode(bytes)
            root = try TrustRoot.decode(file.payload)
        } catch {
            throw .trust(error)
        }
    }

    /// The bytes of the file.
    public var bytes: [UInt8] { file.bytes }
    /// Whether nobody has signed yet.
    public var isUnsigned: Bool { file.signatures.isEmpty }

    /// Adds a signature; one that the same key made before is replaced. Only keys of the root role of this root, or of
    /// the former one, can count, and others are refused.
    public mutating func sign(with key: SigningKey, former: TrustRoot?) throws(SigningError) {
        let id = key.publicKey.id
        let counts = [root, former].contains { $0?.role(.root)?.keys.contains(id) ?? false }
        guard counts else { throw .trust(.unknownKey(role: .root)) }
        let signature = RootFile.Signature(keyID: id, signature: try key.sign(file.signedBytes))
        file = RootFile(
            payload: file.payload, signatures: file.signatures.filter { $0.keyID != id } + [signature])
    }

    /// How far the threshold of a root's root role is met: this root's own, or the former one's.
    public func progress(for judge: TrustRoot) -> Progress {
        let role = judge.role(.root)
        var holders: [PublicKey] = []
        for signature in file.signatures where !judge.revoked.contains(signature.keyID) {
            guard role?.keys.contains(signature.keyID) == true, let key = judge.key(signature.keyID)?.publicKey,
                !holders.contains(where: { $0.bytes == key.bytes })
            else { continue }
            do throws(TrustError) {
                try key.verify(signature.signature, over: file.signedBytes)
                holders.append(key)
            } catch {
                continue
            }
        }
        return Progress(version: judge.version, present: holders.count, needed: role?.threshold ?? 1)
    }
}
