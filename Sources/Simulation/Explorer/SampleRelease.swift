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

/// A release small enough that every state of its installation can be visited: signed, and in the real format.
struct SampleRelease: Sendable {
    let name: String
    let behaviour: SampleBehaviour
    let sequence: UInt64
    let securityVersion: UInt32
    let digest: Digest
    /// The head as a device keeps it.
    let head: [UInt8]
    /// The whole bundle.
    let bundle: [UInt8]
    /// Windows by component, each padded with zeros to a whole window.
    let windows: [[[UInt8]]]

    /// Bytes of a window.
    static let windowSize = 4096

    /// One component of `counts[i]` windows for each entry; the last window of each is half full.
    init(
        _ name: String, _ behaviour: SampleBehaviour, sequence: UInt64, securityVersion: UInt32, counts: [Int],
        sharing former: SampleRelease? = nil, key: SigningKey
    ) throws {
        self.name = name
        self.behaviour = behaviour
        self.sequence = sequence
        self.securityVersion = securityVersion
        var payload: [UInt8] = []
        var components: [Component] = []
        var tables: [UInt8] = []
        var all: [[[UInt8]]] = []
        for (number, count) in counts.enumerated() {
            let size = count * Self.windowSize - Self.windowSize / 2
            var entries: [WindowEntry] = []
            var windows: [[UInt8]] = []
            var whole = SHA256()
            for index in 0..<count {
                let length = min(Self.windowSize, size - index * Self.windowSize)
                // The first window is as in the former release, so that skipping what the slot holds is explored too.
                let shared = index == 0 && count > 2 ? former?.windows[number][0] : nil
                let bytes = shared ?? Self.noise(length, seed: sequence &* 1000 &+ UInt64(number * 100 + index))
                let digest = SHA256.digest(of: bytes)
                whole.update(bytes.rawBytes)
                entries.append(
                    WindowEntry(
                        codec: .stored, plainDigest: digest, storedDigest: digest, storedOffset: UInt64(payload.count),
                        storedLength: length))
                payload += bytes
                windows.append(bytes + [UInt8](repeating: 0, count: Self.windowSize - length))
            }
            let table = try ChunkTable(
                windowSize: Self.windowSize, imageSize: UInt64(size), windows: entries
            ).encode()
            let id = SampleLayout.components[number]
            components.append(
                Component(
                    id: id, kind: number == 0 ? .rootfs : .kernel, target: id, version: nil, size: UInt64(size),
                    digest: whole.finish(), windowSize: Self.windowSize,
                    table: TableReference(
                        offset: tables.count, length: table.count, digest: SHA256.digest(of: table)),
                    verityRoot: nil))
            tables += table
            all.append(windows)
        }
        windows = all
        let manifest = Manifest(
            releaseID: name, version: "1", sequence: sequence, securityVersion: securityVersion,
            product: Product(vendor: "acme", deviceClass: "edge", hardware: 1...1),
            minimumUpdater: KedgeVersion.current, created: 1_650_000_000, notBefore: nil, expires: nil,
            update: .feature, advisories: [], sbomDigest: nil, sbomFormat: nil, components: components,
            reboot: .automatic, healthDeadline: 60, tablesLength: tables.count, payloadLength: UInt64(payload.count),
            meta: [])
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
        bundle = head + payload + header.encodeEnd()
    }

    /// Bytes from a fixed sequence (xorshift64).
    private static func noise(_ count: Int, seed: UInt64) -> [UInt8] {
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
