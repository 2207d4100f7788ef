internal import BundleFormat
internal import Platform

/// The bytes of one copy of the kept roots. All integers are little endian.
///
///     8  magic "KEDGETR1"
///     4  bytes of the body
///     4  number of root files
///     32 SHA-256 of the body
///     n  body: for each root file u32 version, u32 length, its bytes
///
/// The digest tells a torn write from a whole one; whether the roots are good only their signatures say.
extension TrustChain {
    /// Longest copy, bytes.
    public static let slotLimit = 4 * 1024 * 1024
    private static let magic: [UInt8] = Array("KEDGETR1".utf8)
    private static let headLength = 48

    /// The copy; the oldest root files are left out where they do not fit.
    func encoded() throws(TrustError) -> [UInt8] {
        var fitting = self
        while true {
            let length = fitting.links.reduce(Self.headLength) { $0 + 8 + $1.bytes.count }
            if length <= Self.slotLimit { return Self.encode(fitting.links) }
            if !fitting.dropOldest() { throw .rootsTooLong(bytes: length) }
        }
    }

    private static func encode(_ links: [Link]) -> [UInt8] {
        var body = ByteWriter()
        for link in links {
            body.u32(link.version)
            body.u32(UInt32(link.bytes.count))
            body.array(link.bytes)
        }
        var out = ByteWriter()
        out.array(magic)
        out.u32(UInt32(body.bytes.count))
        out.u32(UInt32(links.count))
        out.digest(SHA256.digest(of: body.bytes))
        out.array(body.bytes)
        return out.bytes
    }

    /// The root files of a copy; nil when it is damaged. Bytes behind its end are of a former, longer one.
    static func decode(_ bytes: [UInt8]) -> [Link]? {
        do throws(FormatError) {
            var reader = ByteReader(bytes.rawBytes, what: "the kept roots")
            guard try reader.array(magic.count) == magic else { return nil }
            let length = Int(clamping: try reader.u32())
            let count = Int(clamping: try reader.u32())
            let digest = try reader.digest()
            if length > slotLimit - headLength { return nil }
            let body = try reader.array(length)
            if SHA256.digest(of: body) != digest { return nil }
            var entries = ByteReader(body.rawBytes, what: "the kept roots")
            var links: [Link] = []
            for _ in 0..<count {
                let version = try entries.u32()
                let size = Int(clamping: try entries.u32())
                if size > RootFile.limit { return nil }
                links.append(Link(version: version, bytes: try entries.array(size)))
            }
            return entries.remaining == 0 ? links : nil
        } catch {
            return nil
        }
    }
}
