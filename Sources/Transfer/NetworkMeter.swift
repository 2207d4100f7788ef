public import Platform

/// Holds what comes over the network to the rules of its class: window, byte budget, rate. One for a device; every
/// source that costs money goes through it.
public final class NetworkMeter: @unchecked Sendable {
    private let rules: NetworkRules
    private let probe: any NetworkClassProbe
    private let store: any TrafficStore
    private let time: any TimeSource
    private let minuteOfDay: @Sendable (Int64) -> UInt32
    private let monitor = Monitor()
    private var ledger = TrafficLedger()
    private var isLoaded = false
    private var unsaved: UInt64 = 0
    private var limit = RateLimit(0)
    private var name: NetworkClass?
    private var askedAt: UInt64 = 0

    /// How long an answer of the probe counts.
    private static let probeNanoseconds: UInt64 = 30_000_000_000
    /// Bytes after which the ledger is written: after a power cut at most these were fetched uncounted.
    static let saveBytes: UInt64 = 4 * 1024 * 1024

    /// `minuteOfDay` turns seconds since 1970 into minutes since local midnight.
    public init(
        _ rules: NetworkRules, probe: any NetworkClassProbe, store: any TrafficStore, time: any TimeSource,
        minuteOfDay: @escaping @Sendable (Int64) -> UInt32
    ) {
        self.rules = rules
        self.probe = probe
        self.store = store
        self.time = time
        self.minuteOfDay = minuteOfDay
    }

    /// Throws when nothing may be fetched now.
    func check(_ source: String) throws(TransferError) {
        try monitor.locked { () throws(TransferError) in
            let name = current()
            let rule = rules[name]
            if rule.isForbidden {
                throw .network(.windowClosed, source: source, detail: "\(name.rawValue) is not to be used")
            }
            if let window = rule.window, !window.contains(minuteOfDay(time.realSeconds())) {
                throw .network(
                    .windowClosed, source: source, detail: "\(name.rawValue) may not be used at this time of the day")
            }
            if rule.budget > 0 {
                try load()
                let used = ledger.used(name, days: rule.budgetDays, now: time.realSeconds())
                if used >= rule.budget {
                    throw .network(
                        .budgetSpent, source: source,
                        detail: "\(used) of \(rule.budget) bytes of \(name.rawValue) are used up")
                }
            }
        }
    }

    /// Most bytes that may be asked for at once: what the budget still has.
    func allowance() throws(TransferError) -> UInt64 {
        try monitor.locked { () throws(TransferError) in
            let name = current()
            let rule = rules[name]
            if rule.budget == 0 { return .max }
            try load()
            let used = ledger.used(name, days: rule.budgetDays, now: time.realSeconds())
            return rule.budget > used ? rule.budget - used : 0
        }
    }

    /// Counts bytes that came; the nanoseconds to wait before more are taken.
    func take(_ bytes: UInt64) throws(TransferError) -> UInt64 {
        try monitor.locked { () throws(TransferError) in
            let name = current()
            let rule = rules[name]
            if rule.budget > 0 {
                try load()
                ledger.add(bytes, to: name, days: rule.budgetDays, now: time.realSeconds())
                unsaved += bytes
                if unsaved >= Self.saveBytes { try save() }
            }
            if limit.bytesPerSecond != rule.bytesPerSecond { limit = RateLimit(rule.bytesPerSecond) }
            return limit.take(bytes, at: time.monotonicNanoseconds())
        }
    }

    /// Keeps what was counted.
    func settle() throws(TransferError) {
        try monitor.locked { () throws(TransferError) in if unsaved > 0 { try save() } }
    }

    private func current() -> NetworkClass {
        let now = time.monotonicNanoseconds()
        if let name, now - askedAt < Self.probeNanoseconds { return name }
        let found = probe.currentClass()
        name = found
        askedAt = now
        return found
    }

    private func load() throws(TransferError) {
        if isLoaded { return }
        do throws(SystemError) {
            ledger = TrafficLedger(parsing: try store.readTraffic() ?? [])
        } catch {
            throw .system(error)
        }
        isLoaded = true
    }

    private func save() throws(TransferError) {
        do throws(SystemError) { try store.writeTraffic(ledger.text) } catch { throw .system(error) }
        unsaved = 0
    }
}
