public import BundleFormat
internal import Platform
internal import Trust

/// The exact bytes that release keys sign: the pre-authentication encoding of a manifest. It is what is carried to a
/// room without network, where it is looked at and signed without the bundle.
public struct SigningPayload: Sendable {
    /// What each signature covers.
    public let bytes: [UInt8]
    /// The manifest in it, decoded strictly.
    public let manifest: Manifest
    /// SHA-256 of `bytes`: what people compare by eye or voice on both sides.
    public let digest: Digest

    /// Largest payload, bytes: a manifest and the words before it.
    static let limit = BundleLimits.manifest + 128

    /// That of a bundle on disk, which must be whole.
    public init(bundle path: String) throws(SigningError) {
        let file = try BundleFile(opening: path)
        self.init(of: file.head)
    }

    /// That of a head.
    init(of head: UnverifiedHead) {
        bytes = SignatureSection.preAuthentication(type: SignatureSection.payloadType, payload: head.manifestBytes)
        manifest = head.manifest
        digest = SHA256.digest(of: bytes)
    }

    /// Reads a payload file. Anything but the encoding of a manifest that this version knows is refused with
    /// `SigningError.payload`: a key that signs what it is handed would sign other documents too.
    public init(reading path: String) throws(SigningError) {
        let bytes = try wrapping { () throws(SystemError) in try FileSystem.read(path, limit: Self.limit) }
        guard let document = Self.manifest(in: bytes) else {
            throw .payload(path: path, why: "it is not the payload of a Kedge bundle")
        }
        do throws(FormatError) { manifest = try Manifest.decode(document) } catch {
            throw .payload(path: path, why: error.context)
        }
        self.bytes = bytes
        digest = SHA256.digest(of: bytes)
    }

    /// The manifest's bytes in a pre-authentication encoding; nil when encoding them does not give these bytes again.
    private static func manifest(in bytes: [UInt8]) -> [UInt8]? {
        let type = SignatureSection.payloadType
        let start = Array("DSSEv1 \(type.utf8.count) \(type) ".utf8)
        guard bytes.starts(with: start), let space = bytes[start.count...].firstIndex(of: 0x20) else { return nil }
        let document = Array(bytes[(space + 1)...])
        return SignatureSection.preAuthentication(type: type, payload: document) == bytes ? document : nil
    }

    /// What is signed, for a person; one fact a line. Characters that could move the cursor or hide others are
    /// written as their number.
    public var lines: [String] {
        let product = manifest.product
        var lines = [
            "release           \(Self.plain(manifest.releaseID)), version \(Self.plain(manifest.version))",
            "sequence          \(manifest.sequence)",
            "security version  \(manifest.securityVersion)",
            "update            \(manifest.update.rawValue)",
            "for               \(Self.plain(product.vendor)) \(Self.plain(product.deviceClass)), hardware "
                + "\(product.hardware.lowerBound) to \(product.hardware.upperBound)",
        ]
        for component in manifest.components {
            let version = component.version.map { ", version \(Self.plain($0))" } ?? ""
            lines.append(
                "component         \(component.id): \(component.kind.rawValue) for slot \(component.target)\(version), "
                    + "\(component.size) bytes, sha256 \(component.digest.hex)")
        }
        lines.append("payload sha256    \(digest.hex)")
        return lines
    }

    private static func plain(_ text: String) -> String {
        var out = ""
        for scalar in text.unicodeScalars {
            if (0x20...0x7e).contains(scalar.value) || scalar.properties.isAlphabetic {
                out.unicodeScalars.append(scalar)
            } else {
                out += "\\u{\(String(scalar.value, radix: 16))}"
            }
        }
        return out
    }
}
