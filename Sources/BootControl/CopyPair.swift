internal import Platform

/// Two places on media that hold one copy each: what every redundant home reads and writes.
struct CopyPair: Sendable {
    typealias Location = UBootEnvironmentHome.Location

    let displayName: String
    let locations: [Location]

    /// Nothing is opened yet. Places of different or odd sizes, or that overlap, are `BootError.invalid`.
    init(_ displayName: String, _ first: Location, _ second: Location, sizes: ClosedRange<Int>) throws(BootError) {
        self.displayName = displayName
        locations = [first, second]
        for location in locations where !sizes.contains(location.size) || location.offset > 1 << 48 {
            throw .invalid(
                home: displayName,
                why: "a copy must have \(sizes.lowerBound) to \(sizes.upperBound) bytes and stand within 256 TiB")
        }
        if first.size != second.size { throw .invalid(home: displayName, why: "the two copies differ in size") }
        if first.overlaps(second) { throw .invalid(home: displayName, why: "the two copies overlap") }
    }

    /// Bytes of one copy.
    var size: Int { locations[0].size }

    /// The bytes at one place; nil where it ends too early.
    func read(_ index: Int) throws(SystemError) -> [UInt8]? {
        let file = try Descriptor(open: locations[index].path, [.read])
        let bytes = try file.readBytes(at: locations[index].offset, count: size)
        return bytes.count == size ? bytes : nil
    }

    /// What `whole` makes of each copy, nil ones left out. A place that cannot be read counts as damaged while the
    /// other one is whole.
    func copies<Copy>(_ whole: (Int, [UInt8]) -> Copy?) throws(BootError) -> [Copy] {
        var found: [Copy] = []
        var failure: SystemError?
        for index in 0..<2 {
            do throws(SystemError) {
                if let bytes = try read(index), let copy = whole(index, bytes) { found.append(copy) }
            } catch { failure = error }
        }
        if let failure, found.isEmpty { throw .system(home: displayName, failure) }
        return found
    }

    /// Write, flush, read back from the medium, compare.
    func replace(_ index: Int, with bytes: [UInt8], create: Bool = false) throws(BootError) {
        let location = locations[index]
        let back: [UInt8]
        do {
            let file = try Descriptor(open: location.path, create ? [.read, .write, .create] : [.read, .write])
            back = try file.writeThrough(bytes, at: location.offset)
            if create {
                try file.flushAll()
                try FileSystem.flushDirectory(FileSystem.parent(of: location.path))
            }
        } catch { throw .system(home: displayName, error) }
        if back != bytes { throw .readBackMismatch(home: displayName) }
    }
}
