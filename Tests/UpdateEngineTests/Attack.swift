import Foundation
import Platform
import Testing

/// A class of attack that was done to somebody, or that TUF, Uptane or RFC 9124 name.
struct Attack: Hashable, CustomTestStringConvertible {
    /// The list's own number (A1 to A15, from TUF 1.0.34 section 1.5.2 and Uptane 2.1) or the CVE.
    let id: String
    let title: String

    init(_ id: String, _ title: String) {
        self.id = id
        self.title = title
    }

    var testDescription: String { "\(id): \(title)" }

    /// Adds a row to the table that `tools/test` prints, in the file that KEDGE_ATTACKS names; nothing without it.
    func record(_ outcome: String) throws {
        guard let path = ProcessInfo.processInfo.environment["KEDGE_ATTACKS"] else { return }
        let file = try Descriptor(open: path, [.read, .write, .create])
        try AttackTable.append("\(id)|\(title)|\(outcome)\n", to: file)
    }
}

/// Which attacks of the lists are answered by what.
enum AttackTable {
    /// Attacks of A1 to A15 that no test here can show yet, and what they wait for.
    static let waiting: [(attack: Attack, reason: String)] = [
        (Attack("A4", "fast-forward"), "waits: the sequence is reset by key rotation"),
        (Attack("A10", "malicious mirror"), "waits: several sources for one bundle"),
        (Attack("A13", "drop-request"), "waits: channel statements tell how old an offer is"),
        (Attack("A14", "eavesdrop"), "waits: encrypted payloads"),
        (Attack("A15", "replay to another device"), "waits: override statements name a device"),
    ]
    /// Shown by tests of other targets.
    static let elsewhere: [(attack: Attack, reason: String)] = [
        (Attack("A6", "slow retrieval"), "refused in TransferTests: network.stalled")
    ]

    private static let lock = NSLock()

    /// Rows of several tests at once, each whole.
    static func append(_ row: String, to file: borrowing Descriptor) throws {
        lock.lock()
        defer { lock.unlock() }
        let bytes = Array(row.utf8)
        let end = try file.size()
        try file.write(bytes.rawBytes, at: end)
    }
}
