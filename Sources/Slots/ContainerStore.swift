public import BundleFormat
internal import Platform
internal import StrictJSON

/// A directory of container images by content, shared by both slot sets, with a generation per set: rolling back
/// the root file system rolls back its containers, and an image that both sets use is stored once.
///
///     STORE/blobs/sha256/HEX             one whole OCI archive, named by its SHA-256, complete and read back
///     STORE/staging/HEX.part             one that is being written (mode 0600)
///     STORE/generations/TARGET.SET.json  which blob a slot set uses (`ContainerGeneration`)
///
/// A blob appears by rename after its bytes are durable, and a generation is replaced as a whole, so a power cut
/// leaves the former state or the next one.
public struct ContainerStore: Sendable {
    /// The store's directory.
    public let path: String
    private let name: String

    /// A store; nothing is opened or made yet.
    public init(path: String) {
        self.path = path
        name = "container store \(path)"
    }

    var blobDirectory: String { path + "/blobs/sha256" }
    var stagingDirectory: String { path + "/staging" }
    var generationDirectory: String { path + "/generations" }

    /// Where a blob is, if it is there.
    public func blobPath(_ digest: Digest) -> String { "\(blobDirectory)/\(digest.hex)" }
    func partPath(_ digest: Digest) -> String { "\(stagingDirectory)/\(digest.hex).part" }
    func generationPath(_ target: Identifier, _ generation: String) -> String {
        "\(generationDirectory)/\(target).\(generation).json"
    }

    /// Makes the directories that are not there.
    func makeDirectories() throws(SystemError) {
        try FileSystem.makeDirectories(blobDirectory)
        try FileSystem.makeDirectories(stagingDirectory, mode: 0o700)
        try FileSystem.makeDirectories(generationDirectory)
    }

    /// What a slot set uses for a target; nil when nothing was ever published for it.
    public func generation(of target: Identifier, _ generation: String) throws(SlotError) -> ContainerGeneration? {
        let file = generationPath(target, generation)
        do { if try FileSystem.kind(of: file) == nil { return nil } } catch { throw failed(error) }
        let found = try readGeneration(file)
        guard found.target == target, found.generation == generation else {
            throw .unusable(slot: name, why: "\(file) speaks of \(found.target).\(found.generation)")
        }
        return found
    }

    /// All generations, in the order of their file names.
    public func generations() throws(SlotError) -> [ContainerGeneration] {
        var found: [ContainerGeneration] = []
        for file in try names(in: generationDirectory) where file.hasSuffix(bytes: ".json") {
            found.append(try readGeneration("\(generationDirectory)/\(file)"))
        }
        return found
    }

    private func readGeneration(_ file: String) throws(SlotError) -> ContainerGeneration {
        let bytes: [UInt8]
        do { bytes = try FileSystem.read(file, limit: ContainerGeneration.limit) } catch { throw failed(error) }
        do {
            return try ContainerGeneration(JSONValue.parse(bytes, limit: ContainerGeneration.limit))
        } catch { throw .unusable(slot: name, why: "\(file): \(error.context)") }
    }

    /// What a clean-up removed.
    public struct Garbage: Equatable, Sendable {
        public internal(set) var blobs = 0
        public internal(set) var parts = 0
        /// Bytes of the removed files.
        public internal(set) var bytes: UInt64 = 0
    }

    /// Removes blobs that no generation names, and parts other than those in `keeping` (the present attempt's). Ask
    /// for it when no attempt is writing. A generation that cannot be read stops it before anything is removed: its
    /// blob would be lost. Files that are not the store's are left alone.
    @discardableResult
    public func collectGarbage(keeping parts: [Digest] = []) throws(SlotError) -> Garbage {
        let named = try generations().map { $0.blob }
        var garbage = Garbage()
        for file in try names(in: blobDirectory) {
            guard let digest = Digest(hex: file), !named.contains(digest) else { continue }
            garbage.bytes += try remove("\(blobDirectory)/\(file)")
            garbage.blobs += 1
        }
        for file in try names(in: stagingDirectory) where file.hasSuffix(bytes: ".part") {
            guard let digest = Digest(hex: String(file.dropLast(5))), !parts.contains(digest) else { continue }
            garbage.bytes += try remove("\(stagingDirectory)/\(file)")
            garbage.parts += 1
        }
        return garbage
    }

    private func remove(_ file: String) throws(SlotError) -> UInt64 {
        do {
            let size = try FileSystem.size(of: file)
            try FileSystem.remove(file)
            return size
        } catch { throw failed(error) }
    }

    /// Names in a directory; none when it was never made.
    private func names(in directory: String) throws(SlotError) -> [String] {
        do {
            if try FileSystem.kind(of: directory) == nil { return [] }
            return try FileSystem.list(directory)
        } catch { throw failed(error) }
    }

    private func failed(_ error: SystemError) -> SlotError { .system(slot: name, error) }
}

extension String {
    /// Compared by bytes: String.hasSuffix needs Unicode tables that Embedded Swift would have to carry.
    fileprivate func hasSuffix(bytes suffix: String) -> Bool {
        utf8.count >= suffix.utf8.count && utf8.suffix(suffix.utf8.count).elementsEqual(suffix.utf8)
    }
}
