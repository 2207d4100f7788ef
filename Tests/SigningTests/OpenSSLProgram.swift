import Platform
import Testing

/// The openssl command as an oracle.
enum OpenSSLProgram {
    /// Whether it is there, in a version that signs with Ed25519.
    static let isAvailable =
        (try? ChildProcess.run(["openssl", "list", "-public-key-algorithms"], milliseconds: 60_000))?
        .output.contains("ED25519") == true

    /// Runs it and gives its output; a failure fails the test.
    @discardableResult static func run(_ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation) throws
        -> String
    {
        let outcome = try ChildProcess.run(["openssl"] + arguments, milliseconds: 60_000)
        try #require(outcome.succeeded, "openssl: \(outcome.output)", sourceLocation: sourceLocation)
        return outcome.output
    }

    /// Whether it accepts; a refusal is no failure of the test.
    static func accepts(_ arguments: String...) throws -> Bool {
        try ChildProcess.run(["openssl"] + arguments, milliseconds: 60_000).succeeded
    }
}
