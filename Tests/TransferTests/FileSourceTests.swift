import Foundation
import Platform
import Testing

@testable import Transfer

@Suite("A file source")
struct FileSourceTests {
    private func withFile<R>(_ bytes: [UInt8], _ body: (String) throws -> R) throws -> R {
        try withTemporaryDirectory { directory in
            try Data(bytes).write(to: URL(filePath: directory + "/bundle"))
            return try body(directory + "/bundle")
        }
    }

    @Test(
        "Every range comes exactly, whatever the size of the pieces",
        arguments: [0..<1, 0..<262_144, 0..<262_145, 262_143..<300_000, 1..<299_999, 300_000..<300_000, 9..<9])
    func ranges(range: Range<Int>) throws {
        try withFile(ServedObject.bytes) { path in
            let source = try FileSource(path: path)
            let wanted = UInt64(range.lowerBound)..<UInt64(range.upperBound)
            Reading.of(source, wanted).expect(wanted)
            #expect(source.bytesReceived == UInt64(range.count))
            #expect(source.totalLength == ServedObject.length)
            #expect(source.displayName == path)
        }
    }

    @Test("Without dropping pages the same bytes come")
    func keepsPages() throws {
        try withFile(ServedObject.bytes) { path in
            try Reading.of(FileSource(path: path, dropsBehind: false), 7..<290_000).expect(7..<290_000)
        }
    }

    @Test("A range that reaches behind the end is out of range and delivers nothing")
    func outOfRange() throws {
        try withFile(ServedObject.bytes) { path in
            let reading = try Reading.of(FileSource(path: path), 0..<300_001)
            #expect(reading.error == .outOfRange(source: path, end: 300_001, length: 300_000))
            #expect(reading.bytes.isEmpty)
        }
    }

    @Test("What is available comes, up to the end")
    func available() throws {
        try withFile(ServedObject.bytes) { path in
            try Reading.of(FileSource(path: path), 299_000..<1_000_000, available: true).expect(299_000..<300_000)
        }
    }

    @Test("Nothing is available behind the end", arguments: [300_000, 300_001] as [UInt64])
    func availableBehindEnd(first: UInt64) throws {
        try withFile(ServedObject.bytes) { path in
            let reading = try Reading.of(FileSource(path: path), first..<first + 10, available: true)
            #expect(reading.error?.code == "transfer.out-of-range")
        }
    }

    @Test("A missing file and a directory are storage errors")
    func unreadable() throws {
        try withTemporaryDirectory { directory in
            #expect(throws: TransferError.system(SystemError(number: 2, operation: "open", subject: directory + "/no")))
            {
                try FileSource(path: directory + "/no")
            }
            #expect(throws: TransferError.self) { try FileSource(path: directory) }
        }
    }

    @Test("A cancel between two pieces ends the read, and later reads too")
    func cancel() throws {
        try withFile(ServedObject.bytes) { path in
            let source = try FileSource(path: path)
            var count = 0
            #expect(throws: TransferError.canceled) {
                try source.read(0..<300_000) { (piece) throws(TransferError) in
                    count += piece.byteCount
                    source.cancel()
                }
            }
            #expect(count == FileSource.pieceBytes)
            #expect(Reading.of(source, 0..<1).error == .canceled)
        }
    }

    @Test("An error of the reader comes out unchanged")
    func readerError() throws {
        try withFile(ServedObject.bytes) { path in
            let source = try FileSource(path: path)
            #expect(throws: TransferError.stopped) {
                try source.read(0..<10) { (_) throws(TransferError) in throw TransferError.stopped }
            }
        }
    }

    @Test("A file that shrinks while it is read is an error")
    func shrinks() throws {
        try withFile(ServedObject.bytes) { path in
            let source = try FileSource(path: path)
            try Data(ServedObject.bytes[..<1000]).write(to: URL(filePath: path), options: [])
            let reading = Reading.of(source, 0..<300_000)
            #expect(reading.error == .fileChanged(path: path))
        }
    }
}
