import BootControl
import BundleFormat
import FactoryImage
import Packaging
import Payload
import Platform
import Signing
import Slots
import Testing
import Trust

/// A signed release with all four kinds of component, and the trust store that accepts it.
private struct TestRelease {
    let bundle: String
    let root: String
    /// The images by target.
    let images: [String: [UInt8]]

    init(in bench: Workbench, rootfsSize: Int = 3 << 20) throws {
        let key = try SigningKey.generate()
        let named = [(key: key.publicKey, name: "factory")]
        root = bench.path + "/root.json"
        try FileSystem.replace(
            root,
            with: RootDocument.make(
                environment: .dev, created: 1, rootKeys: named, rootThreshold: 1, releaseKeys: named,
                releaseThreshold: 1, signedBy: [key]))
        images = [
            "rootfs": Self.bytes(rootfsSize, 3), "kernel": Self.bytes(700_001, 5), "bios": Self.bytes(100_000, 7),
            "containers": Self.bytes(250_000, 11),
        ]
        var text = """
            [release]
            id = "factory-1"
            version = "1"
            sequence = 41
            security-version = 4
            update = "feature"
            [product]
            vendor = "acme"
            class = "edge"
            hardware = [2, 5]

            """
        for (target, kind) in [
            ("rootfs", "rootfs"), ("kernel", "kernel"), ("bios", "bios"), ("containers", "container"),
        ] {
            try FileSystem.replace("\(bench.path)/\(target).img", with: images[target] ?? [])
            text += "[[component]]\nid = \"\(target)\"\nkind = \"\(kind)\"\npath = \"\(target).img\"\n"
        }
        try FileSystem.replace(bench.path + "/recipe.toml", with: Array(text.utf8))
        bundle = bench.path + "/factory.kedge"
        let recipe = try Recipe(contentsOf: bench.path + "/recipe.toml")
        _ = try BundleBuilder(recipe: recipe, level: 1, jobs: 1).build(to: bundle, keys: [key])
    }

    /// A sequence with a hole of zeros in the middle.
    private static func bytes(_ count: Int, _ step: Int) -> [UInt8] {
        var out = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* step &+ $0 >> 9) }
        for index in (count / 3)..<(count / 2) { out[index] = 0 }
        return out
    }

    /// An order for a gateway with this release.
    func order(boot: GatewayDescription.Boot = .simulated) -> GatewayOrder {
        GatewayOrder(
            sizes: Workbench.sizes, boot: boot, media: .file, trustRoot: root, bundle: bundle)
    }
}

@Suite("A gateway that leaves the factory with a release", Workbench.needsPartitioner)
struct FactoryReleaseTests {
    private static func read(_ place: GatewaySlot.Place, count: Int) throws -> [UInt8] {
        let file = try Descriptor(open: place.path, [.read])
        let buffer = try AlignedBuffer(capacity: count)
        let got = try buffer.withMutableBytes { (bytes) throws(SystemError) -> Int in
            try file.read(into: &bytes, at: place.offset)
        }
        return [UInt8](copying: buffer.bytes.extracting(0..<min(got, count)))
    }

    @Test("Its images are in slot set a, byte for byte, and slot set b is blank")
    func images() throws {
        let bench = try Workbench()
        let release = try TestRelease(in: bench)
        let gateway = try Gateway.create(release.order(), at: bench.path + "/gateway")
        for target in ["rootfs", "kernel", "bios"] {
            let image = try #require(release.images[target])
            let place = try #require(gateway.slot(target, .a)?.backing)
            #expect(try Self.read(place, count: image.count) == image)
            #expect(try gateway.slot(target, .b)?.isBlank() == true)
        }
    }

    @Test("What its raw slots hold is on record, as kedged keeps it, so that an update finds blocks in them")
    func record() throws {
        let bench = try Workbench()
        let release = try TestRelease(in: bench)
        let gateway = try Gateway.create(release.order(), at: bench.path + "/gateway")
        for target in ["rootfs", "kernel", "bios"] {
            let image = try #require(release.images[target])
            let file = try FileSystem.read("\(gateway.data)/hints.\(target).a", limit: 1 << 20)
            let size = try #require(WindowHints.windowSize(header: file))
            let length = WindowHints.recordLength(windowSize: size)
            for (window, start) in stride(from: 0, to: image.count, by: size).enumerated() {
                let part = Array(image[start..<min(start + size, image.count)])
                let place = Int(WindowHints.recordOffset(of: window, windowSize: size))
                let hints = try #require(
                    WindowHints.decode(Array(file[place..<(place + length)]), window: window, windowSize: size))
                #expect(hints.digest == SHA256.digest(of: part))
                #expect(hints.blocks.count == (part.count + 4095) / 4096)
                #expect(hints.blocks[0] == BlockHint(of: Array(part.prefix(4096)).rawBytes))
            }
        }
        #expect(try FileSystem.kind(of: gateway.data + "/hints.containers.a") == nil)
    }

    @Test("Its container is published in the store for slot set a only")
    func container() throws {
        let bench = try Workbench()
        let release = try TestRelease(in: bench)
        let gateway = try Gateway.create(release.order(), at: bench.path + "/gateway")
        let store = ContainerStore(path: gateway.store)
        let target = try #require(Identifier("containers"))
        let generation = try #require(try store.generation(of: target, "a"))
        #expect(generation.release == "factory-1")
        let blob = try FileSystem.read(store.blobPath(generation.blob), limit: 1 << 20)
        #expect(blob == release.images["containers"])
        #expect(try store.generation(of: target, "b") == nil)
    }

    @Test("The boot record names the release and raises the floor to it", arguments: GatewayDescription.Boot.allCases)
    func record(_ boot: GatewayDescription.Boot) throws {
        let bench = try Workbench()
        let release = try TestRelease(in: bench)
        let gateway = try Gateway.create(release.order(boot: boot), at: bench.path + "/gateway")
        let digest = try BundleReport(inspecting: release.bundle).manifestDigest
        let record = try gateway.status().record
        #expect(record.slotA == SlotRecord(state: .good, manifest: digest, sequence: 41, securityVersion: 4))
        #expect(record.slotB == SlotRecord())
        #expect(record.active == .a)
        #expect(record.phase == .idle)
        #expect(record.floor == 4)
        #expect(record.acceptedSequence == 41)
    }

    @Test("Without an identity it becomes what the release is for")
    func identity() throws {
        let bench = try Workbench()
        let release = try TestRelease(in: bench)
        let gateway = try Gateway.create(release.order(), at: bench.path + "/gateway")
        let who = gateway.description.identity
        #expect(who.vendor == "acme")
        #expect(who.deviceClass == "edge")
        #expect(who.hardware == 2)
        #expect(try FileSystem.read(gateway.trustRoot, limit: 65536) == FileSystem.read(release.root, limit: 65536))
    }

    @Test("A release for other devices is refused, and nothing is left behind")
    func otherProduct() throws {
        let bench = try Workbench()
        let release = try TestRelease(in: bench)
        var order = release.order()
        order.hardware = 6
        let before = try FileSystem.list(bench.path)
        #expect(throws: GatewayError.product(release: "factory-1", wants: "acme edge, hardware 2 to 5")) {
            try Gateway.create(order, at: bench.path + "/gateway")
        }
        #expect(try FileSystem.list(bench.path) == before)
    }

    @Test("A release without a trust store is refused")
    func noTrust() throws {
        let bench = try Workbench()
        var order = try TestRelease(in: bench).order()
        order.trustRoot = nil
        #expect(throws: GatewayError.noTrust) { try Gateway.create(order, at: bench.path + "/gateway") }
    }

    @Test("A release that others signed is refused, and nothing is left behind")
    func foreignSigner() throws {
        let bench = try Workbench()
        let release = try TestRelease(in: bench)
        let others = try Workbench()
        var order = release.order()
        order.trustRoot = try TestRelease(in: others).root
        let before = try FileSystem.list(bench.path)
        let error = #expect(throws: GatewayError.self) { try Gateway.create(order, at: bench.path + "/gateway") }
        #expect(error?.category == .trust)
        #expect(try FileSystem.list(bench.path) == before)
    }

    @Test("A release with a damaged byte is refused, and nothing is left behind")
    func damaged() throws {
        let bench = try Workbench()
        let release = try TestRelease(in: bench)
        let size = try Descriptor(open: release.bundle, [.read]).size()
        let place = GatewaySlot.Place(path: release.bundle, offset: size - 1000, size: 1)
        let byte = try Self.read(place, count: 1)[0]
        try Workbench.write([byte ^ 1], to: release.bundle, at: size - 1000)
        let before = try FileSystem.list(bench.path)
        let error = #expect(throws: GatewayError.self) {
            try Gateway.create(release.order(), at: bench.path + "/gateway")
        }
        #expect(error?.category == .trust)
        #expect(try FileSystem.list(bench.path) == before)
    }

    @Test("An image larger than its slot is refused, and nothing is left behind")
    func tooLarge() throws {
        let bench = try Workbench()
        let release = try TestRelease(in: bench, rootfsSize: 9 << 20)
        let before = try FileSystem.list(bench.path)
        let error = #expect(throws: GatewayError.self) {
            try Gateway.create(release.order(), at: bench.path + "/gateway")
        }
        #expect(error?.code == "slot.too-small")
        #expect(try FileSystem.list(bench.path) == before)
    }
}
