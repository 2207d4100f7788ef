import BundleFormat
import Platform
import Trust

/// The root file and the document in it: what is accepted means the same after it was written again, and no input
/// that is not signed becomes a trust store.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: start, count: count))
    var document = input
    if let file = try? RootFile.decode(input) {
        precondition((try? RootFile.decode(file.bytes)) == file, "a root file changes when it is written")
        document = file.payload
    }
    if let root = try? TrustRoot.decode(document) {
        precondition((try? TrustRoot.decode(root.bytes)) == root, "a root document changes when it is written")
        for group in root.roles.flatMap({ $0.groups }) {
            precondition(group.threshold >= 1 && group.threshold <= group.keys.count)
        }
    }
    _ = try? TrustStore(rootFile: input)
    return 0
}
