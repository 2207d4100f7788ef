import BundleFormat
import Platform
@testable import Slots
import StrictJSON
import Testing

@Suite("A container store")
struct ContainerStoreTests {
    private let directory: TemporaryDirectory
    private let store: ContainerStore
    private let images: [Image]

    init() throws {
        directory = try TemporaryDirectory()
        store = ContainerStore(path: directory("store"))
        images = try (1...4).map { try Image(Bytes.noise(10_000, seed: $0), id: "app", kind: .container) }
    }

    private func slot(_ target: String, _ generation: String) throws -> ContainerStoreSlot {
        ContainerStoreSlot(
            name: "\(target) \(generation)", store: store, target: try #require(Identifier(target)),
            generation: generation)
    }
    private func publish(_ index: Int, _ target: String, _ generation: String) throws {
        let slot = try slot(target, generation)
        try images[index].install(in: slot)
        try slot.publish(images[index].component, release: "r-\(index)")
    }
    private func names(_ folder: String) throws -> [String] { try FileSystem.list("\(store.path)/\(folder)") }
    private func hex(_ indices: Int...) -> [String] { indices.map { images[$0].component.digest.hex }.sorted() }

    @Test("removes what no generation names, and nothing that one does")
    func garbage() throws {
        try publish(0, "app", "a")
        try publish(1, "app", "b")
        try publish(2, "other", "a")
        // The former blob of app b is named no more.
        try publish(3, "app", "b")
        try slot("app", "a").open(images[1].component)
        #expect(try store.collectGarbage() == removed(blobs: 1, parts: 1, bytes: 20_000))
        #expect(try names("blobs/sha256") == hex(0, 2, 3))
        #expect(try names("staging").isEmpty)
        #expect(try store.collectGarbage() == removed(blobs: 0, parts: 0, bytes: 0))
        for (index, target, generation) in [(0, "app", "a"), (2, "other", "a"), (3, "app", "b")] {
            #expect(try slot(target, generation).holds(images[index].component))
        }
    }

    private func removed(blobs: Int, parts: Int, bytes: UInt64) -> ContainerStore.Garbage {
        ContainerStore.Garbage(blobs: blobs, parts: parts, bytes: bytes)
    }

    @Test("keeps a blob that one of two slot sets still names")
    func sharedBlob() throws {
        try publish(0, "app", "a")
        try publish(0, "app", "b")
        try publish(1, "app", "b")
        _ = try store.collectGarbage()
        #expect(try names("blobs/sha256") == hex(0, 1))
    }

    @Test("keeps the parts that it is told to keep")
    func keepsParts() throws {
        for index in 0..<2 { try slot("app", "b").open(images[index].component) }
        #expect(try store.collectGarbage(keeping: [images[1].component.digest]).parts == 1)
        #expect(try names("staging") == [images[1].component.digest.hex + ".part"])
    }

    @Test("leaves files that are not its own")
    func foreignFiles() throws {
        try publish(0, "app", "a")
        for file in ["blobs/sha256/README", "staging/notes.part", "staging/x", "generations/app.a.json.new"] {
            try Bytes.write([1], to: "\(store.path)/\(file)")
        }
        #expect(try store.collectGarbage() == removed(blobs: 0, parts: 0, bytes: 0))
        #expect(try names("staging") == ["notes.part", "x"])
        #expect(try names("blobs/sha256").contains("README"))
    }

    @Test("removes nothing when a generation cannot be read", arguments: ["", "{}", "{\"type\":\"kedge.generation\"}"])
    func unreadableGeneration(_ text: String) throws {
        try publish(0, "app", "a")
        try publish(1, "app", "b")
        try publish(2, "app", "b")
        try Bytes.write(Array(text.utf8), to: "\(store.path)/generations/app.a.json")
        let error = #expect(throws: SlotError.self) { try store.collectGarbage() }
        #expect(error?.code == "slot.unusable")
        #expect(error?.context.contains("app.a.json") == true)
        #expect(try names("blobs/sha256") == hex(0, 1, 2))
    }

    @Test("that was never made has no generations and no garbage")
    func neverMade() throws {
        #expect(try store.generations().isEmpty)
        #expect(try store.collectGarbage() == removed(blobs: 0, parts: 0, bytes: 0))
        #expect(try FileSystem.kind(of: store.path) == nil)
    }

    @Test("does not believe a generation file under another's name")
    func swappedGeneration() throws {
        try publish(0, "app", "a")
        try FileSystem.rename("\(store.path)/generations/app.a.json", to: "\(store.path)/generations/app.b.json")
        #expect(throws: SlotError.self) { try store.generation(of: try #require(Identifier("app")), "b") }
    }

    @Test(
        "reads generations strictly",
        arguments: [
            ("\"format\":1", "\"format\":2"), ("\"target\":\"app\"", "\"target\":\"../x\""),
            ("\"size\":10000", "\"size\":-1"), ("\"size\":10000", "\"size\":\"1\""),
            ("\"release\":\"r-0\"", "\"release\":\"\""), ("\"format\":1", "\"format\":1,\"more\":1"),
            ("kedge.generation", "kedge.other"), ("\"blob\":\"", "\"blob\":\"x"),
        ])
    func strict(_ old: String, _ new: String) throws {
        try publish(0, "app", "a")
        let file = "\(store.path)/generations/app.a.json"
        let text = String(decoding: try Bytes.read(file), as: UTF8.self)
        let changed = text.replacing(old, with: new)
        try #require(changed != text)
        try Bytes.write(Array(changed.utf8), to: file)
        #expect(throws: SlotError.self) { try store.generation(of: try #require(Identifier("app")), "a") }
    }
}

@Suite("A slot's configuration")
struct SlotConfigurationTests {
    private func slot(_ target: String, _ place: SlotConfiguration.Place) throws -> any Slot {
        try SlotConfiguration(target: try #require(Identifier(target)), generation: "b", place: place).makeSlot()
    }

    @Test("makes the kind of slot that it names")
    func kinds() throws {
        let block = try slot("rootfs", .block(path: "/dev/mmcblk0p3", offset: 0, size: nil))
        #expect(block is BlockSlot)
        #expect(block.displayName == "rootfs b (/dev/mmcblk0p3)")
        let flash = try slot("bios", .flash(path: "/dev/mtdblock0", offset: 8 << 20, size: 8 << 20, eraseSize: 65536))
        #expect(flash is FlashSlot)
        #expect(flash.displayName == "bios b (/dev/mtdblock0)")
        let container = try slot("app", .store(path: "/var/lib/kedge/store"))
        #expect(container is ContainerStoreSlot)
        #expect(container.displayName == "app b (/var/lib/kedge/store)")
    }

    @Test("with impossible numbers is an error that names the slot")
    func impossible() throws {
        let error = #expect(throws: SlotError.self) {
            try slot("bios", .flash(path: "/flash", offset: 1, size: 65536, eraseSize: 65536))
        }
        #expect(error?.code == "slot.unusable")
        #expect(error?.context.contains("bios b (/flash)") == true)
    }
}
