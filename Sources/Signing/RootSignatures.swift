public import BundleFormat
public import Trust

/// A root file that several people sign after each other.
public struct RootSignatures: Sendable {
    /// How far the thresholds of a root role are met.
    public struct Progress: Equatable, Sendable {
        /// One group of the role's keys, or all of them.
        public struct Part: Equatable, Sendable {
            public let group: Identifier?
            /// Distinct unrevoked keys with good signatures.
            public let present: Int
            public let needed: Int
        }
        /// Version of the root whose root role counts.
        public let version: UInt32
        public let parts: [Part]
        /// Algorithms of signatures that this machine's OpenSSL cannot verify; they are not counted.
        public let unsupported: [SignatureAlgorithm]

        /// Whether enough have signed.
        public var isMet: Bool { parts.allSatisfy { $0.present >= $0.needed } }

        /// One sentence for each part, and for what could not be verified.
        public var lines: [String] {
            parts.map { part in
                let group = part.group.map { " in the group \($0)" } ?? ""
                return "root keys of version \(version): \(part.present) of \(part.needed) needed signatures\(group)"
            } + unsupported.map { "\($0.libraryName) signatures are not counted: \(SignatureAlgorithm.library)" }
        }
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

    /// How far the thresholds of a root's root role are met: this root's own, or the former one's.
    public func progress(for judge: TrustRoot) -> Progress {
        let role = judge.role(.root)
        var holders: [PublicKey] = []
        var unsupported: [SignatureAlgorithm] = []
        for signature in file.signatures where !judge.revoked.contains(signature.keyID) {
            guard role?.keys.contains(signature.keyID) == true, let key = judge.key(signature.keyID)?.publicKey,
                !holders.contains(where: { $0.bytes == key.bytes })
            else { continue }
            do throws(TrustError) {
                try key.verify(signature.signature, over: file.signedBytes)
                holders.append(key)
            } catch {
                if case .algorithm(let missing) = error, !unsupported.contains(missing) { unsupported.append(missing) }
            }
        }
        let parts = (role?.groups ?? []).map { group in
            Progress.Part(
                group: group.name, present: holders.filter { group.keys.contains($0.id) }.count,
                needed: group.threshold)
        }
        return Progress(version: judge.version, parts: parts, unsupported: unsupported)
    }
}
