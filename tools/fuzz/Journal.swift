import BootControl
import BundleFormat
import Platform
import UpdateEngine

/// Both slots of a journal, in memory.
final class TwoSlots: StateStore, @unchecked Sendable {
    private var slots: [[UInt8]?]

    init(_ slots: [[UInt8]?]) { self.slots = slots }

    func readJournal(slot: Int) throws(SystemError) -> [UInt8]? { slots[slot] }
    func writeJournal(slot: Int, _ bytes: [UInt8]) throws(SystemError) { slots[slot] = bytes }
    func readHead(_ set: SlotSet) throws(SystemError) -> [UInt8]? { nil }
    func writeHead(_ set: SlotSet, _ bytes: [UInt8]) throws(SystemError) {}
    func readHints(
        _ target: Identifier, _ set: SlotSet, at offset: UInt64, count: Int
    ) throws(SystemError) -> [UInt8] { [] }
    func writeHints(_ target: Identifier, _ set: SlotSet, _ bytes: [UInt8], at offset: UInt64) throws(SystemError) {}
    func cancelRequested() -> Bool { false }
    func setCancelRequest(_ present: Bool) throws(SystemError) {}
    func heldAttempt() -> String? { nil }
    func setHeldAttempt(_ attempt: String?) throws(SystemError) {}
}

/// The journal: the input is its document, in a slot whose digest is right; what is read can be saved and read again.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let body = Array(UnsafeBufferPointer(start: start, count: count))
    var covered = ByteWriter()
    covered.u64(1)
    covered.array(body)
    var slot = ByteWriter()
    slot.array(Array("KEDGEJN1".utf8))
    slot.u64(1)
    slot.u32(UInt32(body.count))
    slot.u32(0)
    slot.digest(SHA256.digest(of: covered.bytes))
    slot.array(body)
    let store = TwoSlots([slot.bytes, nil])
    guard let journal = try? Journal(store) else { preconditionFailure("a journal that cannot be read is an empty one") }
    let state = journal.state
    guard (try? journal.save(state)) != nil else { return 0 }
    precondition((try? Journal(store))?.state == state, "a journal changes when it is saved")
    return 0
}
