import BundleFormat
import Platform
import Trust

/// Both copies of the kept roots, in memory.
final class TwoCopies: TrustMedium, @unchecked Sendable {
    private var copies: [[UInt8]?]

    init(_ copies: [[UInt8]?]) { self.copies = copies }

    func read(slot: Int) throws(SystemError) -> [UInt8]? { copies[slot] }
    func write(slot: Int, _ bytes: [UInt8]) throws(SystemError) -> [UInt8] {
        copies[slot] = bytes
        return bytes
    }
}

/// The built-in root of the walk.
nonisolated(unsafe) let anchor = (try? FileSystem.read("Fixtures/trust/root.json", limit: RootFile.limit)) ?? []

/// The kept roots: the first byte is their number, the rest the body of a copy whose digest is right. Whatever it is,
/// the walk begins at the built-in root and takes nothing that is not signed; what is stored is found again.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: start, count: count))
    guard let number = input.first else { return 0 }
    let body = Array(input.dropFirst())
    var copy = ByteWriter()
    copy.array(Array("KEDGETR1".utf8))
    copy.u32(UInt32(body.count))
    copy.u32(UInt32(number))
    copy.digest(SHA256.digest(of: body))
    copy.array(body)
    let home = TrustHome(TwoCopies([copy.bytes, nil]))
    guard let chain = try? home.load(anchor: anchor) else { preconditionFailure("the built-in root stands for itself") }
    precondition(chain.trust.root.version == chain.anchor.version, "an unsigned root was taken")
    guard (try? home.store(chain, anchor: anchor)) != nil else { preconditionFailure("a chain cannot be kept") }
    guard let again = try? home.load(anchor: anchor) else { preconditionFailure("a kept chain is lost") }
    precondition(again.trust.root == chain.trust.root && again.steps == chain.steps, "a chain changes when it is kept")
    return 0
}
