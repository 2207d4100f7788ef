import Foundation
import Platform
import Testing
import Transfer

@testable import UpdateEngine

@Suite("Bytes that came with the head")
struct PrefixedSourceTests {
    private let device: TestDevice
    private let bytes: [UInt8]
    private let file: FileSource
    private let source: PrefixedSource

    /// 1000 bytes, of which 100..<300 are already here.
    init() throws {
        device = try TestDevice()
        bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        try FileSystem.replace(device.directory + "/source", with: bytes)
        file = try FileSource(path: device.directory + "/source")
        source = PrefixedSource(file, at: 100, bytes: Array(bytes[100..<300]))
    }

    private func read(_ range: Range<UInt64>) throws -> [UInt8] {
        var out: [UInt8] = []
        try source.read(range) { (piece) throws(TransferError) in out += [UInt8](copying: piece) }
        return out
    }

    static let ranges: [(range: Range<UInt64>, fetched: UInt64)] = [
        (100..<300, 0), (150..<200, 0), (299..<300, 0), (100..<100, 0), (100..<301, 1), (250..<1000, 700),
        (300..<400, 100), (0..<100, 100), (0..<200, 200), (99..<100, 1),
    ]

    @Test("Any range gives the source's bytes, and only what is not here is fetched", arguments: ranges)
    func anyRange(range: Range<UInt64>, fetched: UInt64) throws {
        #expect(try read(range) == Array(bytes[Int(range.lowerBound)..<Int(range.upperBound)]))
        #expect(source.bytesReceived == fetched && file.bytesReceived == fetched)
    }

    @Test("What the receiver throws ends the read, also in the part from memory")
    func stops() {
        #expect(throws: TransferError.stopped) {
            try source.read(100..<400) { (_) throws(TransferError) in throw .stopped }
        }
        #expect(file.bytesReceived == 0)
    }

    @Test("The rest of the source is the source's own")
    func passesOn() throws {
        #expect(source.totalLength == 1000 && source.displayName == file.displayName)
        source.cancel()
        #expect(throws: TransferError.canceled) { try read(300..<400) }
    }
}
