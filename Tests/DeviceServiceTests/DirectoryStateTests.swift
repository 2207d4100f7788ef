import BootControl
import BundleFormat
import Foundation
import Platform
import Testing
import UpdateEngine

@testable import DeviceService

@Suite("The data directory")
struct DirectoryStateTests {
    private let directory: ServiceDirectory
    private let path: String
    private let state: DirectoryState

    init() throws {
        directory = try ServiceDirectory()
        path = directory("lib/kedge")
        state = DirectoryState(path)
    }

    private func files() throws -> [String] { try FileSystem.list(path) }

    @Test("It is made for its owner alone, with what is above it")
    func prepare() throws {
        try state.prepare()
        try state.prepare()
        #expect(try FileSystem.mode(of: path) & 0o777 == 0o700)
    }

    @Test("Nothing there is no journal, no head, no request, and makes no file")
    func empty() throws {
        try state.prepare()
        for slot in 0..<2 { #expect(try state.readJournal(slot: slot) == nil) }
        for set in SlotSet.allCases { #expect(try state.readHead(set) == nil) }
        #expect(!state.cancelRequested())
        try state.setCancelRequest(false)
        #expect(try files().isEmpty)
    }

    @Test("Records of slots are kept apart by slot and set, written in place, and read as far as they go")
    func hints() throws {
        try state.prepare()
        let name = try #require(Identifier("rootfs"))
        #expect(try state.readHints(name, .a, at: 0, count: 10).isEmpty)
        try state.writeHints(name, .a, [1, 2, 3], at: 4)
        try state.writeHints(name, .b, [9], at: 0)
        try state.writeHints(name, .a, [7], at: 5)
        #expect(try state.readHints(name, .a, at: 0, count: 100) == [0, 0, 0, 0, 1, 7, 3])
        #expect(try state.readHints(name, .b, at: 0, count: 100) == [9])
        #expect(try state.readHints(name, .b, at: 1, count: 100).isEmpty)
        #expect(try FileSystem.mode(of: path + "/hints.rootfs.a") & 0o777 == 0o600)
    }

    @Test("The first journal write reserves both slots, so that a full disk cannot stop later ones")
    func reserved() throws {
        try state.prepare()
        try state.writeJournal(slot: 1, [1, 2, 3])
        var info = stat()
        try #require(stat(path + "/journal", &info) == 0)
        #expect(info.st_size == 2 * Journal.slotSize)
        #expect(Int(info.st_blocks) * 512 >= 2 * Journal.slotSize)
    }

    @Test("A journal whose room was not reserved before a kill is reserved by the next write")
    func reservedLater() throws {
        try state.prepare()
        try FileSystem.replace(path + "/journal", with: [])
        try state.writeJournal(slot: 0, [1])
        #expect(try FileSystem.size(of: path + "/journal") == UInt64(2 * Journal.slotSize))
    }

    @Test("A write to one journal slot leaves the other as it is")
    func slots() throws {
        try state.prepare()
        try state.writeJournal(slot: 0, [UInt8](repeating: 1, count: Journal.slotSize))
        try state.writeJournal(slot: 1, [UInt8](repeating: 2, count: Journal.slotSize))
        try state.writeJournal(slot: 0, [3, 3])
        #expect(try state.readJournal(slot: 0)?.prefix(3) == [3, 3, 1])
        #expect(try state.readJournal(slot: 1) == [UInt8](repeating: 2, count: Journal.slotSize))
    }

    @Test("The journal that the engine keeps there comes back in a new process's eyes")
    func journal() throws {
        try state.prepare()
        var wanted = JournalState()
        wanted.timeFloor = 1_700_000_000
        try Journal(state).save(wanted)
        #expect(try Journal(DirectoryState(path)).state == wanted)
    }

    @Test("Everything in it is for its owner alone: locations may carry signed queries")
    func modes() throws {
        try state.prepare()
        let lock = try #require(try state.lock())
        try state.writeJournal(slot: 0, [1])
        try state.writeHead(.a, [1])
        try state.writeHead(.b, [2])
        try state.setCancelRequest(true)
        let names = try files()
        #expect(names == ["cancel", "head.a", "head.b", "journal", "lock"])
        for name in names { #expect(try FileSystem.mode(of: "\(path)/\(name)") & 0o777 == 0o600, "\(name)") }
        withExtendedLifetime(lock) {}
    }

    @Test("A kept head is replaced as a whole, each slot set its own")
    func heads() throws {
        try state.prepare()
        try state.writeHead(.a, [UInt8](repeating: 1, count: 100_000))
        try state.writeHead(.b, [2])
        try state.writeHead(.a, [3])
        #expect(try state.readHead(.a) == [3])
        #expect(try state.readHead(.b) == [2])
        #expect(try files() == ["head.a", "head.b"])
    }

    @Test("A cancel request stays until it is taken back, however often it is made")
    func cancel() throws {
        try state.prepare()
        try state.setCancelRequest(true)
        try state.setCancelRequest(true)
        #expect(DirectoryState(path).cancelRequested())
        try state.setCancelRequest(false)
        #expect(!state.cancelRequested())
    }

    @Test("Only one holder has the lock, and it goes with its holder")
    func lock() throws {
        try state.prepare()
        var first = try state.lock()
        #expect(first != nil)
        #expect(try DirectoryState(path).lock() == nil)
        withExtendedLifetime(first) {}
        first = nil
        #expect(try DirectoryState(path).lock() != nil)
    }

    @Test(
        "The lock keeps other processes out as long as it is held",
        .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/flock"), "needs flock (apt: util-linux)"))
    func lockBetweenProcesses() throws {
        try state.prepare()
        var held = try state.lock()
        let other = ["flock", "--nonblock", "--conflict-exit-code", "42", path + "/lock", "true"]
        #expect(try ChildProcess.run(other, milliseconds: 60_000).status == 42)
        withExtendedLifetime(held) {}
        held = nil
        #expect(try ChildProcess.run(other, milliseconds: 60_000).status == 0)
    }

    @Test("A data directory that is a file is an error of its own")
    func notADirectory() throws {
        try FileSystem.replace(directory("lib"), with: [1])
        #expect(throws: SystemError.self) { try state.prepare() }
    }
}
