import BundleFormat
import Platform

/// Header and signature section: what is accepted is encoded to the same bytes.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: start, count: count))
    if let section = try? SignatureSection.decode(input.rawBytes) {
        precondition(section.encode() == input, "the signature section has two spellings")
    }
    if let header = try? BundleHeader.decode(input.rawBytes) {
        precondition(header.encode() == Array(input.prefix(64)), "the header has two spellings")
    }
    return 0
}
