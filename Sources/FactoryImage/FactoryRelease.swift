internal import BootControl
internal import BundleFormat
internal import Packaging
internal import Payload
internal import Platform
internal import Slots
internal import Trust

/// The release that a gateway leaves the factory with, and the trust store that it ships with.
///
/// Images are verified as on a device and go through the device's own slots, so that what the factory wrote looks
/// to `kedged` like what it wrote itself.
struct FactoryRelease {
    private let bundle: String
    private let trust: TrustStore
    /// What the bundle says it is.
    let verified: VerifiedManifest

    /// Opens a bundle and verifies its signatures.
    init(_ bundle: String, trustRoot: String) throws(GatewayError) {
        self.bundle = bundle
        do {
            trust = try TrustStore.load(path: trustRoot)
            verified = try BundleExtractor.manifest(of: bundle, trust: trust)
        } catch { throw Self.described(error) }
    }

    /// Puts a trust store on the gateway, after checking it as the device will.
    static func copyTrust(_ root: String, to path: String) throws(GatewayError) {
        do {
            let bytes = try FileSystem.read(root, limit: RootFile.limit)
            _ = try TrustStore(rootFile: bytes)
            try FileSystem.replace(path, with: bytes)
        } catch { throw described(error) }
    }

    /// Writes all images into slot set A, and gives the boot record of a device that runs the release.
    func install(on gateway: Gateway) throws(GatewayError) -> BootRecord {
        try checkProduct(of: verified.manifest, gateway.description.identity)
        return try install(data: gateway.data) { component throws(GatewayError) in
            try Self.place(for: component, on: gateway)
        }
    }

    /// The same with slots at any places, and `data` as the future data directory of `kedged`. A component without a
    /// place is left out.
    func install(
        data: String, place: (Component) throws(GatewayError) -> SlotConfiguration.Place?
    ) throws(GatewayError) -> BootRecord {
        let manifest = verified.manifest
        do {
            try BundleExtractor.images(of: bundle, trust: trust) { component, windows in
                guard let place = try place(component) else { return }
                let slot = try SlotConfiguration(target: component.target, generation: "a", place: place).makeSlot()
                try slot.check(component)
                try slot.open(component)
                defer { slot.close() }
                var record = FactoryHints(data, component)
                try windows { window in
                    try slot.write(window)
                    record.add(window)
                }
                try slot.flush()
                try slot.seal(component)
                try slot.publish(component, release: manifest.releaseID)
                if slot.directory == nil { try record.write() }
            }
            try keepHead(in: data)
        } catch { throw Self.described(error) }
        return BootRecord(
            slotA: SlotRecord(
                state: .good, manifest: verified.digest, sequence: manifest.sequence,
                securityVersion: manifest.securityVersion),
            floor: manifest.securityVersion, acceptedSequence: manifest.sequence)
    }

    /// Leaves the bundle's head where kedged keeps it (`head.a` in the data directory): the device then knows its
    /// factory release by name, and can measure its running slots against the chunk tables.
    private func keepHead(in data: String) throws(SystemError) {
        let file = try Descriptor(open: bundle, [.read])
        let length = Int(verified.header.payloadOffset)
        let buffer = try AlignedBuffer(capacity: length)
        let count = try file.read(into: buffer, count: length, at: 0)
        try FileSystem.replace(
            data + "/head.a", with: [UInt8](copying: buffer.bytes.extracting(0..<count)), mode: 0o600)
    }

    private func checkProduct(
        of manifest: Manifest, _ identity: GatewayDescription.Identity
    ) throws(GatewayError) {
        let product = manifest.product
        if product.vendor != identity.vendor || product.deviceClass != identity.deviceClass
            || !product.hardware.contains(identity.hardware)
        {
            throw .product(
                release: manifest.releaseID,
                wants: "\(product.vendor) \(product.deviceClass), hardware \(product.hardware.lowerBound) to "
                    + "\(product.hardware.upperBound)")
        }
    }

    private static func place(
        for component: Component, on gateway: Gateway
    ) throws(GatewayError) -> SlotConfiguration.Place {
        guard let place = gateway.slot(component.target.text, .a) else {
            throw .noSlot(component: component.id.text, target: component.target.text)
        }
        return switch place.medium {
        case .device(let path): .block(path: path, offset: 0, size: nil)
        case .region(let path, let offset, let size): .block(path: path, offset: offset, size: size)
        case .bank(let path, let offset, let size, let erase):
            .flash(path: path, offset: offset, size: size, eraseSize: erase)
        case .store(let path): .store(path: path)
        }
    }

    /// An error of any module as one of this one.
    private static func described(_ error: any Error) -> GatewayError {
        if let error = error as? GatewayError { return error }
        if let error = error as? any StableError { return .release(Failure(error)) }
        return .release(
            Failure(
                code: "unexpected", category: .unexpected, context: "\(error)",
                remedy: "Report this with the command that was given"))
    }
}
