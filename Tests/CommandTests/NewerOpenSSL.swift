import Foundation
import Platform

/// An OpenSSL with ML-DSA to run the built programs with: this machine's own, or the one that `tools/newer-openssl`
/// made, whose directory is in KEDGE_NEWER_OPENSSL.
enum NewerOpenSSL {
    /// What starts a program with it; nil when there is none.
    static let prefix: [String]? = isSystem ? [] : directory.map { ["\($0)/run"] }
    /// The `openssl` that belongs to it.
    static var program: String { isSystem ? "openssl" : "\(directory ?? "")/openssl" }

    /// Whether this machine's own OpenSSL has ML-DSA.
    static let isSystem = knows("openssl")

    private static let directory: String? = {
        guard let named = ProcessInformation.environment("KEDGE_NEWER_OPENSSL"), knows("\(named)/openssl") else {
            return nil
        }
        return named
    }()

    private static func knows(_ program: String) -> Bool {
        let outcome = try? ChildProcess.run([program, "list", "-signature-algorithms"], milliseconds: 60_000)
        return outcome?.output.contains("ML-DSA-65") == true
    }
}
