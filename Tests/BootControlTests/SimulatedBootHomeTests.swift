import BootControl
import BundleFormat
import Platform
import Testing

@Suite("A boot record in a file")
struct SimulatedBootHomeTests {
    private let directory: TemporaryDirectory
    private let path: String
    private let home: SimulatedBootHome
    /// Where the two copies stand.
    private static let places = [0, 65536]

    init() throws {
        directory = try TemporaryDirectory()
        path = directory("record")
        home = SimulatedBootHome(path: path)
        try SimulatedBootHome.create(path: path, record: .full)
    }

    @Test("holds the factory's record in two whole copies, the second one newer")
    func factory() throws {
        let bytes = try Bytes.read(path)
        #expect(bytes.count == 131_072)
        let first = try BootRecord.Sector(decoding: Array(bytes[0..<512]))
        let second = try BootRecord.Sector(decoding: Array(bytes[65536..<66048]))
        #expect(first == BootRecord.Sector(record: .full.revised(1), copy: 0, parent: nil))
        #expect(
            second
                == BootRecord.Sector(
                    record: .full.revised(2), copy: 1, parent: SHA256.digest(of: Array(bytes[0..<512]))))
        #expect(try home.load() == .full.revised(2))
    }

    @Test("overwrites the older copy in turn, counts up and names the parent")
    func alternates() throws {
        for step in 0..<5 {
            let before = try Bytes.read(path)
            var next = try home.load()
            next.triesLeft = UInt8(step)
            let stored = try home.store(next)
            let after = try Bytes.read(path)
            let written = Self.places[step % 2]
            let kept = Self.places[1 - step % 2]
            #expect(after[kept..<(kept + 512)] == before[kept..<(kept + 512)])
            let sector = try BootRecord.Sector(decoding: Array(after[written..<(written + 512)]))
            #expect(sector.record == stored)
            #expect(stored.revision == UInt64(step + 3))
            #expect(stored.triesLeft == UInt8(step))
            #expect(sector.parent == SHA256.digest(of: Array(before[kept..<(kept + 512)])))
            #expect(try home.load() == stored)
        }
    }

    @Test("survives a change of any single byte of either copy by the other copy")
    func everyByte() throws {
        let good = try Bytes.read(path)
        for (copy, place) in Self.places.enumerated() {
            for index in place..<(place + 512) {
                try Bytes.set(good[index] ^ 0x10, at: index, of: path)
                #expect(try home.load() == .full.revised(copy == 0 ? 2 : 1), "byte \(index)")
                try Bytes.set(good[index], at: index, of: path)
            }
        }
    }

    @Test("survives a cut of the file anywhere in the second copy")
    func everyTruncation() throws {
        for count in (65536..<66048).reversed() {
            try Descriptor(open: path, [.write]).truncate(to: UInt64(count))
            #expect(try home.load() == .full.revised(1), "\(count) bytes")
        }
    }

    @Test("is no record when the file ends before the first copy does", arguments: [0, 1, 64, 511])
    func shortFile(_ count: Int) throws {
        try Bytes.write(Array(try Bytes.read(path)[0..<count]), to: path)
        #expect(throws: BootError.noRecord(home: home.displayName)) { try home.load() }
    }

    @Test("keeps the old or the new record when a write is torn at any 64 bytes", arguments: [false, true])
    func tornWrite(_ fromTheEnd: Bool) throws {
        let old = try Bytes.read(path)
        var next = BootRecord.full
        next.phase = .fellBack
        next.active = .a
        _ = try home.store(next)
        let new = try Bytes.read(path)
        for cut in stride(from: 0, through: 512, by: 64) {
            let torn = (0..<512).map { index in (index < cut) != fromTheEnd ? new[index] : old[index] }
            try Bytes.write(torn + old[512...], to: path)
            let loaded = try home.load()
            let whole = fromTheEnd ? cut == 0 : cut == 512
            #expect(loaded == (whole ? next.revised(3) : .full.revised(2)), "cut at \(cut)")
        }
    }

    @Test("repairs a damaged copy with the next write and never touches the whole one", arguments: [0, 1])
    func repairs(_ damaged: Int) throws {
        var bytes = try Bytes.read(path)
        bytes[Self.places[damaged] + 100] ^= 1
        try Bytes.write(bytes, to: path)
        let stored = try home.store(.full)
        #expect(stored.revision == (damaged == 0 ? 3 : 2))
        let after = try Bytes.read(path)
        let kept = Self.places[1 - damaged]
        #expect(after[kept..<(kept + 512)] == bytes[kept..<(kept + 512)])
        #expect(
            try BootRecord.Sector(decoding: Array(after[Self.places[damaged]..<(Self.places[damaged] + 512)]))
                .record == stored)
    }

    @Test("is no record when both copies are damaged, and a write does not hide that")
    func bothDamaged() throws {
        var bytes = try Bytes.read(path)
        bytes[3] ^= 1
        bytes[65536 + 500] ^= 1
        try Bytes.write(bytes, to: path)
        #expect(throws: BootError.noRecord(home: home.displayName)) { try home.load() }
        #expect(throws: BootError.noRecord(home: home.displayName)) { try home.store(.full) }
        #expect(try Bytes.read(path) == bytes)
    }

    @Test("does not take a copy that was written to the other copy's place")
    func misdirected() throws {
        var bytes = try Bytes.read(path)
        bytes.replaceSubrange(0..<512, with: bytes[65536..<66048])
        bytes.replaceSubrange(65536..<66048, with: [UInt8](repeating: 0, count: 512))
        try Bytes.write(bytes, to: path)
        #expect(throws: BootError.noRecord(home: home.displayName)) { try home.load() }
    }

    @Test("goes up to the last revision and then refuses instead of starting over")
    func lastRevision() throws {
        let sector = BootRecord.Sector(record: .full.revised(.max - 1), copy: 1, parent: nil)
        var bytes = try Bytes.read(path)
        bytes.replaceSubrange(65536..<66048, with: try sector.encoded())
        try Bytes.write(bytes, to: path)
        #expect(try home.store(.full).revision == .max)
        #expect(try home.load().revision == .max)
        #expect(throws: BootError.self) { try home.store(.full) }
        #expect(try home.load().revision == .max)
    }

    @Test("refuses an attempt id that it cannot hold and keeps the former record")
    func badAttempt() throws {
        var record = BootRecord.full
        record.attempt = "two words"
        #expect(throws: BootError.self) { try home.store(record) }
        #expect(try home.load() == .full.revised(2))
    }

    @Test("that is not there is a storage error with its path")
    func missing() throws {
        let none = SimulatedBootHome(path: directory("none"))
        let error = #expect(throws: BootError.self) { try none.load() }
        #expect(error?.code == "boot.io")
        #expect(error?.category == .boot)
        #expect(error?.context.contains(directory("none")) == true)
    }

    @Test("on a block device keeps the bytes behind its area", .enabled(if: LoopDevice.works, "needs root and losetup"))
    func blockDevice() throws {
        let image = directory("disk")
        try Bytes.write([UInt8](repeating: 0x5a, count: 1 << 20), to: image)
        let loop = try LoopDevice(image)
        try SimulatedBootHome.create(path: loop.path, record: .full)
        let home = SimulatedBootHome(path: loop.path)
        #expect(try home.store(home.load()) == .full.revised(3))
        #expect(try home.load() == .full.revised(3))
        try loop.detach()
        let bytes = try Bytes.read(image)
        #expect(bytes.count == 1 << 20)
        #expect(bytes[131_072...].allSatisfy { $0 == 0x5a })
    }
}
