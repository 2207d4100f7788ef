import Platform
import Testing

@testable import Transfer

@Suite("What a network may cost")
struct NetworkMeterTests {
    private final class Ledger: TrafficStore, @unchecked Sendable {
        var bytes: [UInt8]?
        var writes = 0
        func readTraffic() throws(SystemError) -> [UInt8]? { bytes }
        func writeTraffic(_ bytes: [UInt8]) throws(SystemError) {
            self.bytes = bytes
            writes += 1
        }
    }

    private final class Probe: NetworkClassProbe, @unchecked Sendable {
        var name = NetworkClass.cellular
        var asked = 0
        func currentClass() -> NetworkClass {
            asked += 1
            return name
        }
    }

    private let time = VirtualTime()
    private let ledger = Ledger()
    private let probe = Probe()
    private static let bytes = [UInt8](repeating: 9, count: 8 << 20)

    private func source(_ rules: NetworkRules, minute: UInt32 = 0) -> (MeteredSource, FakePlace) {
        let place = FakePlace("place", Self.bytes, time)
        let meter = NetworkMeter(rules, probe: probe, store: ledger, time: time, minuteOfDay: { _ in minute })
        guard let inner = try? place.place.open() else { fatalError("a fake place opens") }
        return (MeteredSource(inner, meter: meter, time: time), place)
    }

    private func rules(_ change: (inout NetworkRule) -> Void) -> NetworkRules {
        var rules = NetworkRules()
        change(&rules.cellular)
        return rules
    }

    @Test("Without rules everything comes, and nothing is counted or written")
    func free() {
        let (source, _) = source(NetworkRules())
        #expect(Reading.of(source, 0..<1_000_000).bytes.count == 1_000_000)
        #expect(ledger.writes == 0 && time.seconds == 0)
    }

    @Test("The rate is held over the whole read")
    func rate() {
        let (source, _) = source(rules { $0.bytesPerSecond = 100_000 })
        #expect(Reading.of(source, 0..<2_000_000).bytes.count == 2_000_000)
        #expect((19.5...20.5).contains(time.seconds), "\(time.seconds) s")
    }

    @Test("The rate follows the class during a read")
    func classChange() throws {
        let (source, _) = source(rules { $0.bytesPerSecond = 10_000 })
        var done = 0
        try source.read(0..<4_000_000) { (piece) throws(TransferError) in
            done += piece.byteCount
            if done >= 500_000 { probe.name = .ethernet }
        }
        // 500 kB at 10 kB/s, then up to 30 s until the class is asked for again, then no limit.
        #expect((50...85).contains(time.seconds), "\(time.seconds) s")
    }

    @Test("A budget ends the read with its code, no more is asked for than it has, and the count survives a restart")
    func budget() {
        let limited = rules { $0.budget = 1_000_000 }
        let (first, place) = source(limited)
        let reading = Reading.of(first, 0..<3_000_000)
        #expect(reading.error?.code == "transfer.budget")
        #expect(reading.error?.category == .network)
        #expect(reading.bytes.count == 1_000_000)
        #expect(place.ranges == [0..<1_000_000])
        let (second, later) = source(limited)
        #expect(Reading.of(second, 1_000_000..<1_000_001).error?.code == "transfer.budget")
        #expect(later.ranges.isEmpty)
        time.pass(seconds: 30 * 86_400)
        #expect(Reading.of(second, 1_000_000..<1_500_000).bytes.count == 500_000)
    }

    @Test("Other classes have budgets of their own")
    func otherClass() {
        let (source, _) = source(rules { $0.budget = 1 })
        #expect(Reading.of(source, 0..<100).error?.code == "transfer.budget")
        probe.name = .wifi
        time.pass(seconds: 31)
        #expect(Reading.of(source, 0..<100).bytes.count == 100)
    }

    @Test("The count is written every few megabytes and at the end of a read")
    func writes() {
        let (source, _) = source(rules { $0.budget = 1 << 40 })
        _ = Reading.of(source, 0..<(8 << 20))
        #expect((2...3).contains(ledger.writes))
        #expect(String(decoding: ledger.bytes ?? [], as: UTF8.self).hasSuffix(" \(8 << 20)\n"))
    }

    @Test(
        "Outside of the window nothing is asked for", arguments: [(59, false), (60, true), (299, true), (300, false)])
    func window(minute: Int, isOpen: Bool) {
        let (source, place) = source(rules { $0.window = DailyWindow(text: "01:00-05:00") }, minute: UInt32(minute))
        let reading = Reading.of(source, 0..<10)
        #expect(reading.error?.code == (isOpen ? nil : "transfer.window"))
        #expect(place.ranges.isEmpty != isOpen)
    }

    @Test("A class that may not be used is refused, and asked about again after half a minute")
    func forbidden() {
        let (source, _) = source(rules { $0.isForbidden = true })
        #expect(Reading.of(source, 0..<10, available: true).error?.code == "transfer.window")
        probe.name = .wifi
        #expect(Reading.of(source, 0..<10).error?.code == "transfer.window")
        time.pass(seconds: 31)
        #expect(Reading.of(source, 0..<10).bytes.count == 10)
        #expect(probe.asked == 2)
    }

    @Test("A clock that goes back begins no new period")
    func clockBack() {
        var ledger = TrafficLedger()
        ledger.add(5, to: .wifi, days: 1, now: 1_000_000)
        #expect(ledger.used(.wifi, days: 1, now: 10) == 5)
        #expect(ledger.used(.wifi, days: 1, now: 86_409) == 5)
        #expect(ledger.used(.wifi, days: 1, now: 86_410) == 0)
    }

    @Test("The ledger reads what it wrote, and leaves out what it cannot read")
    func ledgerText() {
        var ledger = TrafficLedger()
        ledger.add(7, to: .cellular, days: 30, now: 1_700_000_000)
        ledger.add(9, to: .ethernet, days: 30, now: 1_700_000_001)
        #expect(TrafficLedger(parsing: ledger.text) == ledger)
        #expect(TrafficLedger(parsing: Array("wifi 1\n\0\ncellular x y\nfoo 1 2\n".utf8)) == TrafficLedger())
    }

    @Test(
        "A window is two times of the day",
        arguments: [
            ("01:30-05:00", [90, 299], [89, 300]), ("22:00-06:00", [1320, 1439, 0, 359], [1319, 360]),
            ("00:00-00:00", [0, 700, 1439], []),
        ])
    func windows(text: String, inside: [Int], outside: [Int]) throws {
        let window = try #require(DailyWindow(text: text))
        for minute in inside { #expect(window.contains(UInt32(minute))) }
        for minute in outside { #expect(!window.contains(UInt32(minute))) }
    }

    @Test(
        "Anything else is no window",
        arguments: ["", "01:30", "1:30-05:00", "01:30-24:00", "01:60-02:00", "aa:bb-cc:dd", "01:30-05:00-06:00", "-"])
    func noWindow(text: String) { #expect(DailyWindow(text: text) == nil) }
}
