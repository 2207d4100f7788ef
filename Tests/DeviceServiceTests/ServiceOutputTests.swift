import BootControl
import BundleFormat
import Floors
import Foundation
import StrictJSON
import Testing

@testable import DeviceService
@testable import Platform
@testable import UpdateEngine

/// Statuses to print, phase by phase.
enum SampleStatus {
    static let release = SHA256.digest(of: [1])
    static let identity = DeviceIdentity(id: "gw-1", vendor: "acme", deviceClass: "edge", hardware: 2)

    static func make(_ phase: Phase, handled: UInt64 = 0) -> EngineStatus {
        var attempt = Attempt(id: "x-1", location: "http://h/r.kedge?sig=secret", wanted: nil)
        attempt.releaseID = "acme-edge-2.1.0"
        attempt.version = "2.1.0"
        attempt.phase = phase
        var record = BootRecord()
        record.slotB = SlotRecord(state: .writing, manifest: release, sequence: 12, securityVersion: 3)
        record.phase = .writing
        record.attempt = "x-1"
        var status = EngineStatus(phase: phase, attempt: attempt, record: record, running: .a, bootID: "boot-1")
        status.handledBytes = handled
        status.totalBytes = 100 << 20
        return status
    }
}

@Suite("What kedged prints")
struct ServiceOutputTests {
    static let amounts: [(bytes: UInt64, text: String)] = [
        (0, "0 B"), (1, "1 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1535, "1.4 KiB"), (1536, "1.5 KiB"),
        ((1 << 20) - 1, "1023.9 KiB"), (1 << 20, "1.0 MiB"), (10 << 20, "10.0 MiB"), ((1 << 30) - 1, "1023.9 MiB"),
        (1 << 30, "1.0 GiB"), (5 << 29, "2.5 GiB"), (.max, "17179869183.9 GiB"),
    ]

    @Test("Byte counts are cut, never rounded up to more than there is", arguments: amounts)
    func amount(bytes: UInt64, text: String) { #expect(ByteCount.text(bytes) == text) }

    /// Runs `body` with a stream that goes to a file, and returns its lines.
    private func lines(_ body: (ProgressPrinter) -> Void) throws -> [String] {
        let directory = try ServiceDirectory()
        let file = open(directory("log"), O_WRONLY | O_CREAT, 0o600)
        try #require(file >= 0)
        defer { close(file) }
        body(ProgressPrinter(StandardStream(raw: file), time: SystemTime()))
        return String(decoding: try FileSystem.read(directory("log"), limit: 1 << 20), as: UTF8.self)
            .split(separator: "\n").map(String.init)
    }

    @Test("In a log there is one line for each phase and each ten percent, and nothing is drawn")
    func progress() throws {
        let lines = try lines { printer in
            printer.engineChanged(SampleStatus.make(.planned))
            for megabytes in 0...100 {
                printer.engineChanged(SampleStatus.make(.fetching, handled: UInt64(megabytes) << 20))
            }
            for phase in [Phase.written, .verified, .armed, .rebooting] {
                printer.engineChanged(SampleStatus.make(phase))
            }
        }
        #expect(!lines.joined().contains("\r"))
        #expect(lines.filter { $0.contains(" % ") }.count == 10)
        #expect(lines.first?.hasPrefix("planning: ") == true)
        #expect(lines.contains { $0.hasPrefix("fetching: acme-edge-2.1.0 to slot set b") })
        #expect(lines.contains("  50 %  50.0 MiB of 100.0 MiB"))
        let order = ["planning", "fetching", "written", "verified", "armed", "rebooting"]
        #expect(lines.filter { !$0.hasPrefix(" ") }.map { String($0.prefix { $0.isLetter }) } == order)
        #expect(!lines.joined().contains("secret"))
    }

    @Test("The same phase twice is one line")
    func repeated() throws {
        let lines = try lines { printer in
            for _ in 0..<5 { printer.engineChanged(SampleStatus.make(.trial)) }
        }
        #expect(lines == ["trial: acme-edge-2.1.0 runs from slot set a, not confirmed yet"])
    }

    @Test("Status lines name the device, both slots, the phase, the attempt and the floor, and no location")
    func statusLines() {
        var status = SampleStatus.make(.fetching)
        status.attempt?.counters.fetched = 3 << 20
        status.releaseA = ReleaseName(id: "acme-edge-2.0.0", version: "2.0.0", manifest: SampleStatus.release)
        let lines = StatusText.lines(status, identity: SampleStatus.identity)
        #expect(lines[0] == "device    gw-1 (acme edge, hardware 2)")
        #expect(lines[1] == "running   a: acme-edge-2.0.0 (2.0.0), good, selected")
        #expect(lines[2] == "spare     b: release not known, being written")
        #expect(lines[3] == "phase     fetching")
        #expect(lines[4] == "attempt   x-1 for acme-edge-2.1.0")
        #expect(lines[5].hasPrefix("bytes     3.0 MiB fetched, 0 B written"))
        #expect(lines.last == "floor     security version 0, sequence 0")
        #expect(!lines.joined().contains("secret"))
    }

    @Test("A floor's store that fails and a clock that is wrong are told, with what to do")
    func floorAndClock() {
        var status = SampleStatus.make(.idle)
        status.floors.store = .tpm
        status.floors.failure = Failure(FloorError.missing(store: "TPM counter"))
        status.time = TimeStatus(lowerBound: 1_800_000_000, clock: .behind)
        let lines = StatusText.lines(status, identity: SampleStatus.identity)
        #expect(lines.contains { $0.hasPrefix("          floor.missing: ") })
        #expect(lines.contains { $0.hasPrefix("clock     stands before") && $0.contains("1800000000") })
        status.floors.stored = 7
        status.floors.root = 3
        #expect(
            FloorCommand.lines(status).prefix(4) == [
                "in force      7", "boot record   0", "trust root    3", "TPM           7",
            ])
    }

    @Test("What an attempt took is one line, without the parts that took nothing")
    func statusCost() {
        var status = SampleStatus.make(.armed)
        status.attempt?.cost[.planning] = 49
        status.attempt?.cost[.fetching] = 41_870
        status.attempt?.cost.flushes = 218
        #expect(!StatusText.lines(status, identity: SampleStatus.identity).contains { $0.hasPrefix("cost") })
        status.attempt?.cost.peakResidentKiB = 16_712
        let wanted =
            "cost      planning 0.0 s, fetching and writing 41.8 s, 218 flushes, peak memory 16.3 MiB"
        #expect(StatusText.lines(status, identity: SampleStatus.identity).contains(wanted))
    }

    @Test("A rollback says its reason, what failed and what to do")
    func statusOfRollback() throws {
        var status = SampleStatus.make(.rolledBack)
        let failure = Failure(EngineError.healthFailed("exit status 3; modbus is dead"))
        status.results = [
            AttemptResult(
                attempt: "x-1", phase: .rolledBack, manifest: nil, releaseID: "acme-edge-2.1.0", version: "2.1.0",
                failure: failure, reason: "health-failed", counters: TransferCounters())
        ]
        let lines = StatusText.lines(status, identity: SampleStatus.identity)
        let index = try #require(lines.firstIndex(of: "result    rolledBack (health-failed)"))
        #expect(lines[index + 1].hasSuffix("health.failed: \(failure.context)"))
        #expect(lines[index + 2].hasSuffix(failure.remedy))
    }

    @Test("Tries are told only while there is a trial")
    func tries() {
        var status = SampleStatus.make(.armed)
        #expect(!StatusText.lines(status, identity: SampleStatus.identity).contains { $0.hasPrefix("tries") })
        status.record.phase = .trial
        status.record.triesLeft = 2
        #expect(StatusText.lines(status, identity: SampleStatus.identity).contains("tries     2 left"))
    }

    @Test("The JSON status has the device, the reported section and this process")
    func json() throws {
        let text = StatusText.json(SampleStatus.make(.fetching), identity: SampleStatus.identity).compactText
        let value = try JSONValue.parse(text, limit: 65536)
        #expect(value["device"]?["id"]?.text == "gw-1")
        #expect(value["ota"]?["phase"]?.text == "fetching")
        #expect(try #require(value["process"]?["peakResidentKiB"]?.number) > 0)
        #expect(!text.contains("secret"))
    }

    @Test("Where the boot loader gives no boot id the kernel's own stands in")
    func bootID() throws {
        let directory = try ServiceDirectory()
        try FileSystem.replace(directory("cmdline"), with: Array("quiet kedge.slot=b\n".utf8))
        let kernel = String(decoding: try FileSystem.read("/proc/sys/kernel/random/boot_id", limit: 100), as: UTF8.self)
        let running = try Device.running(commandLine: directory("cmdline"))
        #expect(running.slot == .b)
        #expect(running.bootID == kernel.trimmingCharacters(in: .whitespacesAndNewlines))
        try FileSystem.replace(directory("cmdline"), with: Array("kedge.slot=a kedge.boot=b-7\n".utf8))
        #expect(try Device.running(commandLine: directory("cmdline")) == RunningSlot(slot: .a, bootID: "b-7"))
    }

    @Test("A kernel command line that does not say which slot runs is an error of the boot")
    func noSlot() throws {
        let directory = try ServiceDirectory()
        try FileSystem.replace(directory("cmdline"), with: Array("quiet\n".utf8))
        let failure = #expect(throws: Failure.self) { try Device.running(commandLine: directory("cmdline")) }
        #expect(failure?.code == "boot.no-running-slot" && failure?.category == .boot)
    }
}
