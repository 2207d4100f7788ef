internal import BundleFormat
internal import Platform

/// The parts of a bundle that stand before its chunk tables, taken apart but not judged.
struct BundleHead {
    let header: BundleHeader
    let signatures: SignatureSection
    /// The exact bytes that signatures cover, copied once: what is verified is what is parsed.
    let manifest: [UInt8]

    /// From the first bytes of a bundle; more than the head may be there.
    init(_ bytes: [UInt8]) throws(FormatError) {
        header = try BundleHeader.decode(bytes.rawBytes)
        if bytes.count < header.tablesOffset {
            throw .truncated(
                what: "the head of the bundle", needed: UInt64(header.tablesOffset), present: UInt64(bytes.count))
        }
        signatures = try SignatureSection.decode(
            bytes.rawBytes.extracting(header.envelopeOffset..<header.manifestOffset))
        manifest = Array(bytes[header.manifestOffset..<header.tablesOffset])
    }

    /// What each signature covers.
    var signedBytes: [UInt8] {
        SignatureSection.preAuthentication(type: SignatureSection.payloadType, payload: manifest)
    }

    /// The manifest, whose signed lengths must be those that the unsigned header gave.
    func decodeManifest() throws(FormatError) -> Manifest {
        let decoded = try Manifest.decode(manifest)
        if decoded.tablesLength != header.tablesLength || decoded.payloadLength != header.payloadLength {
            throw .malformed(what: "the header", "its lengths are not those of the manifest")
        }
        return decoded
    }
}
