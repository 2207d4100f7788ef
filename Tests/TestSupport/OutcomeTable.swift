import Foundation
import Platform

/// A table that `tools/test` prints at its end: it names a file in the environment, and tests add rows to it.
public struct OutcomeTable: Sendable {
    private let variable: String
    private static let lock = NSLock()

    /// The environment variable that names the file; without it rows go nowhere.
    public init(variable: String) { self.variable = variable }

    /// What was attacked, and what came of it: id, title, outcome.
    public static let attacks = OutcomeTable(variable: "KEDGE_ATTACKS")
    /// What servers and networks did, and what came of it: case, outcome, code, wasted bytes, bound.
    public static let transfers = OutcomeTable(variable: "KEDGE_TRANSFERS")

    /// Adds a row; rows of several tests at once stay whole.
    public func add(_ fields: [String]) throws {
        guard let path = ProcessInfo.processInfo.environment[variable] else { return }
        Self.lock.lock()
        defer { Self.lock.unlock() }
        let file = try Descriptor(open: path, [.read, .write, .create, .append])
        try file.append(Array((fields.joined(separator: "|") + "\n").utf8).rawBytes)
    }
}
