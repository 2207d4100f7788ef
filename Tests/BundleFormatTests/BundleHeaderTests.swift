import BundleFormat
import Platform
import Testing

@Suite("The bundle's header and end")
struct BundleHeaderTests {
    /// The golden header with a little-endian number written over it.
    private func golden(_ offset: Int, _ value: UInt64, bytes: Int) throws -> [UInt8] {
        var header = try Fixture.bytes("header.bin")
        for index in 0..<bytes { header[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index)) }
        return header
    }

    private func decodingError(_ bytes: [UInt8]) -> FormatError? {
        do throws(FormatError) {
            _ = try BundleHeader.decode(bytes.rawBytes)
            return nil
        } catch {
            return error
        }
    }

    @Test("The golden header is read, and its parts are where the golden bundle has them")
    func golden() throws {
        let bundle = try Fixture.bytes("bundle.kedge")
        let header = try BundleHeader.decode(bundle.rawBytes)
        #expect(header.totalLength == UInt64(bundle.count))
        #expect(
            Array(bundle[header.envelopeOffset..<header.manifestOffset]) == (try Fixture.bytes("signatures.bin")))
        #expect(Array(bundle[header.manifestOffset..<header.tablesOffset]) == (try Fixture.bytes("manifest.json")))
        #expect(Array(bundle[header.tablesOffset..<Int(header.payloadOffset)]) == (try Fixture.bytes("table.bin")))
        try header.checkEnd(Array(bundle[Int(header.endOffset)...]).rawBytes)
    }

    @Test("The header is written as the golden one")
    func encode() throws {
        let golden = try Fixture.bytes("header.bin")
        #expect(try BundleHeader.decode(golden.rawBytes).encode() == golden)
    }

    @Test("A header that is cut off at any byte is a typed error", arguments: 0..<BundleHeader.byteCount)
    func truncated(count: Int) throws {
        let error = decodingError(Array(try Fixture.bytes("header.bin").prefix(count)))
        #expect(error?.code == (count < 8 ? "bundle.not-a-bundle" : "bundle.truncated"))
    }

    @Test("A change of any bit of the header is refused", arguments: 0..<BundleHeader.byteCount)
    func flipped(place: Int) throws {
        for bit in 0..<8 {
            var header = try Fixture.bytes("header.bin")
            header[place] ^= 1 << bit
            #expect(decodingError(header) != nil)
        }
    }

    @Test("A text-mode transfer that changed the line end is told as no bundle")
    func textMode() throws {
        var header = try Fixture.bytes("header.bin")
        header.remove(at: 6)
        #expect(decodingError(header)?.code == "bundle.not-a-bundle")
    }

    @Test("Another version is told with its number")
    func version() throws {
        #expect(decodingError(try golden(8, 2, bytes: 2)) == .unknownVersion(2))
    }

    @Test(
        "A length past its cap is refused before anything else is done with it",
        arguments: [
            (12, 4, 65_537, "the signature section"), (12, 4, 0xffff_ffff, "the signature section"),
            (16, 4, 1_048_577, "the manifest"), (16, 4, 0xffff_ffff, "the manifest"),
            (24, 8, 16_777_217, "the chunk tables"), (24, 8, .max, "the chunk tables"),
            (32, 8, (1 << 46) + 1, "the payload"), (32, 8, .max, "the payload"),
        ] as [(Int, Int, UInt64, String)])
    func caps(offset: Int, bytes: Int, value: UInt64, what: String) throws {
        guard case .tooLarge(what, value, _)? = decodingError(try golden(offset, value, bytes: bytes)) else {
            Issue.record("\(what) of \(value) bytes was not refused as too large")
            return
        }
    }

    @Test("Empty signatures or manifest and lengths that do not add up are refused", arguments: [12, 16, 40])
    func contradictions(offset: Int) throws {
        #expect(decodingError(try golden(offset, 0, bytes: 4))?.code == "bundle.malformed")
    }

    @Test("The largest bundle has a header that comes back")
    func largest() throws {
        let header = try BundleHeader(
            envelopeLength: BundleLimits.envelope, manifestLength: BundleLimits.manifest,
            tablesLength: BundleLimits.tables, payloadLength: BundleLimits.bundle)
        #expect(try BundleHeader.decode(header.encode().rawBytes) == header)
    }

    @Test("Only the end marker of the same length belongs to a header")
    func end() throws {
        let header = try BundleHeader(envelopeLength: 2, manifestLength: 3, tablesLength: 4, payloadLength: 5)
        let longer = try BundleHeader(envelopeLength: 2, manifestLength: 3, tablesLength: 4, payloadLength: 6)
        try header.checkEnd(header.encodeEnd().rawBytes)
        #expect(throws: FormatError.self) { try header.checkEnd(longer.encodeEnd().rawBytes) }
        #expect(throws: FormatError.self) { try header.checkEnd(Array(header.encodeEnd().dropLast()).rawBytes) }
        #expect(throws: FormatError.self) { try header.checkEnd([UInt8]().rawBytes) }
    }
}
