import Foundation
import Platform
import Synchronization
import Testing

@testable import Transfer

/// What a read gave: the delivered bytes, and the error that ended it.
struct Reading {
    var bytes: [UInt8] = []
    var error: TransferError?

    /// Reads and keeps both.
    static func of(_ source: any BundleSource, _ range: Range<UInt64>, available: Bool = false) -> Reading {
        var reading = Reading()
        var bytes: [UInt8] = []
        do {
            if available {
                try source.readAvailable(range) { (piece) throws(TransferError) in bytes += [UInt8](copying: piece) }
            } else {
                try source.read(range) { (piece) throws(TransferError) in bytes += [UInt8](copying: piece) }
            }
        } catch {
            reading.error = error
        }
        reading.bytes = bytes
        return reading
    }

    /// Fails the test unless exactly the bytes of this range of the served object came.
    func expect(_ range: Range<UInt64>, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(error == nil, sourceLocation: sourceLocation)
        let exact = bytes == Array(ServedObject.bytes[Int(range.lowerBound)..<Int(range.upperBound)])
        #expect(exact, "\(bytes.count) bytes came", sourceLocation: sourceLocation)
    }
}

extension HTTPOptions {
    /// Limits that keep a test short; the environment's proxy stays out.
    static var quick: HTTPOptions {
        var options = HTTPOptions()
        options.proxy = ""
        options.backOffBaseMilliseconds = 1
        options.backOffCapMilliseconds = 4
        options.attemptsWithoutProgress = 3
        options.stallMilliseconds = 60_000
        return options
    }
}

/// A source for a URL with quick options.
func source(
    _ text: String, _ options: HTTPOptions = .quick, time: any TimeSource = SystemTime()
) throws -> HTTPSource {
    try HTTPSource(HTTPAddress(text), options: options, time: time)
}

/// The machine's clock, except that a sleep is over at once and is only added to the clock.
final class SkippingTime: TimeSource {
    private let skipped = Atomic<UInt64>(0)
    var skippedNanoseconds: UInt64 { skipped.load(ordering: .relaxed) }

    func monotonicNanoseconds() -> UInt64 { SystemTime().monotonicNanoseconds() + skippedNanoseconds }
    func realSeconds() -> Int64 { SystemTime().realSeconds() }
    func sleep(nanoseconds: UInt64) { skipped.add(nanoseconds, ordering: .relaxed) }
}

/// Always the same bytes.
final class FixedRandom: RandomSource {
    private let byte: UInt8
    init(_ byte: UInt8) { self.byte = byte }
    func bytes(_ count: Int) throws(SystemError) -> [UInt8] { [UInt8](repeating: byte, count: count) }
}
