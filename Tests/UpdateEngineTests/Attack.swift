import Platform
import TestSupport
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
        try OutcomeTable.attacks.add([id, title, outcome])
    }
}

/// Which attacks of the lists are answered by what.
enum AttackTable {
    /// The lists: TUF's and Uptane's attacks, and what was done to others. Each must be shown by a test or be named
    /// below.
    static let list: [String] =
        (1...15).map { "A\($0)" } + [
            "CVE-2026-34155", "CVE-2020-25860", "RAUC casync", "CVE-2026-109399", "CVE-2026-28525", "CVE-2023-7216",
            "SWUpdate 3dc458f5", "SWUpdate 9f7ff0d4", "CVE-2025-67903", "MEN-9055", "MEN-1412", "CVE-2024-55959",
            "CVE-2020-10759", "CVE-2026-23992", "GHSA-pwqf-9h7j-7mv8", "GHSA-3633-5h82-39pq", "CVE-2022-29173",
            "CVE-2025-2885", "CVE-2025-2886", "CVE-2025-2887", "CVE-2025-2888", "CVE-2026-31830", "CVE-2025-49600",
            "CVE-2025-15467", "CVE-2026-34182", "CVE-2026-34180", "CVE-2026-46728", "CVE-2020-10648",
            "U-Boot 2026-05", "Android 31914369", "CVE-2017-5948", "CVE-2017-8850", "CVE-2017-8851",
            "CVE-2014-9862", "CVE-2020-14315", "CVE-2020-15904", "CVE-2017-2623", "CVE-2024-2905",
            "CVE-2025-15556", "CVE-2026-85995", "Sparkle 2551", "CVE-2024-39698", "CVE-2024-43491",
            "CVE-2024-21302", "CVE-2026-11940", "CVE-2026-17106", "CVE-2026-42496", "CVE-2021-31566", "zstd",
            "desync 37", "CVE-2019-3462", "CVE-2016-1252", "THREAT.IMG.REPLACE", "DSSE", "Hybrid",
        ]

    /// What no test can show yet, and the issue that it waits for.
    static let waiting: [(attack: Attack, reason: String)] = [
        (Attack("A14", "eavesdrop"), "waits: encrypted payloads come after version 1 (enc in the format)"),
        (
            Attack("SWUpdate 9f7ff0d4", "SWUpdate: control socket that anybody can take"),
            "waits for issue 10: local API"
        ),
    ]
    /// Shown by other tests.
    static let elsewhere: [(attack: Attack, reason: String)] = [
        (Attack("A6", "slow retrieval"), "refused in TransferTests: network.stalled"),
        (
            Attack("A15", "replay to another device"),
            "refused in OverrideTests: override.other-device, override.nonce"
        ),
        (
            Attack("CVE-2014-9862", "bspatch: heap overflow in the delta decoder"),
            "refused in DeltaDecoderTests: signed groups with any byte changed"
        ),
        (
            Attack("CVE-2020-14315", "bspatch: out of bounds in the delta decoder"),
            "refused in DeltaDecoderTests: signed groups with any byte changed"
        ),
        (
            Attack("CVE-2020-15904", "bsdiff4: heap overflow in the delta decoder"),
            "refused in DeltaDecoderTests: signed groups with any byte changed"
        ),
        (
            Attack("CVE-2019-3462", "APT: redirect that brings its own headers"),
            "refused in TransferTests: redirects; no header is believed"
        ),
    ]
    /// Not possible here, by construction.
    static let notApplicable: [(attack: Attack, reason: String)] = [
        (
            Attack("CVE-2025-2886", "tough: terminating delegations not respected"),
            "not there: a root names every release key itself, nothing is delegated"
        ),
        (
            Attack("CVE-2025-2887", "tough: rollback of delegated targets"),
            "not there: a root names every release key itself, nothing is delegated"
        ),
        (
            Attack("CVE-2016-1252", "APT: signed text split from its signature by lines"),
            "not there: signed bytes have a length, and nothing looks for lines in them"
        ),
    ]

    /// The ids for which a test of the museum exists, read from its sources.
    static func shown() throws -> Set<String> {
        let directory = FileSystem.parent(of: #filePath)
        var ids: Set<String> = []
        for name in try FileSystem.list(directory) where name.hasSuffix("Tests.swift") {
            let text = String(decoding: try FileSystem.read("\(directory)/\(name)", limit: 1 << 20), as: UTF8.self)
            guard text.contains(".record(") else { continue }
            for id in list where text.contains("\"\(id)\"") { ids.insert(id) }
        }
        return ids
    }
}
