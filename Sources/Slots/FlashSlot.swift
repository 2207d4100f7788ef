public import BundleFormat
public import Payload
public import Platform

/// A bank inside a NOR flash, as BIOS and boot firmware have them.
///
/// Takes a raw chip or partition of it (`/dev/mtdN`), a `/dev/mtdblockN` device, or an image file of the flash (as
/// flashrom and emulators use). A raw chip's block is erased, then programmed, and a blank one only erased; on a file
/// the same happens to its bytes; the mtdblock driver erases by itself, so there a block is written once. NAND is
/// refused: its bad blocks are the affair of UBI.
///
/// Erase blocks that already hold what they should are left alone, which spares the chip. Behind the image the bank
/// is left erased (0xff), as flash tools do. A window smaller than an erase block makes that block be erased once
/// per window: give BIOS images windows of at least the erase size.
public final class FlashSlot: Slot, @unchecked Sendable {
    public let displayName: String
    /// Erase blocks changed since this object was made.
    public private(set) var eraseBlocksWritten = 0
    private let region: SlotRegion
    private let eraseSize: Int
    private var state: Open?
    /// Writers go one after the other: a chip does, and windows may share an erase block.
    private let monitor = Monitor()
    private var writtenBefore: UInt64 = 0

    /// What is there while the slot is open.
    private struct Open {
        let medium: SlotMedium
        let component: Component
        /// One erase block as it is, and as it must become.
        let present: AlignedBuffer
        let wanted: AlignedBuffer
    }

    /// Largest erase block that is taken, bytes.
    public static let largestErase: UInt64 = 1 << 20

    /// The bank of `size` bytes at `offset` of `path`, whose erase blocks have `eraseSize` bytes. Nothing is opened
    /// yet. Sizes that do not go together are `SlotError.unusable`.
    public init(name: String, path: String, offset: UInt64, size: UInt64, eraseSize: UInt64) throws(SlotError) {
        displayName = "\(name) (\(path))"
        guard (512...Self.largestErase).contains(eraseSize), eraseSize & (eraseSize - 1) == 0 else {
            throw .unusable(slot: displayName, why: "an erase block has 512 bytes to 1 MiB, a power of two")
        }
        guard offset % eraseSize == 0, size % eraseSize == 0, size > 0 else {
            throw .unusable(slot: displayName, why: "offset and size must be multiples of the erase block")
        }
        region = SlotRegion(path: path, offset: offset, size: size)
        self.eraseSize = Int(eraseSize)
    }

    public var bytesWritten: UInt64 { writtenBefore + (state?.medium.bytesWritten ?? 0) }

    public func check(_ component: Component) throws(SlotError) {
        if state == nil { _ = try fitting(component, for: .writing) }
    }

    public func open(_ component: Component) throws(SlotError) {
        state = try opened(component, for: .writing)
    }

    public func openForReading(_ component: Component) throws(SlotError) {
        let state = try opened(component, for: .reading)
        try state.medium.dropCache()
        self.state = state
    }

    private func opened(_ component: Component, for access: SlotMedium.Access) throws(SlotError) -> Open {
        close()
        let medium = try fitting(component, for: access)
        return Open(
            medium: medium, component: component, present: try medium.makeBuffer(capacity: eraseSize),
            wanted: try medium.makeBuffer(capacity: eraseSize))
    }

    private func fitting(_ component: Component, for access: SlotMedium.Access) throws(SlotError) -> SlotMedium {
        let medium = try SlotMedium(name: displayName, region: region, for: access, direct: false, takesChips: true)
        if let chip = medium.chip {
            if chip.isNAND { throw .unusable(slot: displayName, why: "\(region.path) is NAND, which needs UBI") }
            if chip.eraseSize == 0 || eraseSize % Int(chip.eraseSize) != 0 {
                throw .unusable(
                    slot: displayName,
                    why: "\(region.path) is erased by \(chip.eraseSize) bytes, and erase = \(eraseSize) is no multiple")
            }
        }
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
        let open = try opened()
        try window.check(belongsTo: open.component, slot: displayName)
        try monitor.locked { () throws(SlotError) in try program(window, open) }
    }

    private func program(_ window: borrowing VerifiedWindow, _ open: Open) throws(SlotError) {
        let end = window.offset + UInt64(window.length)
        var position = window.offset
        while position < end {
            let block = position / UInt64(eraseSize) * UInt64(eraseSize)
            let inBlock = Int(position - block)
            let count = min(eraseSize - inBlock, Int(end - position))
            let from = Int(position - window.offset)
            try load(block, open)
            open.wanted.copy(window.buffer.bytes.extracting(from..<(from + count)), to: inBlock)
            if position + UInt64(count) == open.component.size {
                open.wanted.fill(0xff, from: inBlock + count, to: eraseSize)
            }
            try replace(block, open)
            position += UInt64(count)
        }
    }

    public func flush() throws(SlotError) { try opened().medium.flush() }

    public func seal(_ component: Component) throws(SlotError) {
        let open = try opened()
        try open.medium.checkWritable()
        var block = component.size / UInt64(eraseSize) * UInt64(eraseSize)
        while block < open.medium.capacity {
            try load(block, open)
            let used = component.size > block ? Int(component.size - block) : 0
            open.wanted.fill(0xff, from: used, to: eraseSize)
            try replace(block, open)
            block += UInt64(eraseSize)
        }
        try open.medium.flush()
        try open.medium.dropCache()
        try open.medium.checkTail(is: 0xff, from: component.size, to: open.medium.capacity, slot: displayName)
    }

    public func publish(_ component: Component, release: String) throws(SlotError) {}

    public func close() {
        writtenBefore = bytesWritten
        state = nil
    }

    /// Reads an erase block to both buffers.
    private func load(_ block: UInt64, _ open: Open) throws(SlotError) {
        let count = try open.medium.read(at: block, count: eraseSize, into: open.present)
        if count != eraseSize { throw .unusable(slot: displayName, why: "it ends inside an erase block") }
        open.wanted.copy(open.present.bytes.extracting(0..<eraseSize), to: 0)
    }

    /// Erases and programs a block that is not yet as wanted.
    private func replace(_ block: UInt64, _ open: Open) throws(SlotError) {
        if open.present.equals(open.wanted, count: eraseSize) { return }
        let blank = open.wanted.consists(of: 0xff, count: eraseSize)
        if open.medium.chip != nil {
            if !open.present.consists(of: 0xff, count: eraseSize) { try open.medium.erase(at: block, count: eraseSize) }
            if !blank { try open.medium.write(open.wanted, count: eraseSize, at: block) }
            eraseBlocksWritten += 1
            return
        }
        if !open.medium.isBlockDevice && !open.present.consists(of: 0xff, count: eraseSize) {
            open.present.fill(0xff, from: 0, to: eraseSize)
            try open.medium.write(open.present, count: eraseSize, at: block)
        }
        if open.medium.isBlockDevice || !blank { try open.medium.write(open.wanted, count: eraseSize, at: block) }
        eraseBlocksWritten += 1
    }

    private func opened() throws(SlotError) -> Open {
        guard let state else { throw .unusable(slot: displayName, why: "it is not open") }
        return state
    }
}
