import Foundation
import Platform
import TestSupport
import Testing

@testable import Transfer

@Suite("An HTTP source and its reader", .needsHostileServer, .timeLimit(.minutes(1)))
struct HTTPDeliveryTests {
    @Test("A slow reader is no stall")
    func slowReader() throws {
        let time = SkippingTime()
        var options = HTTPOptions.quick
        // If the reader's time counted, 100 kB in 1000 s would be far below this limit.
        options.stallBytesPerSecond = 10_000
        options.stallMilliseconds = 30_000
        options.attemptsWithoutProgress = 1
        let source = try source(HostileServer.url("pause").text, options, time: time)
        var bytes: [UInt8] = []
        try source.read(0..<ServedObject.length) { (piece) throws(TransferError) in
            if bytes.isEmpty { time.sleep(nanoseconds: 1_000_000_000_000) }
            bytes += [UInt8](copying: piece)
        }
        #expect(bytes == ServedObject.bytes)
    }

    @Test(
        "An error of the reader ends the transfer and comes out unchanged",
        arguments: [
            TransferError.stopped, .system(SystemError(number: 28, operation: "write", subject: "slot")),
            .network(.stalled, source: "not this one", detail: "made by the reader"),
        ])
    func readerError(error: TransferError) throws {
        let (url, key) = try HostileServer.url("plain")
        let source = try source(url)
        var pieces = 0
        #expect(throws: error) {
            try source.read(0..<ServedObject.length) { (_) throws(TransferError) in
                pieces += 1
                throw error
            }
        }
        #expect(pieces == 1)
        #expect(try HostileServer.requests(key).count == 1)
    }

    @Test("After an error of the reader the source can be read again")
    func readsAgain() throws {
        let source = try source(HostileServer.url("plain").text)
        #expect(throws: TransferError.stopped) {
            try source.read(0..<ServedObject.length) { (_) throws(TransferError) in throw TransferError.stopped }
        }
        Reading.of(source, 10..<20).expect(10..<20)
    }

    @Test("The length is known before the first byte is delivered")
    func lengthInTime() throws {
        let source = try source(HostileServer.url("plain").text)
        #expect(source.totalLength == nil)
        var seen: UInt64?
        try source.read(0..<10) { (_) throws(TransferError) in seen = source.totalLength }
        #expect(seen == ServedObject.length)
    }

    @Test("Programs started during a transfer do not inherit its connection")
    func notInherited() throws {
        let server = try #require(HostileServer.shared)
        let source = try source(HostileServer.url("plain").text)
        var flags: [Int32] = []
        try source.read(0..<10) { (_) throws(TransferError) in
            for descriptor in 0..<Int32(1024) where peerPort(of: descriptor) == server.port {
                flags.append(fcntl(descriptor, F_GETFD))
            }
        }
        #expect(!flags.isEmpty)
        #expect(flags.allSatisfy { $0 & FD_CLOEXEC != 0 })
    }

    /// Reads on a thread of its own, cancels once `ready` says so, and gives what the read gave.
    private func canceled(_ source: HTTPSource, when ready: () throws -> Bool) throws -> Reading {
        let result = Result()
        let reader = try WorkerThread(name: "reader") { result.reading = Reading.of(source, 0..<200_000) }
        while try !ready() { usleep(1000) }
        source.cancel()
        reader.join()
        return result.reading
    }

    private final class Result: @unchecked Sendable { var reading = Reading() }

    @Test("A cancel ends a read of a silent server")
    func cancelSilence() throws {
        let source = try source(HostileServer.url("silence").text)
        let reading = try canceled(source) { source.bytesReceived == 1000 }
        #expect(reading.error == .canceled)
        #expect(reading.bytes == Array(ServedObject.bytes[..<1000]))
    }

    @Test("A cancel ends the wait for a retry")
    func cancelWait() throws {
        var options = HTTPOptions.quick
        options.backOffBaseMilliseconds = 3_600_000
        options.backOffCapMilliseconds = 3_600_000
        let (url, key) = try HostileServer.url("come-back-much-later")
        let source = try source(url, options)
        let reading = try canceled(source) { try HostileServer.requests(key).count == 1 }
        #expect(reading.error == .canceled)
        #expect(reading.bytes.isEmpty)
    }

    @Test("After a cancel every read is canceled and nothing is sent")
    func staysCanceled() throws {
        let (url, key) = try HostileServer.url("plain")
        let source = try source(url)
        source.cancel()
        #expect(Reading.of(source, 0..<10).error == .canceled)
        #expect(Reading.of(source, 0..<10, available: true).error == .canceled)
        #expect(try HostileServer.requests(key).isEmpty)
    }

    @Test("A cancel by the reader ends the read after the piece in hand")
    func cancelInside() throws {
        let source = try source(HostileServer.url("plain").text)
        var pieces = 0
        #expect(throws: TransferError.canceled) {
            try source.read(0..<ServedObject.length) { (_) throws(TransferError) in
                pieces += 1
                source.cancel()
            }
        }
        #expect(pieces == 1)
    }
}
