internal import BundleFormat
internal import Foundation
internal import Platform
public import Trust

/// Another program that signs: the client of a key store in the cloud or of a signing service.
public struct ExternalSigner: Sendable {
    private let words: [String]
    /// The key that the program signs with; what it prints is verified with it before it is used.
    public let publicKey: PublicKey

    /// Nil for a command without words. Words are parted by spaces and nothing else: there is no shell and no quoting.
    public init?(command: String, publicKey: PublicKey) {
        words = command.split(separator: " ").map { String($0) }
        if words.isEmpty { return nil }
        self.publicKey = publicKey
    }

    /// Runs the program with the payload as its standard input, the environment of this process and in it
    /// KEDGE_KEY_ID and KEDGE_ALGORITHM, and gives what it prints: the signature, raw, DER for ECDSA, or either in
    /// base64. What it says to standard error is shown. Throws `SigningError.signer` when it does not end with
    /// status 0.
    func run(_ payload: SigningPayload) throws(SigningError) -> [UInt8] {
        let scratch = try wrapping { () throws(SystemError) in
            let above = ProcessInformation.environment("TMPDIR") ?? "/tmp"
            let path = "\(above)/kedge-\(Hex.encode(try SystemRandom().bytes(8)))"
            try FileSystem.makeDirectories(path, mode: 0o700)
            return path
        }
        // Files and not pipes: a program that reads nothing cannot block or kill this one.
        let (input, output) = ("\(scratch)/payload", "\(scratch)/signature")
        defer {
            do {
                try FileSystem.remove(input)
                try FileSystem.remove(output)
                try FileSystem.removeDirectory(scratch)
            } catch {
                // Nothing secret is in it; a left-over directory is only untidy.
                _ = error
            }
        }
        try wrapping { () throws(SystemError) in
            try FileSystem.replace(input, with: payload.bytes)
            try FileSystem.replace(output, with: [])
        }
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["--"] + words
        process.environment = ProcessInfo.processInfo.environment.merging([
            "KEDGE_KEY_ID": publicKey.id.hex, "KEDGE_ALGORITHM": publicKey.algorithm.name,
        ]) { _, new in new }
        do {
            process.standardInput = try FileHandle(forReadingFrom: URL(filePath: input))
            process.standardOutput = try FileHandle(forWritingTo: URL(filePath: output))
            try process.run()
        } catch {
            throw .signer(command: words[0], why: "it cannot be started")
        }
        process.waitUntilExit()
        guard process.terminationReason == .exit, process.terminationStatus == 0 else {
            throw .signer(command: words[0], why: "it ended with \(process.terminationStatus)")
        }
        return try wrapping { () throws(SystemError) in
            try FileSystem.read(output, limit: DetachedSignature.limit)
        }
    }
}

extension BundleSigner {
    /// Lets another program sign the bundle at `path`, as `sign` does with a key. Its signature is verified first; a
    /// wrong one leaves the bundle as it was.
    public static func sign(
        bundle path: String, with signer: ExternalSigner, output: String? = nil
    ) throws(SigningError) {
        let original = try BundleFile(opening: path)
        let payload = SigningPayload(of: original.head)
        let added = try DetachedSignature.verified(
            signer.run(payload), from: "of the signer", over: payload, by: [signer.publicKey])
        try original.write(to: output ?? path, signatures: added.joined(to: original.head.signatures.signatures))
    }
}
