import BundleFormat
import Platform

/// The manifest: what is accepted means the same after it was written again.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: start, count: count))
    guard let manifest = try? Manifest.decode(input) else { return 0 }
    let written = manifest.bytes
    guard let again = try? Manifest.decode(written) else { preconditionFailure("an accepted manifest is lost") }
    precondition(again == manifest && again.bytes == written, "a manifest changes when it is written")
    return 0
}
