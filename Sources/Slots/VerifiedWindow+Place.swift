internal import BundleFormat
internal import Payload

extension VerifiedWindow {
    /// A window of another component, or one behind the image's end, must not reach a medium.
    borrowing func check(belongsTo component: Component, slot: String) throws(SlotError) {
        let id = self.component
        if id != component.id { throw .unusable(slot: slot, why: "it is open for \(component.id), not \(id)") }
        let end = offset + UInt64(length)
        if end > component.size { throw .tooSmall(slot: slot, capacity: component.size, needed: end) }
    }
}
