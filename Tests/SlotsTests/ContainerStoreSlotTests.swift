import BundleFormat
import Foundation
import Platform
import Slots
import Testing

@Suite("A container store slot")
struct ContainerStoreSlotTests {
    private let directory: TemporaryDirectory
    private let store: ContainerStore
    private let image: Image

    init() throws {
        directory = try TemporaryDirectory()
        store = ContainerStore(path: directory("store"))
        image = try Image(Bytes.noise(300_001), id: "app", kind: .container, version: "1.2")
    }

    /// A new slot object each time, as after a restart.
    private func slot(_ generation: String = "b", in store: ContainerStore? = nil) throws -> ContainerStoreSlot {
        ContainerStoreSlot(
            name: "app \(generation)", store: store ?? self.store, target: try #require(Identifier("app")),
            generation: generation)
    }
    private func blob(_ image: Image? = nil) -> String { store.blobPath((image ?? self.image).component.digest) }
    private func part(_ image: Image? = nil) -> String {
        "\(store.path)/staging/\((image ?? self.image).component.digest.hex).part"
    }
    private func generation(_ letter: String) throws -> ContainerGeneration? {
        try store.generation(of: try #require(Identifier("app")), letter)
    }
    private func names(_ folder: String) throws -> [String] { try FileSystem.list("\(store.path)/\(folder)") }

    @Test("publishes an image as a blob that the slot set's generation names")
    func wholeWay() throws {
        let slot = try slot()
        #expect(try !slot.holds(image.component))
        try image.install(in: slot)
        #expect(try image.readBack(from: slot) == image.bytes)
        #expect(try FileSystem.mode(of: part()) == 0o600)
        #expect(try FileSystem.kind(of: blob()) == nil)
        try slot.publish(image.component, release: "r-7")
        #expect(try Bytes.read(blob()) == image.bytes)
        #expect(try names("staging").isEmpty)
        #expect(try slot.holds(image.component))
        #expect(
            try generation("b")
                == ContainerGeneration(
                    target: image.component.id, generation: "b", component: image.component.id,
                    blob: image.component.digest, size: 300_001, release: "r-7", version: "1.2"))
        #expect(try generation("a") == nil)
    }

    @Test("writes the generation as a document that people can read")
    func document() throws {
        try image.install(in: slot())
        try slot().publish(image.component, release: "r-7")
        let text = String(decoding: try Bytes.read("\(store.path)/generations/app.b.json"), as: UTF8.self)
        #expect(
            text == """
                {"type":"kedge.generation","format":1,"target":"app","generation":"b","component":"app",\
                "blob":"\(image.component.digest.hex)","size":300001,"release":"r-7","version":"1.2"}

                """)
    }

    @Test("leaves the other slot set's generation and blob as they are")
    func otherSet() throws {
        try image.install(in: slot("a"))
        try slot("a").publish(image.component, release: "r-7")
        let next = try Image(Bytes.noise(200_000, seed: 5), id: "app", kind: .container)
        try next.install(in: slot("b"))
        try slot("b").publish(next.component, release: "r-8")
        #expect(try generation("a")?.release == "r-7")
        #expect(try Bytes.read(blob()) == image.bytes)
        #expect(try generation("b")?.blob == next.component.digest)
        #expect(try Bytes.read(blob(next)) == next.bytes)
    }

    @Test("stores an image that both slot sets use once, without writing it again")
    func shared() throws {
        try image.install(in: slot("a"))
        try slot("a").publish(image.component, release: "r-7")
        let other = try slot("b")
        try other.check(image.component)
        #expect(try other.holds(image.component))
        try other.publish(image.component, release: "r-8")
        #expect(try generation("b")?.release == "r-8")
        #expect(try names("blobs/sha256") == [image.component.digest.hex])
        #expect(other.bytesWritten < 1000)
    }

    @Test("publishes again without changing anything")
    func publishTwice() throws {
        try image.install(in: slot())
        try slot().publish(image.component, release: "r-7")
        let before = try Tool.run("stat", "-c", "%i %s", blob(), "\(store.path)/generations/app.b.json")
        let again = try slot()
        try again.publish(image.component, release: "r-7")
        #expect(try Tool.run("stat", "-c", "%i %s", blob(), "\(store.path)/generations/app.b.json") == before)
        #expect(again.bytesWritten == 0)
    }

    @Test("goes on with a part that a power cut left, and reserves no second time")
    func resumes() throws {
        do {
            let first = try slot()
            try first.open(image.component)
            for index in 0..<2 { try image.write(index, to: first) }
            try first.flush()
        }
        let second = try slot()
        try second.check(image.component)
        try second.open(image.component)
        let buffer = try AlignedBuffer(capacity: 131_072)
        #expect(try second.read(at: 0, count: 131_072, into: buffer) == 131_072)
        #expect([UInt8](copying: buffer.bytes) == Array(image.bytes[0..<131_072]))
        for index in 2..<image.windowCount { try image.write(index, to: second) }
        try second.flush()
        try second.seal(image.component)
        #expect(try image.readBack(from: second) == image.bytes)
        try second.publish(image.component, release: "r-7")
        #expect(try Bytes.read(blob()) == image.bytes)
    }

    @Test("publishes after a cut between seal and publish")
    func cutBeforePublish() throws {
        try image.install(in: slot())
        let next = try slot()
        try next.publish(image.component, release: "r-7")
        #expect(try next.holds(image.component))
        #expect(try generation("b")?.release == "r-7")
    }

    @Test("publishes after a cut between the blob's rename and the generation")
    func cutAfterRename() throws {
        try image.install(in: slot())
        try FileSystem.rename(part(), to: blob())
        let next = try slot()
        #expect(try next.holds(image.component))
        #expect(try generation("b") == nil)
        try next.publish(image.component, release: "r-7")
        #expect(try generation("b")?.blob == image.component.digest)
    }

    @Test("publishes after a cut that left half a new generation file")
    func cutInGeneration() throws {
        try image.install(in: slot())
        let half = "\(store.path)/generations/app.b.json.new"
        try Bytes.write(Array("{\"type\":".utf8), to: half)
        try slot().publish(image.component, release: "r-7")
        #expect(try generation("b")?.release == "r-7")
        #expect(try names("generations") == ["app.b.json"])
    }

    @Test("replaces a damaged generation file")
    func damagedGeneration() throws {
        try image.install(in: slot())
        try Bytes.write([0x7b], to: "\(store.path)/generations/app.b.json")
        try slot().publish(image.component, release: "r-7")
        #expect(try generation("b")?.release == "r-7")
    }

    @Test("does not hold a blob of which a byte or the size is wrong, and replaces it")
    func damagedBlob() throws {
        try image.install(in: slot())
        try slot().publish(image.component, release: "r-7")
        var damaged = image.bytes
        damaged[200_000] ^= 1
        for bytes in [damaged, Array(image.bytes.dropLast()), image.bytes + [0]] {
            try Bytes.write(bytes, to: blob())
            #expect(try !slot().holds(image.component))
            try image.install(in: slot())
            try slot().publish(image.component, release: "r-7")
            #expect(try slot().holds(image.component))
        }
    }

    @Test("publishes nothing when there is no whole blob")
    func nothingToPublish() throws {
        #expect(throws: SlotError.self) { try slot().publish(image.component, release: "r-7") }
        #expect(try generation("b") == nil)
    }

    @Test("is read only as a published blob when it is measured")
    func openForReading() throws {
        let slot = try slot()
        try image.install(in: slot)
        slot.close()
        let error = #expect(throws: SlotError.self) { try slot.openForReading(image.component) }
        #expect(error?.code == "slot.unusable")
        try slot.publish(image.component, release: "r-7")
        try slot.openForReading(image.component)
        #expect(try image.readBack(from: slot) == image.bytes)
        #expect(throws: SlotError.self) { try image.write(0, to: slot) }
        #expect(throws: SlotError.self) { try slot.seal(image.component) }
        #expect(try Bytes.read(blob()) == image.bytes)
    }

    @Test("changes nothing when it is checked")
    func checkChangesNothing() throws {
        try slot().check(image.component)
        #expect(try FileSystem.kind(of: store.path) == nil)
    }

    @Test("reserves the whole image's room when it is opened")
    func reserves() throws {
        let slot = try slot()
        try slot.open(image.component)
        let blocks = try #require(Int(try Tool.run("stat", "-c", "%b", part())))
        #expect(blocks * 512 >= image.bytes.count)
    }

    @Test("cuts a part that is longer than the image")
    func longPart() throws {
        try FileSystem.makeDirectories("\(store.path)/staging")
        try Bytes.write(Bytes.noise(400_000, seed: 9), to: part())
        let slot = try slot()
        try image.install(in: slot)
        try slot.publish(image.component, release: "r-7")
        #expect(try slot.holds(image.component))
    }

    @Test("does not follow a symbolic link in place of its part")
    func symbolicLink() throws {
        try FileSystem.makeDirectories("\(store.path)/staging")
        try Bytes.write([1, 2, 3], to: directory("victim"))
        try FileManager.default.createSymbolicLink(atPath: part(), withDestinationPath: directory("victim"))
        #expect(throws: SlotError.self) { try slot().open(image.component) }
        #expect(try Bytes.read(directory("victim")) == [1, 2, 3])
    }

    @Test("is unusable where its store is a file")
    func storeIsFile() throws {
        try Bytes.write([1], to: directory("store"))
        let error = #expect(throws: SlotError.self) { try slot().check(image.component) }
        #expect(error?.code == "slot.unusable")
        let below = try slot(in: ContainerStore(path: directory("store/deeper")))
        #expect(throws: SlotError.self) { try below.check(image.component) }
    }

    @Test(
        "has no space on a full file system, says so before it writes, and keeps what it had",
        .enabled(if: MountedFileSystem.works, MountedFileSystem.need))
    func noSpace() throws {
        let mount = try MountedFileSystem(type: "tmpfs", options: "size=4m", at: directory("small"))
        let store = ContainerStore(path: mount.path + "/store")
        let large = try Image(Bytes.noise(6 << 20), id: "app", kind: .container, windowSize: 1 << 20)
        let slot = try slot(in: store)
        let error = #expect(throws: SlotError.self) { try slot.check(large.component) }
        #expect(error == .noSpace(slot: slot.displayName, free: 4 << 20, needed: 7 << 20))
        let opened = #expect(throws: SlotError.self) { try slot.open(large.component) }
        #expect(opened?.code == "slot.no-space")
        #expect(try FileSystem.list(store.path + "/staging").isEmpty)

        // One MiB must stay free beside the image; what a part has reserved is not asked for again.
        let fitting = try Image(Bytes.noise(2 << 20), id: "app", kind: .container, windowSize: 1 << 20)
        try slot.check(fitting.component)
        try slot.open(fitting.component)
        slot.close()
        try slot.check(fitting.component)
        try fitting.install(in: slot)
        try slot.publish(fitting.component, release: "r-1")
        // The blob is there: no room is needed for it although there is too little.
        try slot.check(fitting.component)
        #expect(throws: SlotError.self) {
            try slot.check(Image(Bytes.noise(2 << 20, seed: 4), id: "app", kind: .container).component)
        }
        try mount.unmount()
    }
}
