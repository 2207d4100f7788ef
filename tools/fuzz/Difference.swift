import Platform

@testable import Payload

/// The difference decoder, on streams that zstd frames need not hide: every input ends in an answer.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: start, count: count))
    guard let zstd = try? ZstdDecoder(), let residual = try? AlignedBuffer(capacity: 1 << 20),
        let scratch = try? AlignedBuffer(capacity: DifferenceStream.capacity)
    else { return 0 }
    let references = [UInt8](repeating: 7, count: 3000)
    _ = DifferenceStream(input.rawBytes)?.decode(
        references: references.rawBytes, residual: residual, count: 1000, scratch: scratch, zstd: zstd)
    return 0
}
