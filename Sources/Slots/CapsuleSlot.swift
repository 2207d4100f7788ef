public import BundleFormat
public import Payload
public import Platform

/// A UEFI capsule: an image that is kept as a file, and that the machine's firmware installs by itself at the next
/// start. There is one firmware and not two banks, so this is where the capsule waits; `CapsuleHandOver` of
/// BootControl gives it to the firmware when the release is armed, and reads there what became of it.
///
/// The file is made when it is first needed, and never shortened. `check` asks for the room on the EFI system
/// partition as well, so that an attempt does not find out at its end. `publish` leaves `PATH.new` beside the file: a
/// capsule that this attempt brought, with the version that the release gives it.
public final class CapsuleSlot: Slot, @unchecked Sendable {
    public let displayName: String
    private let path: String
    private let system: String
    private let file: BlockSlot

    /// Beside the file while its capsule was not handed over.
    public static let news = ".new"
    /// Bytes that a FAT file system takes besides the file: directory entries, and the last cluster.
    private static let margin: UInt64 = 128 << 10

    /// The capsule at `path`; `system` is where the EFI system partition is mounted. Nothing is opened yet.
    public init(name: String, path: String, system: String) {
        displayName = "\(name) (\(path))"
        self.path = path
        self.system = system
        file = BlockSlot(name: name, path: path)
    }

    public var directory: String? { FileSystem.parent(of: path) }
    public var bytesWritten: UInt64 { file.bytesWritten }

    public func check(_ component: Component) throws(SlotError) {
        try checkSystemPartition(component)
        let (free, present) = try wrapped { () throws(SystemError) in
            let present = try FileSystem.kind(of: self.path) == nil ? 0 : FileSystem.size(of: self.path)
            return (try FileSystem.freeSpace(at: FileSystem.parent(of: self.path)), present)
        }
        let needed = component.size - min(component.size, present)
        if free < needed { throw .noSpace(slot: displayName, free: free, needed: needed) }
        if needed == 0 { try file.check(component) }
    }

    private func checkSystemPartition(_ component: Component) throws(SlotError) {
        let kind = try wrapped { () throws(SystemError) in try FileSystem.kind(of: self.system + "/EFI") }
        guard case .directory = kind else {
            throw .unusable(slot: displayName, why: "no EFI system partition is mounted at \(system)")
        }
        let free = try wrapped { () throws(SystemError) in try FileSystem.freeSpace(at: self.system) }
        let needed = component.size + Self.margin
        if free < needed { throw .noSpace(slot: "\(displayName) on \(system)", free: free, needed: needed) }
    }

    public func open(_ component: Component) throws(SlotError) {
        close()
        do throws(SystemError) {
            let made = try FileSystem.kind(of: path) == nil
            let place = try Descriptor(open: path, [.read, .write, .create], mode: 0o600)
            if try place.size() < component.size { try place.reserve(component.size) }
            if made { try FileSystem.flushDirectory(FileSystem.parent(of: path)) }
        } catch { throw .system(slot: displayName, error) }
        try file.open(component)
    }

    public func openForReading(_ component: Component) throws(SlotError) { try file.openForReading(component) }

    public func holds(_ component: Component) throws(SlotError) -> Bool { false }

    public func read(at offset: UInt64, count: Int, into buffer: AlignedBuffer) throws(SlotError) -> Int {
        try file.read(at: offset, count: count, into: buffer)
    }

    public func write(_ window: borrowing VerifiedWindow) throws(SlotError) { try file.write(window) }

    public func flush() throws(SlotError) { try file.flush() }

    public func seal(_ component: Component) throws(SlotError) { try file.seal(component) }

    public func publish(_ component: Component, release: String) throws(SlotError) {
        try wrapped { () throws(SystemError) in
            try FileSystem.replace(self.path + Self.news, with: Array((component.version ?? "").utf8))
        }
    }

    public func close() { file.close() }

    private func wrapped<Result>(_ body: () throws(SystemError) -> Result) throws(SlotError) -> Result {
        do { return try body() } catch { throw .system(slot: displayName, error) }
    }
}
