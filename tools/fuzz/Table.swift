import BundleFormat
import Platform

/// Chunk tables: what is accepted is encoded to the same bytes, and its windows make the image.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: start, count: count))
    guard let table = try? ChunkTable.decode(input.rawBytes) else { return 0 }
    precondition(table.encode() == input, "the chunk table has two spellings")
    var sum: UInt64 = 0
    for index in table.windows.indices { sum += UInt64(table.plainLength(of: index)) }
    precondition(sum == table.imageSize, "the windows are not the image")
    return 0
}
