import BundleFormat
import Platform

/// Block indexes of a small image: what is accepted lies one block behind the other.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: start, count: count))
    let digest = SHA256.digest(of: [1])
    let codecs: [WindowCodec] = [.zstd, .zero, .zstd, .zstd]
    let windows = codecs.map { codec in
        WindowEntry(
            codec: codec, plainDigest: digest, storedDigest: digest, storedOffset: 0,
            storedLength: codec == .zero ? 0 : 99)
    }
    guard let chunks = try? ChunkTable(windowSize: 8192, imageSize: 3 * 8192 + 100, windows: windows),
        let index = try? BlockIndex.decode(input, of: chunks)
    else { return 0 }
    precondition(index.encode() == input, "the block index has two spellings")
    var end = index.payloadOffset
    for window in 0..<4 where index.hasBlocks(window) {
        precondition(index.pageOffset(of: window) == end, "a page is misplaced")
        end += UInt64(index.pageLength(of: window))
        for block in index.blocks(of: window) {
            precondition(block.storedOffset == end && block.storedLength <= block.length, "a block is misplaced")
            end += UInt64(block.storedLength)
        }
    }
    precondition(end == index.payloadOffset + index.payloadLength, "the blocks are not the payload")
    return 0
}
