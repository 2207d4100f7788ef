/// Bytes that were fetched in the present period, by network class. A value; what cannot be read counts as nothing.
struct TrafficLedger: Equatable {
    struct Entry: Equatable {
        /// Seconds since 1970.
        var begun: Int64
        var bytes: UInt64
    }

    private(set) var entries: [NetworkClass: Entry] = [:]

    init() {}

    /// Lines of class, start and bytes; other lines are left out.
    init(parsing text: [UInt8]) {
        for line in text.split(separator: 0x0a) {
            let words = line.split(separator: 0x20).map { String(decoding: $0, as: UTF8.self) }
            guard words.count == 3, let name = NetworkClass(rawValue: words[0]), let begun = Int64(words[1]),
                let bytes = UInt64(words[2])
            else { continue }
            entries[name] = Entry(begun: begun, bytes: bytes)
        }
    }

    var text: [UInt8] {
        var out: [UInt8] = []
        for name in NetworkClass.allCases {
            guard let entry = entries[name] else { continue }
            out += Array("\(name.rawValue) \(entry.begun) \(entry.bytes)\n".utf8)
        }
        return out
    }

    /// Bytes of the period that `now` is in. A clock that was set back begins no period: its bytes still count, from
    /// the time that the clock shows now.
    mutating func used(_ name: NetworkClass, days: UInt32, now: Int64) -> UInt64 {
        guard var entry = entries[name] else { return 0 }
        if now < entry.begun {
            entry.begun = now
        } else if now - entry.begun >= Int64(days) * 86_400 {
            entry = Entry(begun: now, bytes: 0)
        }
        entries[name] = entry
        return entry.bytes
    }

    mutating func add(_ bytes: UInt64, to name: NetworkClass, days: UInt32, now: Int64) {
        let before = used(name, days: days, now: now)
        entries[name] = Entry(begun: entries[name]?.begun ?? now, bytes: before + bytes)
    }
}
