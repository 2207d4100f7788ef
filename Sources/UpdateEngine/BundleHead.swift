internal import BundleFormat
internal import Platform
internal import Transfer
internal import Trust

/// The verified front of a bundle: everything before the payload.
struct BundleHead: Sendable {
    let release: VerifiedManifest
    let tables: [VerifiedChunkTable]
    /// The bytes it was made from: header, signatures, manifest, chunk tables.
    let bytes: [UInt8]

    /// What the first request asks for: enough for the head of most releases (350 windows of 1 MiB, of 76 bytes each). A
    /// longer head costs one request more; what is asked for beyond a head is fetched for nothing.
    static let firstRequest: UInt64 = 32 * 1024

    /// Verifies kept bytes again: signature, digests, everything.
    init(verifying bytes: [UInt8], trust: TrustStore) throws(Failure) {
        release = try step { () throws(TrustError) in try trust.verify(bytes) }
        let start = release.header.tablesOffset
        let end = start + release.header.tablesLength
        if bytes.count != end { throw Failure(EngineError.head("it has \(bytes.count) bytes, not \(end)")) }
        let part = Array(bytes[start..<end])
        let release = self.release
        tables = try step { () throws(FormatError) in try release.chunkTables(part) }
        self.bytes = bytes
    }

    /// What the first request brought beyond the head; served from memory when it is wanted.
    private(set) var surplus: [UInt8] = []

    /// Fetches the head. Nothing is parsed but the header's lengths, which are capped, before the signature holds.
    static func fetch(_ source: any BundleSource, trust: TrustStore) throws(Failure) -> BundleHead {
        var bytes: [UInt8] = []
        try step { () throws(TransferError) in
            try source.readAvailable(0..<firstRequest) { (piece) throws(TransferError) in
                bytes.append(contentsOf: [UInt8](copying: piece))
            }
        }
        let header = try step { () throws(FormatError) in try BundleHeader.decode(bytes.rawBytes) }
        if let total = source.totalLength {
            try step { () throws(FormatError) in try check(header, against: total) }
        }
        let end = header.payloadOffset
        if UInt64(bytes.count) < end {
            let missing = UInt64(bytes.count)..<end
            try step { () throws(TransferError) in
                try source.read(missing) { (piece) throws(TransferError) in
                    bytes.append(contentsOf: [UInt8](copying: piece))
                }
            }
        }
        let surplus = Array(bytes[Int(end)...])
        bytes.removeLast(surplus.count)
        var head = try BundleHead(verifying: bytes, trust: trust)
        head.surplus = surplus
        // A pipe gives the end only when everything before it was read.
        if !source.isSequential { try head.checkEnd(source) }
        return head
    }

    /// Reads the end marker, so that a bundle that is still being copied or lost its end is refused before a slot is
    /// written. It is asked for only now: until the signature holds, nobody's lengths are followed that far.
    func checkEnd(_ source: any BundleSource) throws(Failure) {
        let header = release.header
        let range = header.endOffset..<header.totalLength
        var bytes: [UInt8] = []
        let known = header.endOffset - header.payloadOffset
        if known + UInt64(BundleHeader.endByteCount) <= UInt64(surplus.count) {
            bytes = Array(surplus[Int(known)...].prefix(BundleHeader.endByteCount))
        } else {
            try step { () throws(TransferError) in
                try source.read(range) { (piece) throws(TransferError) in
                    bytes.append(contentsOf: [UInt8](copying: piece))
                }
            }
        }
        try step { () throws(FormatError) in try header.checkEnd(bytes.rawBytes) }
    }

    /// A bundle has exactly the length that its header says.
    private static func check(_ header: BundleHeader, against total: UInt64) throws(FormatError) {
        if total < header.totalLength {
            throw .truncated(what: "the bundle", needed: header.totalLength, present: total)
        }
        if total > header.totalLength { throw .trailing(expected: header.totalLength, present: total) }
    }
}
