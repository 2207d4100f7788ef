internal import BundleFormat
internal import Platform
internal import Trust

/// A whole bundle on disk, open for reading: its head was decoded, and its length and end marker are right.
struct BundleFile: ~Copyable {
    let head: UnverifiedHead
    private let file: Descriptor
    private let path: String
    private let mode: UInt32

    /// Bytes copied at once.
    private static let pieceLength = 1024 * 1024

    init(opening path: String) throws(SigningError) {
        let file = try wrapping { () throws(SystemError) in try Descriptor(open: path, [.read]) }
        let size = try wrapping { () throws(SystemError) in try file.size() }
        let start = try Self.read(file, at: 0, count: BundleHeader.byteCount)
        do throws(FormatError) {
            let header = try BundleHeader.decode(start.rawBytes)
            if size < header.totalLength {
                throw .truncated(what: "the bundle", needed: header.totalLength, present: size)
            }
            if size > header.totalLength { throw .trailing(expected: header.totalLength, present: size) }
        } catch {
            throw .bundle(path: path, error)
        }
        let most = BundleHeader.byteCount + BundleLimits.envelope + BundleLimits.manifest
        let bytes = try Self.read(file, at: 0, count: most)
        let head: UnverifiedHead
        do throws(TrustError) { head = try UnverifiedHead(inspecting: bytes) } catch { throw .trust(error) }
        let end = try Self.read(file, at: head.header.endOffset, count: BundleHeader.endByteCount)
        do throws(FormatError) { try head.header.checkEnd(end.rawBytes) } catch { throw .bundle(path: path, error) }
        mode = try wrapping { () throws(SystemError) in try file.mode() }
        self.head = head
        self.file = file
        self.path = path
    }

    /// Writes this bundle with other signatures to a path, which may be its own.
    func write(to output: String, signatures: [ManifestSignature]) throws(SigningError) {
        let section: [UInt8]
        let header: BundleHeader
        do throws(FormatError) {
            section = try SignatureSection(signatures).encode()
            header = try BundleHeader(
                envelopeLength: section.count, manifestLength: head.header.manifestLength,
                tablesLength: head.header.tablesLength, payloadLength: head.header.payloadLength)
        } catch {
            throw .bundle(path: path, error)
        }
        let front = header.encode() + section
        let end = header.encodeEnd()
        let temporary = try temporaryName(for: output)
        try wrapping { () throws(SystemError) in
            do throws(SystemError) {
                try writeParts(front: front, end: end, to: temporary)
                try FileSystem.rename(temporary, to: output)
            } catch {
                // The first error is the one that tells; a left-over file is only untidy.
                do throws(SystemError) { try FileSystem.remove(temporary) } catch { _ = error }
                throw error
            }
            try FileSystem.flushDirectory(FileSystem.parent(of: output))
        }
    }

    /// A name beside the output, so that the rename stays within one file system; random, so that two signers do
    /// not meet.
    private func temporaryName(for output: String) throws(SigningError) -> String {
        let random = try wrapping { () throws(SystemError) in try SystemRandom().bytes(8) }
        return "\(output).\(Hex.encode(random)).part"
    }

    private func writeParts(front: [UInt8], end: [UInt8], to path: String) throws(SystemError) {
        let out = try Descriptor(open: path, [.write, .create, .exclusive, .noFollow], mode: mode)
        try out.write(front.rawBytes, at: 0)
        var written = UInt64(front.count)
        var next = UInt64(head.header.manifestOffset)
        let buffer = try AlignedBuffer(capacity: Self.pieceLength)
        while next < head.header.endOffset {
            let wanted = Int(min(UInt64(Self.pieceLength), head.header.endOffset - next))
            let source = next
            let count = try buffer.withMutableBytes { (bytes) throws(SystemError) -> Int in
                try file.read(into: &bytes, at: source)
            }
            // Somebody cut the file off while it was copied.
            if count < wanted {
                throw SystemError(number: SystemError.inputOutput, operation: "read", subject: self.path)
            }
            try out.write(buffer.bytes.extracting(0..<wanted), at: written)
            next += UInt64(wanted)
            written += UInt64(wanted)
        }
        try out.write(end.rawBytes, at: written)
        try out.flushAll()
    }

    /// Up to `count` bytes; fewer only at the end of the file.
    private static func read(
        _ file: borrowing Descriptor, at offset: UInt64, count: Int
    ) throws(SigningError) -> [UInt8] {
        try wrapping { () throws(SystemError) -> [UInt8] in
            let buffer = try AlignedBuffer(capacity: count)
            let got = try buffer.withMutableBytes { (bytes) throws(SystemError) -> Int in
                try file.read(into: &bytes, at: offset)
            }
            return [UInt8](copying: buffer.bytes.extracting(0..<min(got, count)))
        }
    }
}

/// Turns a system error into a signing error.
func wrapping<Result: ~Copyable>(
    _ body: () throws(SystemError) -> Result
) throws(SigningError) -> Result {
    do throws(SystemError) { return try body() } catch { throw .system(error) }
}
