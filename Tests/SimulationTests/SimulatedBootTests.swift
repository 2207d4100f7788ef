import BootControl
import Platform
import Simulation
import Testing

/// The two kinds of home, each with a record in fresh files.
enum HomeKind: String, CaseIterable, CustomTestStringConvertible {
    case simulated, uboot

    var testDescription: String { rawValue }

    func make(in bench: Workbench, _ record: BootRecord) throws -> (home: any BootHome, path: String) {
        let path = bench.path + "/record"
        switch self {
        case .simulated:
            try SimulatedBootHome.create(path: path, record: record)
            return (SimulatedBootHome(path: path), path)
        case .uboot:
            let first = UBootEnvironmentHome.Location(path: path, offset: 0, size: 16384)
            let second = UBootEnvironmentHome.Location(path: path, offset: 32768, size: 16384)
            try UBootEnvironmentHome.create(first, second, record: record)
            return (try UBootEnvironmentHome(first, second), path)
        }
    }
}

/// A directory of its own for one test.
final class Workbench {
    let path: String

    init() throws {
        let temporary = ProcessInformation.environment("TMPDIR") ?? "/tmp"
        path = try FileSystem.absolute("\(temporary)/kedge-simulation-\(randomUUID(from: SystemRandom()))")
        try FileSystem.makeDirectories(path)
    }

    deinit { try? FileSystem.removeTree(path) }
}

@Suite("Booting a machine")
struct SimulatedBootTests {
    /// Slot b armed with this many tries.
    private static func trial(tries: UInt8) -> BootRecord {
        BootRecord(
            active: .b, phase: .trial, triesLeft: tries, attempt: "attempt-1", slotA: SlotRecord(state: .good),
            slotB: SlotRecord(state: .trial))
    }

    @Test("Each boot of a trial takes one try, and after the last one the former slot comes back")
    func countsDown() throws {
        for kind in HomeKind.allCases {
            let bench = try Workbench()
            let (home, _) = try kind.make(in: bench, Self.trial(tries: 2))
            let boot = SimulatedBoot(home: home)
            #expect(try boot.powerOn().map(\.cause) == [.trial(triesLeft: 1)])
            #expect(try home.load().triesLeft == 1)
            #expect(try boot.powerOn().map(\.cause) == [.trial(triesLeft: 0)])
            #expect(try boot.powerOn().map(\.cause) == [.fellBack(.bootFailed)])
            let record = try home.load()
            #expect(record.active == .a)
            #expect(record.phase == .fellBack)
            #expect(record.slotB.state == .bad)
        }
    }

    @Test("A steady boot writes not one byte", arguments: HomeKind.allCases)
    func steadyWritesNothing(_ kind: HomeKind) throws {
        let bench = try Workbench()
        for phase in BootRecord.Phase.allCases where phase != .trial {
            let (home, path) = try kind.make(in: bench, BootRecord(phase: phase))
            let before = try FileSystem.read(path, limit: 1 << 20)
            let starts = try SimulatedBoot(home: home).powerOn()
            #expect(starts.map(\.slot) == [.a])
            #expect(starts.map(\.cause) == [.steady])
            #expect(try FileSystem.read(path, limit: 1 << 20) == before)
        }
    }

    @Test("A trial that panics at every start uses up its tries in one go and ends in the former slot")
    func panics() throws {
        for kind in HomeKind.allCases {
            let bench = try Workbench()
            let (home, _) = try kind.make(in: bench, Self.trial(tries: 3))
            let starts = try SimulatedBoot(home: home).powerOn(fault: .boot)
            #expect(starts.map(\.slot) == [.b, .b, .b, .a])
            #expect(
                starts.map(\.cause) == [
                    .trial(triesLeft: 2), .trial(triesLeft: 1), .trial(triesLeft: 0), .fellBack(.bootFailed),
                ])
            #expect(starts.map(\.fault) == [.boot, .boot, .boot, nil])
            #expect(starts.map(\.number) == [1, 2, 3, 4])
            #expect(try home.load().reason == .bootFailed)
        }
    }

    @Test("A trial that fails fewer times than it has tries reaches user space", arguments: HomeKind.allCases)
    func panicsOnce(_ kind: HomeKind) throws {
        let bench = try Workbench()
        let (home, _) = try kind.make(in: bench, Self.trial(tries: 3))
        let starts = try SimulatedBoot(home: home).powerOn(fault: .hang, times: 1)
        #expect(starts.map(\.slot) == [.b, .b])
        #expect(starts.map(\.fault) == [.hang, nil])
        #expect(try home.load().phase == .trial)
        #expect(try home.load().triesLeft == 1)
    }

    @Test("A slot that was confirmed is never failed", arguments: HomeKind.allCases)
    func steadyNeverFails(_ kind: HomeKind) throws {
        let bench = try Workbench()
        let (home, path) = try kind.make(in: bench, BootRecord(active: .b, phase: .confirmed))
        let before = try FileSystem.read(path, limit: 1 << 20)
        let starts = try SimulatedBoot(home: home).powerOn(fault: .boot)
        #expect(starts.map(\.slot) == [.b])
        #expect(starts.map(\.fault) == [nil])
        #expect(try FileSystem.read(path, limit: 1 << 20) == before)
    }

    @Test("A slot that reached user space but never confirmed is told apart in the reason")
    func notConfirmed() throws {
        let bench = try Workbench()
        var record = Self.trial(tries: 0)
        record.userSpaceBoots = 1
        let (home, _) = try HomeKind.simulated.make(in: bench, record)
        #expect(try SimulatedBoot(home: home).powerOn().map(\.cause) == [.fellBack(.notConfirmed)])
    }

    @Test("Each start is told when it happens, before the next one changes the record")
    func startsAreTold() throws {
        let bench = try Workbench()
        let (home, _) = try HomeKind.simulated.make(in: bench, Self.trial(tries: 2))
        var seen: [UInt8] = []
        let starts = try SimulatedBoot(home: home).powerOn(fault: .boot) { _ in
            seen.append((try? home.load().triesLeft) ?? 99)
        }
        #expect(starts.count == 3)
        #expect(seen == [1, 0, 0])
    }

    @Test("Without a whole record nothing is started")
    func noRecord() throws {
        let bench = try Workbench()
        let (home, path) = try HomeKind.simulated.make(in: bench, BootRecord())
        try FileSystem.replace(path, with: [UInt8](repeating: 0, count: SimulatedBootHome.areaSize))
        #expect(throws: BootError.self) { try SimulatedBoot(home: home).powerOn() }
    }
}
