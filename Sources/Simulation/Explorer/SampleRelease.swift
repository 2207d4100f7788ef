internal import BootControl
internal import BundleFormat
internal import Platform
internal import Signing
internal import Trust

/// What a sample release does once it is started.
public enum SampleBehaviour: String, Sendable, CaseIterable {
    /// It starts and is healthy.
    case good
    /// It reaches user space and fails its health check.
    case unhealthy
    /// It panics before user space; the machine resets itself.
    case panics
    /// It reaches user space and hangs in its health check until the watchdog resets the machine.
    case hangs
}

/// A release that is installed again and again: signed, and in the real format. Small enough that every state of its
/// installation can be visited, or somebody's own.
struct SampleRelease: Sendable {
    let name: String
    let behaviour: SampleBehaviour
    let sequence: UInt64
    let securityVersion: UInt32
    let digest: Digest
    /// The head as a device keeps it.
    let head: [UInt8]
    /// The whole bundle.
    let bundle: BundleBytes
    /// Windows by component, each padded with zeros to a whole window.
    let windows: [[WindowBytes]]

    /// Bytes of a window.
    static let windowSize = 4096

    /// A release as it is.
    init(
        _ name: String, _ behaviour: SampleBehaviour, _ manifest: Manifest, digest: Digest, head: [UInt8],
        bundle: BundleBytes, windows: [[WindowBytes]]
    ) {
        self.name = name
        self.behaviour = behaviour
        sequence = manifest.sequence
        securityVersion = manifest.securityVersion
        self.digest = digest
        self.head = head
        self.bundle = bundle
        self.windows = windows
    }

    /// What a device runs whose bundle is not there.
    init(_ name: String, sequence: UInt64, securityVersion: UInt32, digest: Digest, windows: [[WindowBytes]]) {
        self.name = name
        behaviour = .good
        self.sequence = sequence
        self.securityVersion = securityVersion
        self.digest = digest
        head = []
        bundle = BundleBytes([])
        self.windows = windows
    }

    /// One component of `counts[i]` windows for each entry; the last window of each is half full.
    init(
        _ name: String, _ behaviour: SampleBehaviour, sequence: UInt64, securityVersion: UInt32, counts: [Int],
        sharing former: SampleRelease? = nil, key: SigningKey
    ) throws {
        let parts = counts.enumerated().map { number, count in
            let size = count * Self.windowSize - Self.windowSize / 2
            let pieces = (0..<count).map { index -> [UInt8] in
                let length = min(Self.windowSize, size - index * Self.windowSize)
                // The first window is as in the former release, so that skipping what the slot holds is explored too.
                if index == 0, count > 2, let former { return former.windows[number][0].bytes }
                return Self.noise(length, seed: sequence &* 1000 &+ UInt64(number * 100 + index))
            }
            let id = SampleLayout.sampleNames[number]
            return Part(id: id, kind: number == 0 ? .rootfs : .kernel, target: id, pieces: pieces)
        }
        let terms = Terms(
            sequence: sequence, securityVersion: securityVersion,
            product: Product(vendor: "acme", deviceClass: "edge", hardware: 1...1), created: 1_650_000_000,
            update: .feature, reboot: .automatic, healthDeadline: 60)
        try self.init(name, behaviour, terms, parts, key: key)
    }

    /// One component of a release that is made here: pieces of a window of 4 KiB each; only the last may be shorter.
    struct Part {
        let id: Identifier
        let kind: ComponentKind
        let target: Identifier
        let pieces: [[UInt8]]
    }

    /// What a manifest says beside its components.
    struct Terms {
        var sequence: UInt64
        var securityVersion: UInt32
        var product: Product
        var created: Int64
        var update: UpdateKind
        var reboot: RebootPolicy
        var healthDeadline: UInt32
    }

    /// A release of these parts, signed with the key.
    init(_ name: String, _ behaviour: SampleBehaviour, _ terms: Terms, _ parts: [Part], key: SigningKey) throws {
        var payload: [UInt8] = []
        var components: [Component] = []
        var tables: [UInt8] = []
        windows = parts.map { part in
            part.pieces.map { WindowBytes($0 + [UInt8](repeating: 0, count: Self.windowSize - $0.count)) }
        }
        for part in parts {
            var entries: [WindowEntry] = []
            var whole = SHA256()
            for piece in part.pieces {
                let digest = SHA256.digest(of: piece)
                whole.update(piece.rawBytes)
                let isZero = piece.allSatisfy { $0 == 0 }
                entries.append(
                    WindowEntry(
                        codec: isZero ? .zero : .stored, plainDigest: digest, storedDigest: digest,
                        storedOffset: isZero ? 0 : UInt64(payload.count), storedLength: isZero ? 0 : piece.count))
                if !isZero { payload += piece }
            }
            let size = UInt64(part.pieces.reduce(0) { $0 + $1.count })
            let table = try ChunkTable(windowSize: Self.windowSize, imageSize: size, windows: entries).encode()
            components.append(
                Component(
                    id: part.id, kind: part.kind, target: part.target, version: nil, size: size,
                    digest: whole.finish(), windowSize: Self.windowSize,
                    table: TableReference(
                        offset: tables.count, length: table.count, digest: SHA256.digest(of: table)),
                    verityRoot: nil))
            tables += table
        }
        let manifest = Manifest(
            releaseID: name, version: "1", sequence: terms.sequence, securityVersion: terms.securityVersion,
            product: terms.product, minimumUpdater: KedgeVersion.current, created: terms.created, notBefore: nil,
            expires: nil, update: terms.update, advisories: [], sbomDigest: nil, sbomFormat: nil,
            components: components, reboot: terms.reboot, healthDeadline: terms.healthDeadline,
            tablesLength: tables.count, payloadLength: UInt64(payload.count), meta: [])
        self.name = name
        self.behaviour = behaviour
        sequence = terms.sequence
        securityVersion = terms.securityVersion
        let bytes = manifest.bytes
        digest = SHA256.digest(of: bytes)
        let message = SignatureSection.preAuthentication(type: SignatureSection.payloadType, payload: bytes)
        let signatures = try SignatureSection([
            ManifestSignature(
                algorithm: key.publicKey.algorithm.rawValue, keyID: key.publicKey.id, signature: try key.sign(message))
        ]).encode()
        let header = try BundleHeader(
            envelopeLength: signatures.count, manifestLength: bytes.count, tablesLength: tables.count,
            payloadLength: UInt64(payload.count))
        head = header.encode() + signatures + bytes + tables
        bundle = BundleBytes(head + payload + header.encodeEnd())
    }

    /// Bytes from a fixed sequence (xorshift64).
    static func noise(_ count: Int, seed: UInt64) -> [UInt8] {
        var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
        return (0..<count).map { _ in
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return UInt8(truncatingIfNeeded: state >> 24)
        }
    }

    /// What the boot record says of a slot set that holds this release, confirmed.
    var slotRecord: SlotRecord {
        SlotRecord(state: .good, manifest: digest, sequence: sequence, securityVersion: securityVersion)
    }
}
