public import BundleFormat
public import Payload
public import Platform
internal import StrictJSON

/// One slot set's place for a container image in a `ContainerStore`.
///
/// The image is written to a part file whose space is reserved first, and becomes a blob only in `publish`. A part
/// that is there already is gone on with: its windows are compared like those of any slot.
public final class ContainerStoreSlot: Slot, @unchecked Sendable {
    public let displayName: String
    private let store: ContainerStore
    private let target: Identifier
    private let generation: String
    private var state: Open?
    private var written: UInt64 = 0
    private let monitor = Monitor()

    /// What is there while the slot is open. A class, because an optional descriptor must be given up on `close`.
    private final class Open {
        let file: Descriptor
        let component: Component
        /// False for a published blob.
        let isPart: Bool

        init(_ file: consuming Descriptor, _ component: Component, isPart: Bool) {
            self.file = file
            self.component = component
            self.isPart = isPart
        }
    }

    /// Room that must be left for directories and the generation file, bytes.
    public static let reserve: UInt64 = 1 << 20

    /// The place of slot set `generation` (`a` or `b`) for `target`. Nothing is opened yet.
    public init(name: String, store: ContainerStore, target: Identifier, generation: String) {
        displayName = "\(name) (\(store.path))"
        self.store = store
        self.target = target
        self.generation = generation
    }

    public var directory: String? { store.path }
    public var bytesWritten: UInt64 { monitor.locked { written } }

    private func count(written bytes: Int) { monitor.locked { written += UInt64(bytes) } }

    public func check(_ component: Component) throws(SlotError) {
        if try blobIsThere(component) { return }
        let (place, kind) = try system { () throws(SystemError) in
            // The directory may not have been made yet; its file system is what counts.
            var place = self.store.path
            var kind = try FileSystem.kind(of: place)
            while kind == nil && FileSystem.parent(of: place) != place {
                place = FileSystem.parent(of: place)
                kind = try FileSystem.kind(of: place)
            }
            return (place, kind)
        }
        guard case .directory = kind else { throw .unusable(slot: displayName, why: "\(place) is not a directory") }
        let (free, needed) = try space(for: component, at: place)
        if free < needed { throw .noSpace(slot: displayName, free: free, needed: needed) }
    }

    /// Free bytes, and how many a component still needs: what its part has reserved counts as there.
    private func space(
        for component: Component, at place: String
    ) throws(SlotError) -> (free: UInt64, needed: UInt64) {
        try system { () throws(SystemError) in
            let part = self.store.partPath(component.digest)
            let reserved = try FileSystem.kind(of: part) == nil ? 0 : FileSystem.size(of: part)
            let needed = component.size - min(component.size, reserved) + Self.reserve
            return (try FileSystem.freeSpace(at: place), needed)
        }
    }

    public func open(_ component: Component) throws(SlotError) {
        close()
        let path = store.partPath(component.digest)
        let fresh = try system { () throws(SystemError) in
            try self.store.makeDirectories()
            return try FileSystem.kind(of: path) == nil
        }
        let part = try system { () throws(SystemError) in
            let file = try Descriptor(open: path, [.read, .write, .create, .noFollow], mode: 0o600)
            return Open(file, component, isPart: true)
        }
        do {
            if try part.file.size() > component.size { try part.file.truncate(to: component.size) }
            try part.file.reserve(component.size)
        } catch {
            let (free, needed) = try space(for: component, at: store.path)
            // What an earlier attempt fetched stays; an empty reservation only takes room away.
            if fresh { try system { () throws(SystemError) in try FileSystem.remove(path) } }
            throw error.isNoSpace
                ? .noSpace(slot: displayName, free: free, needed: needed) : .system(slot: displayName, error)
        }
        state = part
    }

    public func openForReading(_ component: Component) throws(SlotError) {
        close()
        guard try blobIsThere(component) else { throw noBlob(component) }
        state = try system { () throws(SystemError) in
            let file = try Descriptor(open: self.store.blobPath(component.digest), [.read])
            try file.dropCache()
            return Open(file, component, isPart: false)
        }
    }

    /// True when the blob is there and its bytes, read from the medium, have the component's digest.
    public func holds(_ component: Component) throws(SlotError) -> Bool {
        guard try blobIsThere(component) else { return false }
        let found = try system { () throws(SystemError) in
            let file = try Descriptor(open: self.store.blobPath(component.digest), [.read])
            try file.dropCache()
            let buffer = try AlignedBuffer(capacity: 1 << 20)
            var hash = SHA256()
            var offset: UInt64 = 0
            while true {
                let count = try file.read(into: buffer, count: buffer.capacity, at: offset)
                if count == 0 { return hash.finish() }
                hash.update(buffer.bytes.extracting(0..<count))
                offset += UInt64(count)
            }
        }
        return found == component.digest
    }

    /// Whether a file of the right name and size is among the blobs.
    private func blobIsThere(_ component: Component) throws(SlotError) -> Bool {
        let path = store.blobPath(component.digest)
        return try system { () throws(SystemError) in
            guard try FileSystem.kind(of: path) == .file else { return false }
            return try FileSystem.size(of: path) == component.size
        }
    }

    public func read(at offset: UInt64, count: Int, into buffer: AlignedBuffer) throws(SlotError) -> Int {
        guard let state else { throw notOpen("it is not open") }
        if offset >= state.component.size { return 0 }
        let wanted = min(count, buffer.capacity, Int(clamping: state.component.size - offset))
        return try system { () throws(SystemError) in
            try state.file.read(into: buffer, count: wanted, at: offset)
        }
    }

    public func write(_ window: borrowing VerifiedWindow) throws(SlotError) {
        let part = try openPart()
        try window.check(belongsTo: part.component, slot: displayName)
        do { try part.file.write(window.buffer, count: window.length, at: window.offset) } catch { throw failed(error) }
        count(written: window.length)
    }

    public func flush() throws(SlotError) {
        let part = try openPart()
        try system { () throws(SystemError) in try part.file.flush() }
    }

    public func seal(_ component: Component) throws(SlotError) {
        let part = try openPart()
        try system { () throws(SystemError) in
            try part.file.flushAll()
            try part.file.dropCache()
        }
    }

    /// Turns the part into the blob, if there is one, and then makes the slot set's generation name the blob. Must
    /// also follow when the slot already `holds` the component. Done again after a cut at any point, it ends in the
    /// same state.
    public func publish(_ component: Component, release: String) throws(SlotError) {
        close()
        let path = store.partPath(component.digest)
        try system { () throws(SystemError) in
            if try FileSystem.kind(of: path) == .file {
                try Descriptor(open: path, [.read, .write]).flushAll()
                try FileSystem.rename(path, to: self.store.blobPath(component.digest))
                try FileSystem.flushDirectory(self.store.blobDirectory)
                try FileSystem.flushDirectory(self.store.stagingDirectory)
            }
        }
        guard try blobIsThere(component) else { throw noBlob(component) }
        let next = ContainerGeneration(
            target: target, generation: generation, component: component.id, blob: component.digest,
            size: component.size, release: release, version: component.version)
        // An unreadable former generation is replaced like any other.
        if let former = try? store.generation(of: target, generation), former == next { return }
        let bytes = Array((next.json.compactText + "\n").utf8)
        try system { () throws(SystemError) in
            try FileSystem.replace(self.store.generationPath(self.target, self.generation), with: bytes)
        }
        count(written: bytes.count)
    }

    public func close() { state = nil }

    private func openPart() throws(SlotError) -> Open {
        guard let state, state.isPart else { throw notOpen("it is not open for writing") }
        return state
    }

    private func notOpen(_ why: String) -> SlotError { .unusable(slot: displayName, why: why) }

    private func noBlob(_ component: Component) -> SlotError {
        .unusable(slot: displayName, why: "there is no complete blob \(component.digest)")
    }

    private func system<Result>(_ body: () throws(SystemError) -> Result) throws(SlotError) -> Result {
        do { return try body() } catch { throw failed(error) }
    }

    private func failed(_ error: SystemError) -> SlotError { .system(slot: displayName, error) }
}
