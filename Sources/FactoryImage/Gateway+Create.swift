internal import BootControl
internal import BundleFormat
internal import Platform
internal import StrictJSON
internal import Trust

/// What a new gateway shall be.
public struct GatewayOrder: Sendable {
    /// How to choose the medium of the disk's slots.
    public enum MediaChoice: String, Sendable, CaseIterable {
        /// Loop devices where this process may use them, else plain files.
        case auto
        case loop
        case file
    }

    public var sizes: GatewayLayout.Sizes
    public var boot: GatewayDescription.Boot
    public var media: MediaChoice
    /// The gateway's own name.
    public var id: String
    /// Vendor, device class and hardware revision; nil is what the release in `bundle` is for, or an example.
    public var vendor: String?
    public var deviceClass: String?
    public var hardware: UInt32?
    /// A trust store to ship with; nil leaves the gateway without one, and it accepts nothing until it gets one.
    public var trustRoot: String?
    /// A bundle whose images are in slot set A from the start; needs a trust store.
    public var bundle: String?

    public init(
        sizes: GatewayLayout.Sizes = GatewayLayout.Sizes(), boot: GatewayDescription.Boot = .simulated,
        media: MediaChoice = .auto, id: String = "gateway-1", vendor: String? = nil, deviceClass: String? = nil,
        hardware: UInt32? = nil, trustRoot: String? = nil, bundle: String? = nil
    ) {
        self.sizes = sizes
        self.boot = boot
        self.media = media
        self.id = id
        self.vendor = vendor
        self.deviceClass = deviceClass
        self.hardware = hardware
        self.trustRoot = trustRoot
        self.bundle = bundle
    }

    /// Opens the release, if there is one.
    func release() throws(GatewayError) -> FactoryRelease? {
        guard let bundle else { return nil }
        guard let trustRoot else { throw .noTrust }
        return try FactoryRelease(bundle, trustRoot: trustRoot)
    }

    /// Who the gateway is when it leaves with `release`.
    func identity(with release: FactoryRelease?) -> GatewayDescription.Identity {
        let product = release?.verified.manifest.product
        return GatewayDescription.Identity(
            id: id, vendor: vendor ?? product?.vendor ?? "example",
            deviceClass: deviceClass ?? product?.deviceClass ?? "gateway",
            hardware: hardware ?? product?.hardware.lowerBound ?? 1)
    }
}

extension Gateway {
    /// Makes a gateway in a directory that does not exist yet or is empty.
    ///
    /// All files are made in a directory beside it, which takes its name at the very end: on any error, and after a
    /// kill, there is no half-made gateway under the name. Loop devices are attached last.
    public static func create(_ order: GatewayOrder, at path: String) throws(GatewayError) -> Gateway {
        let layout = try GatewayLayout(order.sizes)
        let directory = try asGateway { () throws(SystemError) in try FileSystem.absolute(path) }
        try checkPath(directory)
        try checkFree(directory)
        let release = try order.release()
        let staging = directory + ".partial"
        try asGateway { () throws(SystemError) in
            try FileSystem.removeTree(staging)
            try FileSystem.makeDirectories(staging)
        }
        let gateway: Gateway
        do {
            let media = try choose(order.media, in: staging)
            let description = try GatewayDescription(
                boot: order.boot, media: media, identity: order.identity(with: release), layout: layout)
            gateway = Gateway(directory: directory, description: description)
            try gateway.fill(staging, trustRoot: order.trustRoot, release: release)
            try asGateway { () throws(SystemError) in
                try FileSystem.rename(staging, to: directory)
                try FileSystem.flushDirectory(FileSystem.parent(of: directory))
            }
        } catch {
            try asGateway { () throws(SystemError) in try FileSystem.removeTree(staging) }
            throw error
        }
        do {
            try gateway.attachMedia()
        } catch {
            try gateway.destroy()
            throw error
        }
        return gateway
    }

    /// device.ini, fw_env.config and the health script split at spaces and quote nothing.
    private static func checkPath(_ path: String) throws(GatewayError) {
        let refused = Array(";#=\"'\\".utf8)
        for byte in path.utf8 where byte <= 0x20 || byte == 0x7f || refused.contains(byte) { throw .path(path) }
    }

    private static func checkFree(_ path: String) throws(GatewayError) {
        let free = try asGateway { () throws(SystemError) -> Bool in
            switch try FileSystem.kind(of: path) {
            case nil: return true
            case .directory: return try FileSystem.list(path).isEmpty
            default: return false
            }
        }
        if !free { throw .notEmpty(path: path) }
    }

    private static func choose(
        _ choice: GatewayOrder.MediaChoice, in staging: String
    ) throws(GatewayError) -> GatewayDescription.Media {
        switch choice {
        case .file: return .file
        case .auto: return LoopMedia.probe(in: staging) == nil ? .loop : .file
        case .loop:
            if let error = LoopMedia.probe(in: staging) { throw error }
            return .loop
        }
    }

    /// Makes all files in `staging`. Texts name the final directory; bytes go to the staging one.
    private func fill(_ staging: String, trustRoot: String?, release: FactoryRelease?) throws(GatewayError) {
        // Before the media are attached, every slot is a region of a file.
        let onFiles = try GatewayDescription(
            boot: description.boot, media: .file, identity: description.identity, layout: description.layout)
        let staged = Gateway(directory: staging, description: onFiles)
        let layout = description.layout
        try asGateway { () throws(SystemError) in
            for path in [staged.data, staged.store, staging + "/run", staging + "/dev"] {
                try FileSystem.makeDirectories(path)
            }
            let disk = try Descriptor(open: staged.disk, [.write, .create, .exclusive])
            try disk.truncate(to: layout.diskSize)
            try Self.erase(staged.flash, size: layout.flashSize)
        }
        try PartitionTable.write(layout, to: staged.disk, script: staging + "/sfdisk.script")
        if let root = trustRoot { try FactoryRelease.copyTrust(root, to: staged.trustRoot) }
        try staged.createBootRecord(try release?.install(on: staged) ?? BootRecord())
        try asGateway { () throws(SystemError) in
            try FileSystem.replace(staged.deviceINI, with: Array(deviceINIText.utf8))
            try FileSystem.replace(staged.health, with: Array(healthText.utf8), mode: 0o755)
            try FileSystem.replace(
                staging + "/gateway.json", with: Array((description.json.prettyText + "\n").utf8))
        }
    }

    /// A flash that was erased: all bits are one.
    private static func erase(_ path: String, size: UInt64) throws(SystemError) {
        let file = try Descriptor(open: path, [.write, .create, .exclusive])
        let block = [UInt8](repeating: 0xff, count: Int(GatewayLayout.eraseBlock))
        var offset: UInt64 = 0
        while offset < size {
            try file.write(block.rawBytes, at: offset)
            offset += UInt64(block.count)
        }
    }

    private func createBootRecord(_ record: BootRecord) throws(GatewayError) {
        do {
            switch description.boot {
            case .simulated: try SimulatedBootHome.create(path: bootRecord, record: record)
            case .uboot:
                let (first, second) = environmentLocations
                try UBootEnvironmentHome.create(first, second, record: record)
            }
        } catch { throw .boot(error) }
    }
}
