internal import Platform

/// Where a raw slot is: a whole block device or regular file, or a part of one.
struct SlotRegion: Sendable {
    let path: String
    /// Bytes from the start of the medium.
    let offset: UInt64
    /// Bytes of the slot; nil: up to the end of the medium.
    let size: UInt64?
}

/// An open region of a block device or regular file. Nothing is ever read or written outside it, and the medium's
/// size never changes.
final class SlotMedium: @unchecked Sendable {
    /// The past-the-page-cache descriptor; a class because an optional of one must be given up later.
    private final class Direct {
        let descriptor: Descriptor
        init(_ path: String, _ options: Descriptor.Options) throws(SystemError) {
            descriptor = try Descriptor(open: path, [options, .direct])
        }
    }

    /// What a region is opened for.
    enum Access {
        /// Exclusively where the kernel can tell.
        case writing
        /// Beside whoever else uses it, for instance a mounted file system.
        case reading
    }

    /// Bytes of the region.
    let capacity: UInt64
    let isBlockDevice: Bool
    /// The flash chip, where the medium is a raw one.
    let chip: FlashChip?
    private let name: String
    private let offset: UInt64
    private let buffered: Descriptor
    private let access: Access
    private var direct: Direct?
    private var written: UInt64 = 0
    private let monitor = Monitor()

    /// Opens the region.
    ///
    /// For writing, a region that is a whole block device is opened exclusively, and stays so: one that is mounted, used for swap
    /// or held by a loop device or device mapper gives `SlotError.inUse`, and nobody can mount it meanwhile. For a
    /// part of a device that cannot be asked: the kernel would answer for the whole device, on which the running
    /// root file system may well have its own partition. Give slots partitions of their own where you can.
    ///
    /// `takesChips` lets a raw flash device be opened too; who writes there erases first.
    init(
        name: String, region: SlotRegion, for access: Access, direct wantsDirect: Bool, takesChips: Bool = false
    ) throws(SlotError) {
        self.name = name
        self.access = access
        offset = region.offset
        let total: UInt64
        (isBlockDevice, chip) = try Self.kind(of: region.path, name: name, takesChips: takesChips)
        if let chip {
            total = chip.size
        } else {
            do { total = try Descriptor(open: region.path, [.read]).size() } catch { throw .system(slot: name, error) }
        }
        let left = total < region.offset ? 0 : total - region.offset
        if let size = region.size, size > left {
            throw .unusable(slot: name, why: "its region reaches behind the end of \(region.path) (\(total) bytes)")
        }
        capacity = region.size ?? left
        if capacity == 0 { throw .unusable(slot: name, why: "it has no bytes") }
        var options: Descriptor.Options = [.read]
        if access == .writing { options.insert(.write) }
        let held: Descriptor.Options = access == .writing && isBlockDevice && capacity == total ? [.exclusive] : []
        do {
            buffered = try Descriptor(open: region.path, [options, held])
            if access == .writing && isBlockDevice { try Self.refuseReadOnly(buffered) }
            direct = wantsDirect ? try Self.openDirect(region.path, options) : nil
        } catch {
            throw error.number == SystemError.busy ? .inUse(slot: name) : .system(slot: name, error)
        }
    }

    private static func refuseReadOnly(_ device: borrowing Descriptor) throws(SystemError) {
        if try device.isReadOnlyDevice() {
            throw SystemError(number: SystemError.readOnly, operation: "open", subject: device.path)
        }
    }

    private static func kind(
        of path: String, name: String, takesChips: Bool
    ) throws(SlotError) -> (isBlockDevice: Bool, chip: FlashChip?) {
        let kind: FileKind?
        do { kind = try FileSystem.kind(of: path) } catch { throw .system(slot: name, error) }
        switch kind {
        case .blockDevice: return (isBlockDevice: true, chip: nil)
        case .file: return (isBlockDevice: false, chip: nil)
        case nil: throw .unusable(slot: name, why: "\(path) does not exist")
        case .directory: throw .unusable(slot: name, why: "\(path) is a directory")
        case .characterDevice where takesChips:
            do throws(SystemError) {
                return (isBlockDevice: false, chip: try Descriptor(open: path, [.read]).flashChip())
            } catch {
                throw .unusable(slot: name, why: "\(path) is a character device, and no flash (\(error.context))")
            }
        case .characterDevice: throw .unusable(slot: name, why: "\(path) is a character device")
        case .other: throw .unusable(slot: name, why: "\(path) is neither a block device nor a file")
        }
    }

    /// Nil where the file system has no direct I/O (open(2): EINVAL).
    private static func openDirect(_ path: String, _ options: Descriptor.Options) throws(SystemError) -> Direct? {
        do { return try Direct(path, options) } catch {
            if error.number == SystemError.invalid { return nil }
            throw error
        }
    }

    /// Whether direct I/O is still in use.
    var usesDirect: Bool { monitor.locked { direct != nil } }

    /// Reads up to `count` bytes at `position` of the region; fewer only where the region ends. Several threads may
    /// read and write at once.
    func read(at position: UInt64, count: Int, into buffer: AlignedBuffer) throws(SlotError) -> Int {
        if let done = try readDirectly(at: position, count: count, into: buffer) { return done }
        let wanted = min(count, buffer.capacity, Int(clamping: capacity - position))
        do { return try buffered.read(into: buffer, count: wanted, at: offset + position) } catch {
            throw .system(slot: name, error)
        }
    }

    /// The same past the page cache; nil where this medium, or these bytes, cannot be read so.
    private func readDirectly(at position: UInt64, count: Int, into buffer: AlignedBuffer) throws(SlotError) -> Int? {
        if position >= capacity { return 0 }
        let wanted = min(count, buffer.capacity, Int(clamping: capacity - position))
        let whole = Self.rounded(wanted)
        guard isAligned(position, count: whole) else { return nil }
        do {
            let done = try directly { (file) throws(SystemError) in
                try file.read(into: buffer, count: whole, at: self.offset + position)
            }
            return done.map { min($0, wanted) }
        } catch { throw .system(slot: name, error) }
    }

    /// Writes the first `count` bytes of `buffer` at `position`. With `padded`, bytes behind them up to the next
    /// multiple of 4096 may be written too, where the region has room: they must be what belongs there.
    func write(_ buffer: AlignedBuffer, count: Int, at position: UInt64, padded: Bool = false) throws(SlotError) {
        try checkWritable()
        guard position <= capacity, UInt64(count) <= capacity - position else {
            throw .tooSmall(slot: name, capacity: capacity, needed: position + UInt64(count))
        }
        let whole = padded ? Self.rounded(count) : count
        do {
            if isAligned(position, count: whole) {
                let done = try directly { (file) throws(SystemError) in
                    try file.write(buffer, count: whole, at: self.offset + position)
                    return whole
                }
                if let done { return self.count(written: done) }
            }
            try buffered.write(buffer, count: count, at: offset + position)
        } catch { throw .system(slot: name, error) }
        self.count(written: count)
    }

    /// Bytes written to the medium, padding included.
    var bytesWritten: UInt64 { monitor.locked { written } }

    private func count(written bytes: Int) { monitor.locked { written += UInt64(bytes) } }

    /// Refuses what only a slot that is open for writing may do.
    func checkWritable() throws(SlotError) {
        if access == .reading { throw .unusable(slot: name, why: "it is open for reading only") }
    }

    /// Memory for one access.
    func makeBuffer(capacity: Int) throws(SlotError) -> AlignedBuffer {
        do { return try AlignedBuffer(capacity: capacity) } catch { throw .system(slot: name, error) }
    }

    /// Erases blocks of a raw chip.
    func erase(at position: UInt64, count: Int) throws(SlotError) {
        try checkWritable()
        do { try buffered.eraseFlash(at: offset + position, size: UInt64(count)) } catch {
            throw .system(slot: name, error)
        }
    }

    /// fdatasync. Writes past the page cache are on the same inode, so one flush covers both descriptors. On a raw
    /// chip a write is there when it returns, and there is nothing to flush or to forget.
    func flush() throws(SlotError) {
        if chip != nil { return }
        do { try buffered.flush() } catch { throw .system(slot: name, error) }
    }

    /// Makes the next reads come from the medium.
    func dropCache() throws(SlotError) {
        if chip != nil { return }
        do { try buffered.dropCache(at: offset, size: capacity) } catch { throw .system(slot: name, error) }
    }

    /// What `body` gives, or nil when this medium takes no direct I/O, which is remembered.
    private func directly(
        _ body: (borrowing Descriptor) throws(SystemError) -> Int
    ) throws(SystemError) -> Int? {
        guard let direct = monitor.locked({ self.direct }) else { return nil }
        do { return try body(direct.descriptor) } catch {
            if error.number != SystemError.invalid { throw error }
            monitor.locked { self.direct = nil }
            return nil
        }
    }

    /// Whether an access can go past the page cache and stays in the region.
    private func isAligned(_ position: UInt64, count: Int) -> Bool {
        let alignment = UInt64(AlignedBuffer.alignment)
        return (offset + position) % alignment == 0 && UInt64(count) % alignment == 0
            && UInt64(count) <= capacity - position
    }

    private static func rounded(_ count: Int) -> Int {
        (count + AlignedBuffer.alignment - 1) / AlignedBuffer.alignment * AlignedBuffer.alignment
    }
}
