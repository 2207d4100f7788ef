internal import BundleFormat
internal import Payload
internal import Platform
internal import Trust

/// The bases that somebody has at hand, for trying deltas.
struct KnownBases {
    /// Bundles and raw images; opened when a delta asks for them.
    let sources: [BaseSource]

    /// The base of a delta, nil when it is not among them.
    func open(_ base: DeltaBase) throws -> FileImage? {
        for source in sources {
            if try UnverifiedBundle.isBundle(source.path) {
                let bundle = try UnverifiedBundle(source.path)
                for component in bundle.components where component.digest == base.digest {
                    let file = try Descriptor(unnamedIn: Self.directory)
                    try bundle.unpack(component, to: file)
                    return FileImage(file)
                }
            } else {
                let file = try Descriptor(open: source.path, [.read])
                if try file.size() == base.size, try Self.digest(file, size: base.size) == base.digest {
                    return FileImage(file)
                }
            }
        }
        return nil
    }

    /// Where images are unpacked to for a moment.
    static var directory: String { ProcessInformation.environment("TMPDIR") ?? "/var/tmp" }

    private static func digest(_ file: borrowing Descriptor, size: UInt64) throws -> Digest {
        let buffer = try AlignedBuffer(capacity: BundleLimits.window)
        var hash = SHA256()
        var offset: UInt64 = 0
        while offset < size {
            let count = try file.read(
                into: buffer, count: Int(min(UInt64(buffer.capacity), size - offset)), at: offset)
            if count == 0 { break }
            hash.update(buffer.bytes.extracting(0..<count))
            offset += UInt64(count)
        }
        return hash.finish()
    }
}
