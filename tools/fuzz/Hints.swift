import BundleFormat
import Payload
import Platform

/// The record of a slot: any file is read to its end without harm; records that are made of any bytes are read back as
/// they were, and a changed byte makes them none.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: start, count: count))
    if let size = WindowHints.windowSize(header: input) {
        precondition(WindowHints.header(windowSize: size) == Array(input.prefix(WindowHints.headerLength)))
        let length = WindowHints.recordLength(windowSize: size)
        var window = 0
        var place = WindowHints.headerLength
        while place + length <= count {
            let record = Array(input[place..<(place + length)])
            if let hints = WindowHints.decode(record, window: window, windowSize: size) {
                let again = hints.encode(window: window, windowSize: size)
                precondition(
                    WindowHints.decode(again, window: window, windowSize: size) == hints, "a record has two meanings")
            }
            window += 1
            place += length
        }
    }
    if count < 44 { return 0 }
    guard let digest = Digest(bytes: input.rawBytes, at: 0) else { return 0 }
    var words: [BlockHint] = []
    for at in stride(from: 32, to: min(count - 8, 32 + 8 * 16), by: 8) {
        var word: UInt64 = 1
        for byte in input[at..<(at + 7)] { word = word << 8 | UInt64(byte) }
        words.append(BlockHint(word))
    }
    let hints = WindowHints(digest: digest, blocks: words)
    let window = Int(input[40])
    var record = hints.encode(window: window, windowSize: 65536)
    precondition(WindowHints.decode(record, window: window, windowSize: 65536) == hints, "a record is lost")
    record[Int(input[41]) * record.count / 256] ^= input[42] | 1
    precondition(WindowHints.decode(record, window: window, windowSize: 65536) == nil, "a changed record counts")
    return 0
}
