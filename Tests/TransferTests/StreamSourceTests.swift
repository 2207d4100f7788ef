import Foundation
import Platform
import Testing

@testable import Transfer

@Suite("A bundle that comes by a pipe")
struct StreamSourceTests {
    /// A source that reads what a thread writes in odd pieces.
    private func withPipe<R>(_ bytes: [UInt8], endsOpen: Bool = false, _ body: (StreamSource) throws -> R) throws -> R {
        let pipe = Pipe()
        let source = try StreamSource(
            Descriptor(duplicating: pipe.fileHandleForReading.fileDescriptor, path: "pipe"), name: "pipe")
        let writer = try WorkerThread(name: "writer") {
            var next = 0
            while next < bytes.count {
                let count = min(bytes.count - next, 1 + next % 70_001)
                do { try pipe.fileHandleForWriting.write(contentsOf: Data(bytes[next..<(next + count)])) } catch {
                    return
                }
                next += count
            }
            if !endsOpen { try? pipe.fileHandleForWriting.close() }
        }
        defer {
            // What the source left, so that the writer comes to its end.
            if !endsOpen { _ = try? pipe.fileHandleForReading.readToEnd() }
            writer.join()
            try? pipe.fileHandleForWriting.close()
        }
        return try body(source)
    }

    @Test("Rising ranges come exactly, and what lies between them is thrown away")
    func rising() throws {
        try withPipe(ServedObject.bytes) { source in
            for range: Range<UInt64> in [0..<1, 1..<2, 1000..<200_000, 299_999..<300_000] {
                Reading.of(source, range).expect(range)
            }
            #expect(source.isSequential && source.totalLength == nil)
            #expect(source.bytesReceived == 300_000)
        }
    }

    @Test("Bytes that went by are gone, with a code of its own")
    func back() throws {
        try withPipe(ServedObject.bytes) { source in
            Reading.of(source, 0..<100).expect(0..<100)
            #expect(Reading.of(source, 99..<200).error?.code == "transfer.stream-order")
            Reading.of(source, 100..<200).expect(100..<200)
        }
    }

    @Test("What is available comes up to the end, which tells the length")
    func available() throws {
        try withPipe(ServedObject.bytes) { source in
            Reading.of(source, 0..<1_000_000, available: true).expect(0..<300_000)
            #expect(source.totalLength == 300_000)
            #expect(Reading.of(source, 300_000..<300_001, available: true).error?.code == "transfer.stream-gone")
        }
    }

    @Test("A pipe that ends too early has its own code, because another pipe can go on")
    func short() throws {
        try withPipe(ServedObject.bytes) { source in
            let reading = Reading.of(source, 200_000..<300_001)
            #expect(reading.error?.code == "transfer.stream-gone")
            #expect(reading.error?.context == "pipe: it ended after 300000 bytes, 300001 are needed")
        }
    }

    @Test("A cancel ends the wait for a writer who says nothing")
    func cancel() throws {
        try withPipe(Array(ServedObject.bytes[..<10]), endsOpen: true) { source in
            let canceler = try WorkerThread(name: "cancel") {
                SystemTime().sleep(nanoseconds: 50_000_000)
                source.cancel()
            }
            let reading = Reading.of(source, 0..<100)
            canceler.join()
            #expect(reading.error == .canceled && reading.bytes == Array(ServedObject.bytes[..<10]))
        }
    }

    @Test("A minus sign is standard input, and no file of that name")
    func location() throws {
        #expect(try BundleLocation.parse("-") == .standardInput)
        #expect(try BundleLocation.parse("./-") == .file(path: "./-"))
        #expect(BundleLocation.standardInput.displayName == "standard input")
    }
}
