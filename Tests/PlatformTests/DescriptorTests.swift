import Glibc
import Platform
import Testing

@Suite("Descriptors")
struct DescriptorTests {
    let directory: TemporaryDirectory
    let path: String

    init() throws {
        directory = try TemporaryDirectory()
        path = directory.file("f")
        try FileSystem.replace(path, with: Array(0..<10), mode: 0o640)
    }

    /// Reads into memory of 4096 bytes and gives what came.
    private func read(_ file: borrowing Descriptor, at offset: UInt64) throws -> [UInt8] {
        let buffer = try AlignedBuffer(capacity: 1)
        let count = try buffer.withMutableBytes { (bytes) throws(SystemError) in
            try file.read(into: &bytes, at: offset)
        }
        return [UInt8](copying: buffer.bytes.extracting(0..<count))
    }

    @Test("A read is short only at the end, and empty behind it", arguments: [(0, 10), (7, 3), (10, 0), (5000, 0)])
    func shortReads(offset: Int, count: Int) throws {
        let file = try Descriptor(open: path, [.read])
        #expect(try read(file, at: UInt64(offset)) == Array(0..<10).dropFirst(offset).map { UInt8($0) })
        #expect(try read(file, at: UInt64(offset)).count == count)
    }

    @Test("A write behind the end leaves zeros between")
    func sparse() throws {
        let file = try Descriptor(open: path, [.read, .write])
        try file.write([0xff].rawBytes, at: 12)
        #expect(try read(file, at: 8) == [8, 9, 0, 0, 0xff])
        #expect(try file.size() == 13)
    }

    @Test("Nothing written changes nothing")
    func emptyWrite() throws {
        let file = try Descriptor(open: path, [.write])
        try file.write([UInt8]().rawBytes, at: 100)
        #expect(try file.size() == 10)
    }

    @Test("A full device is told as no space")
    func fullDevice() throws {
        let file = try Descriptor(open: "/dev/full", [.write])
        let error = #expect(throws: SystemError.self) { try file.write([1].rawBytes, at: 0) }
        #expect(error?.code == "storage.no-space")
        #expect(error?.context.contains("/dev/full") == true)
    }

    @Test("Writing through a descriptor opened for reading is an error")
    func readOnly() throws {
        let file = try Descriptor(open: path, [.read])
        #expect(throws: SystemError.self) { try file.write([1].rawBytes, at: 0) }
    }

    @Test("Exclusive creation refuses a file that is there, and a dangling symbolic link")
    func exclusive() throws {
        let error = #expect(throws: SystemError.self) {
            _ = try Descriptor(open: path, [.write, .create, .exclusive])
        }
        #expect(error?.number == SystemError.exists)
        #expect(symlink(directory.file("nowhere"), directory.file("link")) == 0)
        #expect(throws: SystemError.self) {
            _ = try Descriptor(open: directory.file("link"), [.write, .create, .exclusive])
        }
        #expect(try FileSystem.kind(of: directory.file("nowhere")) == nil)
    }

    @Test("noFollow refuses a symbolic link to a file")
    func noFollow() throws {
        #expect(symlink(path, directory.file("link")) == 0)
        #expect(throws: SystemError.self) { _ = try Descriptor(open: directory.file("link"), [.read, .noFollow]) }
    }

    @Test("The mode and kind are those of the open file")
    func modeAndKind() throws {
        let file = try Descriptor(open: path, [.read])
        try FileSystem.replace(path, with: [], mode: 0o600)
        #expect(try file.mode() == 0o640)
        #expect(try file.kind() == .file)
        #expect(try Descriptor(open: directory.path, [.read, .directory]).kind() == .directory)
        #expect(try Descriptor(open: "/dev/null", [.read]).kind() == .characterDevice)
    }

    @Test("A lock is given once, and again when its owner is gone")
    func lock() throws {
        let second = try Descriptor(open: path, [.read])
        try {
            let first = try Descriptor(open: path, [.read])
            #expect(try first.tryLock())
            #expect(try !second.tryLock())
        }()
        #expect(try second.tryLock())
    }

    @Test("Truncating cuts and extends")
    func truncate() throws {
        let file = try Descriptor(open: path, [.read, .write])
        try file.truncate(to: 2)
        try file.truncate(to: 4)
        try file.flush()
        #expect(try read(file, at: 0) == [0, 1, 0, 0])
    }

    @Test("Aligned memory is rounded up, starts zeroed, and is cleared and compared by ranges")
    func alignedBuffer() throws {
        let one = try AlignedBuffer(capacity: 4097)
        let other = try AlignedBuffer(capacity: 1)
        #expect(one.capacity == 8192 && other.capacity == 4096)
        #expect(one.equals(other, count: 4096))
        one.withMutableBytes { bytes in
            for index in 0..<100 { bytes.storeBytes(of: 1, toByteOffset: index, as: UInt8.self) }
        }
        #expect(!one.equals(other, count: 1))
        one.zero(from: 0, to: 99)
        #expect(one.equals(other, count: 99))
        #expect(!one.equals(other, count: 100))
        other.copy([UInt8](repeating: 7, count: 50).rawBytes, at: 1000)
        one.copy([UInt8](repeating: 7, count: 50).rawBytes, at: 0)
        #expect(one.equals(other, at: 1000, count: 50))
        #expect(!one.equals(other, at: 1000, count: 100))
        #expect(!one.equals(other, at: 999, count: 1))
    }
}
