import BootControl
import BundleFormat
import Platform

/// Boot records: the first 480 bytes are the input and the checksum is made right, or nothing would get past it.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    var sector = Array(UnsafeBufferPointer(start: start, count: count).prefix(480))
    sector += [UInt8](repeating: 0, count: 480 - sector.count)
    sector += SHA256.digest(of: sector).bytes
    guard let found = try? BootRecord.Sector(decoding: sector) else { return 0 }
    precondition((try? found.encoded()) == sector, "a boot record has two spellings")
    _ = BootLoaderModel.choose(found.record)
    return 0
}
