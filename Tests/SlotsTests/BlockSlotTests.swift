import BundleFormat
import Platform
import Testing

@testable import Slots

@Suite("A block slot in a file")
struct BlockSlotTests {
    private let directory: TemporaryDirectory
    private let path: String
    private static let canary: UInt8 = 0x5a
    private static let mebibyte = 1 << 20

    init() throws {
        directory = try TemporaryDirectory()
        path = directory("disk")
    }

    private func makeDisk(_ size: Int) throws {
        try Bytes.write([UInt8](repeating: Self.canary, count: size), to: path)
    }

    @Test(
        "gives back every byte of images that end anywhere", arguments: [1, 4095, 4096, 65536, 65537, 196_608, 700_001])
    func givesBack(_ size: Int) throws {
        try makeDisk(2 * Self.mebibyte)
        let image = try Image(Bytes.noise(size))
        let slot = BlockSlot(name: "rootfs b", path: path)
        try image.install(in: slot)
        #expect(try image.readBack(from: slot) == image.bytes)
        slot.close()
        #expect(try Bytes.read(path)[0..<size] == image.bytes[...])
    }

    @Test("takes windows from several threads, also while it is flushed")
    func threads() throws {
        try makeDisk(8 * Self.mebibyte)
        let image = try Image(Bytes.noise(7 * Self.mebibyte + 12_345))
        let slot = BlockSlot(name: "rootfs b", path: path)
        try slot.open(image.component)
        let failures = Failures()
        var threads: [WorkerThread] = []
        for first in 0..<4 {
            threads.append(
                try WorkerThread(name: "writer") {
                    failures.catching {
                        for index in stride(from: first, to: image.windowCount, by: 4) {
                            try image.write(index, to: slot)
                            if index % 16 == 0 { try slot.flush() }
                        }
                    }
                })
        }
        for thread in threads { thread.join() }
        #expect(failures.all.isEmpty)
        try slot.seal(image.component)
        #expect(try image.readBack(from: slot) == image.bytes)
        #expect(slot.bytesWritten >= UInt64(image.bytes.count))
    }

    @Test("zeroes behind the image up to the next MiB and leaves what is behind that")
    func tail() throws {
        try makeDisk(3 * Self.mebibyte)
        let image = try Image(Bytes.noise(Self.mebibyte + 5000))
        try image.install(in: BlockSlot(name: "rootfs b", path: path))
        let bytes = try Bytes.read(path)
        #expect(Array(bytes[0..<image.bytes.count]) == image.bytes)
        #expect(bytes[image.bytes.count..<(2 * Self.mebibyte)].allSatisfy { $0 == 0 })
        #expect(bytes[(2 * Self.mebibyte)...].allSatisfy { $0 == Self.canary })
    }

    @Test("writes nothing behind an image that ends at a MiB")
    func noTail() throws {
        try makeDisk(2 * Self.mebibyte)
        let slot = BlockSlot(name: "rootfs b", path: path)
        try Image(Bytes.noise(Self.mebibyte)).install(in: slot)
        #expect(try Bytes.read(path)[Self.mebibyte...].allSatisfy { $0 == Self.canary })
        #expect(slot.bytesWritten == UInt64(Self.mebibyte))
    }

    /// Regions whose start, size and image end meet no alignment, and some that do.
    @Test(
        "never touches a byte outside its region nor the file's size",
        arguments: [
            (8192, 65536, 65536), (8192, 65536, 60000), (4096, 70000, 70000), (1000, 70000, 70000),
            (1000, 70000, 69999), (512, 131_072, 100_000), (12288, 2_000_000, 300_001),
        ])
    func bounds(_ offset: Int, _ size: Int, _ imageSize: Int) throws {
        let total = offset + size + 9000
        try makeDisk(total)
        let image = try Image(Bytes.noise(imageSize))
        let slot = BlockSlot(name: "rootfs b", path: path, offset: UInt64(offset), size: UInt64(size))
        try image.install(in: slot)
        #expect(try image.readBack(from: slot) == image.bytes)
        slot.close()
        let bytes = try Bytes.read(path)
        #expect(bytes.count == total)
        #expect(bytes[..<offset].allSatisfy { $0 == Self.canary })
        #expect(bytes[(offset + size)...].allSatisfy { $0 == Self.canary })
        #expect(Array(bytes[offset..<(offset + imageSize)]) == image.bytes)
    }

    @Test("reaches from its offset to the end of the medium when it has no size")
    func openEnd() throws {
        try makeDisk(100_000)
        let slot = BlockSlot(name: "rootfs b", path: path, offset: 40_000)
        try slot.check(Image(Bytes.noise(60_000)).component)
        #expect(throws: SlotError.tooSmall(slot: slot.displayName, capacity: 60_000, needed: 60_001)) {
            try slot.check(Image(Bytes.noise(60_001)).component)
        }
    }

    @Test("changes nothing when it is checked and opened")
    func openChangesNothing() throws {
        try makeDisk(200_000)
        let slot = BlockSlot(name: "rootfs b", path: path)
        let image = try Image(Bytes.noise(100_000))
        try slot.check(image.component)
        try slot.open(image.component)
        try slot.flush()
        slot.close()
        #expect(slot.bytesWritten == 0)
        #expect(try Bytes.read(path).allSatisfy { $0 == Self.canary })
    }

    @Test("is too small by one byte, for check and for open")
    func tooSmall() throws {
        try makeDisk(99_999)
        let slot = BlockSlot(name: "rootfs b", path: path)
        let component = try Image(Bytes.noise(100_000)).component
        let error = #expect(throws: SlotError.self) { try slot.check(component) }
        #expect(error == .tooSmall(slot: slot.displayName, capacity: 99_999, needed: 100_000))
        #expect(error?.code == "slot.too-small")
        #expect(throws: SlotError.tooSmall(slot: slot.displayName, capacity: 99_999, needed: 100_000)) {
            try slot.open(component)
        }
    }

    @Test("is unusable where nothing, a directory or a character device is", arguments: ["none", ".", "/dev/null"])
    func wrongKind(_ name: String) throws {
        let slot = BlockSlot(name: "rootfs b", path: name.hasPrefix("/") ? name : directory(name))
        let component = try Image(Bytes.noise(10)).component
        for attempt in [slot.check, slot.open, slot.openForReading] {
            let error = #expect(throws: SlotError.self) { try attempt(component) }
            #expect(error?.code == "slot.unusable")
        }
    }

    @Test(
        "is unusable when its region reaches behind the medium", arguments: [(0, 100_001), (100_000, 1), (200_000, 1)])
    func regionBehindEnd(_ offset: UInt64, _ size: UInt64) throws {
        try makeDisk(100_000)
        let slot = BlockSlot(name: "rootfs b", path: path, offset: offset, size: size)
        let error = #expect(throws: SlotError.self) { try slot.check(Image([1]).component) }
        #expect(error?.code == "slot.unusable")
    }

    @Test("does not take windows of another component, nor one behind the image's end")
    func foreignWindows() throws {
        try makeDisk(300_000)
        let slot = BlockSlot(name: "rootfs b", path: path)
        try slot.open(Image(Bytes.noise(70_000)).component)
        #expect(throws: SlotError.self) { try Image(Bytes.noise(70_000), id: "kernel").write(0, to: slot) }
        #expect(throws: SlotError.self) { try Image(Bytes.noise(200_000)).write(1, to: slot) }
        #expect(try Bytes.read(path).allSatisfy { $0 == Self.canary })
    }

    @Test("does nothing before it is open and after it is closed")
    func notOpen() throws {
        try makeDisk(100_000)
        let slot = BlockSlot(name: "rootfs b", path: path)
        let image = try Image(Bytes.noise(5000))
        let buffer = try AlignedBuffer(capacity: 4096)
        for _ in 0..<2 {
            #expect(throws: SlotError.self) { try image.write(0, to: slot) }
            #expect(throws: SlotError.self) { try slot.read(at: 0, count: 10, into: buffer) }
            #expect(throws: SlotError.self) { try slot.flush() }
            #expect(throws: SlotError.self) { try slot.seal(image.component) }
            try slot.open(image.component)
            slot.close()
        }
        #expect(try Bytes.read(path).allSatisfy { $0 == Self.canary })
    }

    @Test("reads up to its end and nothing behind it")
    func readEnd() throws {
        try makeDisk(30_000)
        let slot = BlockSlot(name: "rootfs b", path: path, offset: 4096, size: 10_000)
        try slot.open(Image([1]).component)
        let buffer = try AlignedBuffer(capacity: 65536)
        #expect(try slot.read(at: 0, count: 65536, into: buffer) == 10_000)
        #expect(try slot.read(at: 8192, count: 4096, into: buffer) == 1808)
        #expect(try slot.read(at: 12288, count: 4096, into: buffer) == 0)
    }

    @Test("opened for reading gives the bytes and writes none")
    func readingOnly() throws {
        let content = Bytes.noise(150_000)
        try Bytes.write(content, to: path)
        let image = try Image(content)
        let slot = BlockSlot(name: "rootfs a", path: path)
        try slot.openForReading(image.component)
        #expect(try image.readBack(from: slot) == content)
        #expect(throws: SlotError.self) { try image.write(0, to: slot) }
        #expect(throws: SlotError.self) { try slot.seal(image.component) }
        #expect(try Bytes.read(path) == content)
    }

    @Test("counts what it wrote over several openings, padding and tail included, and no tail twice")
    func counts() throws {
        try makeDisk(2 * Self.mebibyte)
        let image = try Image(Bytes.noise(65536 + 10))
        let slot = BlockSlot(name: "rootfs b", path: path)
        try image.install(in: slot)
        let first = slot.bytesWritten
        #expect(first >= UInt64(Self.mebibyte))
        slot.close()
        #expect(slot.bytesWritten == first)
        try slot.open(image.component)
        try slot.seal(image.component)
        #expect(slot.bytesWritten == first)
        try image.write(0, to: slot)
        #expect(slot.bytesWritten == first + 65536)
    }

    @Test("never claims to hold a component without being read")
    func holdsNothing() throws {
        let image = try Image(Bytes.noise(4096))
        try Bytes.write(image.bytes, to: path)
        #expect(try !BlockSlot(name: "rootfs b", path: path).holds(image.component))
    }

    @Test(
        "goes past the page cache for aligned windows and through it for others",
        .enabled(if: directWorks, "needs a file system with direct I/O under the temporary directory"))
    func direct() throws {
        try makeDisk(400_000)
        let image = try Image(Bytes.noise(300_001))
        let slot = BlockSlot(name: "rootfs b", path: path, offset: 4096)
        try slot.open(image.component)
        #expect(slot.usesDirect)
        for index in 0..<image.windowCount { try image.write(index, to: slot) }
        #expect(slot.usesDirect)
        #expect(try image.readBack(from: slot) == image.bytes)
        // The last window is padded to 4096 on its way past the page cache.
        #expect(slot.bytesWritten == 303_104)
    }

    private static let directWorks: Bool = {
        guard let directory = try? TemporaryDirectory() else { return false }
        return (try? Descriptor(open: directory("probe"), [.write, .create, .direct])) != nil
    }()

    @Test(
        "falls back to the page cache where a file system has no direct I/O",
        .enabled(if: MountedFileSystem.works, MountedFileSystem.need))
    func fallback() throws {
        let mount = try MountedFileSystem(type: "ramfs", at: directory("ramfs"))
        let file = mount.path + "/disk"
        try Bytes.write([UInt8](repeating: Self.canary, count: 400_000), to: file)
        let image = try Image(Bytes.noise(300_001))
        let slot = BlockSlot(name: "rootfs b", path: file)
        try image.install(in: slot)
        #expect(!slot.usesDirect)
        #expect(try image.readBack(from: slot) == image.bytes)
        slot.close()
        #expect(Array(try Bytes.read(file)[0..<300_001]) == image.bytes)
        try mount.unmount()
    }
}

@Suite("A block slot on a block device", .enabled(if: LoopDevice.works, LoopDevice.need))
struct BlockDeviceSlotTests {
    private let directory: TemporaryDirectory
    private let file: String

    init() throws {
        directory = try TemporaryDirectory()
        file = directory("disk")
        try Bytes.write([UInt8](repeating: 0x5a, count: 8 << 20), to: file)
    }

    @Test("reaches the medium with images that end anywhere, for both sector sizes", arguments: [512, 4096])
    func givesBack(_ sectorSize: Int) throws {
        let loop = try LoopDevice(file, sectorSize: sectorSize)
        let image = try Image(Bytes.noise(3_000_001), windowSize: 1 << 20)
        let slot = BlockSlot(name: "rootfs b", path: loop.path)
        try image.install(in: slot)
        #expect(slot.usesDirect)
        #expect(try image.readBack(from: slot) == image.bytes)
        slot.close()
        try loop.detach()
        let bytes = try Bytes.read(file)
        #expect(Array(bytes[0..<3_000_001]) == image.bytes)
        #expect(bytes[3_000_001..<(3 << 20)].allSatisfy { $0 == 0 })
        #expect(bytes[(3 << 20)...].allSatisfy { $0 == 0x5a })
    }

    @Test(
        "keeps to its region of a device, even one that sectors do not fit",
        arguments: [(1 << 20, 2 << 20), (5000, 70_001)])
    func region(_ offset: Int, _ size: Int) throws {
        let loop = try LoopDevice(file, sectorSize: 4096)
        let image = try Image(Bytes.noise(size))
        let slot = BlockSlot(name: "rootfs b", path: loop.path, offset: UInt64(offset), size: UInt64(size))
        try image.install(in: slot)
        #expect(try image.readBack(from: slot) == image.bytes)
        slot.close()
        try loop.detach()
        let bytes = try Bytes.read(file)
        #expect(bytes[..<offset].allSatisfy { $0 == 0x5a })
        #expect(Array(bytes[offset..<(offset + size)]) == image.bytes)
        #expect(bytes[(offset + size)...].allSatisfy { $0 == 0x5a })
    }

    @Test(
        "that holds a mounted file system is in use, can be read, and is free again after unmounting",
        .enabled(if: MountedFileSystem.works && Tool.exists("mkfs.ext4"), "needs permission to mount, and mkfs.ext4"))
    func mounted() throws {
        try Tool.run("mkfs.ext4", "-q", "-F", file)
        let content = try Bytes.read(file)
        let loop = try LoopDevice(file)
        let mount = try MountedFileSystem(type: "ext4", source: loop.path, options: "ro", at: directory("mount"))
        let slot = BlockSlot(name: "rootfs a", path: loop.path)
        let image = try Image(content)
        let error = #expect(throws: SlotError.self) { try slot.check(image.component) }
        #expect(error == .inUse(slot: slot.displayName))
        #expect(error?.code == "slot.in-use")
        #expect(throws: SlotError.inUse(slot: slot.displayName)) { try slot.open(image.component) }
        try slot.openForReading(image.component)
        #expect(try image.readBack(from: slot) == content)
        slot.close()
        try mount.unmount()
        try slot.check(image.component)
        try loop.detach()
    }

    @Test(
        "cannot be mounted while it is being written",
        .enabled(if: MountedFileSystem.works && Tool.exists("mkfs.ext4"), "needs permission to mount, and mkfs.ext4"))
    func held() throws {
        try Tool.run("mkfs.ext4", "-q", "-F", file)
        let loop = try LoopDevice(file)
        let slot = BlockSlot(name: "rootfs b", path: loop.path)
        try slot.open(Image(Bytes.noise(4096)).component)
        try FileSystem.makeDirectories(directory("mount"))
        let refused = try ChildProcess.run(
            ["mount", "-t", "ext4", "-o", "ro", loop.path, directory("mount")], milliseconds: 30_000)
        #expect(!refused.succeeded)
        if refused.succeeded { try Tool.run("umount", directory("mount")) }
        #expect(refused.output.contains("busy"))
        slot.close()
        let mount = try MountedFileSystem(type: "ext4", source: loop.path, options: "ro", at: directory("mount"))
        try mount.unmount()
        try loop.detach()
    }

    @Test(
        "that is set read-only is a storage error before anything is written",
        .enabled(if: Tool.exists("blockdev"), "needs blockdev"))
    func readOnly() throws {
        let loop = try LoopDevice(file)
        try Tool.run("blockdev", "--setro", loop.path)
        // The flag would outlive the loop device's file.
        defer { _ = try? Tool.run("blockdev", "--setrw", loop.path) }
        let slot = BlockSlot(name: "rootfs b", path: loop.path)
        let error = #expect(throws: SlotError.self) { try slot.check(Image(Bytes.noise(10)).component) }
        #expect(error?.code == "slot.io")
        #expect(error?.context.contains("Read-only") == true)
        try slot.openForReading(Image(Bytes.noise(10)).component)
    }

    @Test(
        "whose medium fails is an error of the write or of the flush, never silence",
        .enabled(if: MountedFileSystem.works, MountedFileSystem.need))
    func failingMedium() throws {
        // A sparse file on a file system without room for it: the loop device's writes fail like a bad medium's.
        let mount = try MountedFileSystem(type: "tmpfs", options: "size=1m", at: directory("small"))
        let sparse = mount.path + "/disk"
        try Descriptor(open: sparse, [.write, .create]).truncate(to: 8 << 20)
        let loop = try LoopDevice(sparse)
        for offset in [0, 1000] as [UInt64] {
            // At offset 1000 everything goes through the page cache, so only the flush can tell.
            let slot = BlockSlot(name: "rootfs b", path: loop.path, offset: offset, size: 6 << 20)
            let image = try Image(Bytes.noise(4 << 20), windowSize: 1 << 20)
            let error = #expect(throws: SlotError.self) { try image.install(in: slot) }
            guard case .system = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            slot.close()
        }
        try loop.detach()
        try mount.unmount()
    }
}
