public import BundleFormat
public import Payload
public import Platform

/// A slot that is a block device, a regular file, or a region of either.
///
/// Windows go past the page cache (O_DIRECT) where offset and length are multiples of 4096 and the medium takes it;
/// where it does not (EINVAL), that is remembered and the page cache is used. The last window of an image is padded
/// with zeros to a multiple of 4096 if the slot has room.
///
/// **The tail.** Behind the image, `seal` leaves zeros up to the next multiple of 1 MiB or the slot's end, not
/// further. Zeroing all of a slot that is mostly empty would cost more writes than the update itself, and nobody
/// reads there: image size and digest come from the manifest, a file system keeps its own size in its superblock at
/// the front, and dm-verity data starts at an offset that belongs to the image. The first MiB is what a reader that
/// rounds up, or guesses at a hash tree right behind a file system, would see. Erase a slot that held secrets
/// yourself (blkdiscard).
public final class BlockSlot: Slot, @unchecked Sendable {
    public let displayName: String
    private let region: SlotRegion
    private var medium: SlotMedium?
    private var component: Component?
    /// Bytes written through media that are closed by now.
    private var writtenBefore: UInt64 = 0

    /// Zeros behind an image reach to a multiple of this, bytes.
    public static let tailUnit: UInt64 = 1 << 20

    /// A slot at `offset` of `path`; without `size` it reaches to the medium's end. Nothing is opened yet.
    public init(name: String, path: String, offset: UInt64 = 0, size: UInt64? = nil) {
        displayName = "\(name) (\(path))"
        region = SlotRegion(path: path, offset: offset, size: size)
    }

    public var bytesWritten: UInt64 { writtenBefore + (medium?.bytesWritten ?? 0) }
    /// Whether writes go past the page cache; false when nothing is open.
    var usesDirect: Bool { medium?.usesDirect ?? false }

    public func check(_ component: Component) throws(SlotError) {
        if medium == nil { _ = try fitting(component, for: .writing) }
    }

    public func open(_ component: Component) throws(SlotError) {
        close()
        medium = try fitting(component, for: .writing)
        self.component = component
    }

    public func openForReading(_ component: Component) throws(SlotError) {
        close()
        medium = try fitting(component, for: .reading)
        self.component = component
    }

    private func fitting(_ component: Component, for access: SlotMedium.Access) throws(SlotError) -> SlotMedium {
        let medium = try SlotMedium(name: displayName, region: region, for: access, direct: true)
        if component.size > medium.capacity {
            throw .tooSmall(slot: displayName, capacity: medium.capacity, needed: component.size)
        }
        return medium
    }

    public func holds(_ component: Component) throws(SlotError) -> Bool { false }

    public func read(at offset: UInt64, count: Int, into buffer: AlignedBuffer) throws(SlotError) -> Int {
        try opened().medium.read(at: offset, count: count, into: buffer)
    }

    public func write(_ window: borrowing VerifiedWindow) throws(SlotError) {
        let (medium, component) = try opened()
        try window.check(belongsTo: component, slot: displayName)
        let isLast = window.offset + UInt64(window.length) == component.size
        try medium.write(window.buffer, count: window.length, at: window.offset, padded: isLast)
    }

    public func flush() throws(SlotError) { try opened().medium.flush() }

    public func seal(_ component: Component) throws(SlotError) {
        let medium = try opened().medium
        try medium.checkWritable()
        let end = (component.size + Self.tailUnit - 1) / Self.tailUnit * Self.tailUnit
        try medium.fillTail(with: 0, from: component.size, to: min(end, medium.capacity))
        try medium.flush()
        try medium.dropCache()
        try medium.checkTail(is: 0, from: component.size, to: min(end, medium.capacity), slot: displayName)
    }

    public func publish(_ component: Component, release: String) throws(SlotError) {}

    public func close() {
        writtenBefore = bytesWritten
        medium = nil
        component = nil
    }

    private func opened() throws(SlotError) -> (medium: SlotMedium, component: Component) {
        guard let medium, let component else { throw .unusable(slot: displayName, why: "it is not open") }
        return (medium, component)
    }
}
