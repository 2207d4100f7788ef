import BootControl
import BundleFormat
import Foundation
import Platform
import Signing
import Testing
import Transfer
import Trust

@testable import UpdateEngine

private final class FolderSources: SourceOpener {
    func open(_ location: String) throws(TransferError) -> any BundleSource { try FileSource(path: location) }
}

/// Follows the roots beside the bundle, as kedged does, and keeps them in memory.
private final class FolderRotation: TrustRotation, @unchecked Sendable {
    var chain: TrustChain
    var failure: Failure?
    init(_ anchor: [UInt8]) throws { chain = try TrustChain(anchor: anchor) }

    func newest(for location: String) -> TrustStore {
        do throws(Failure) {
            _ = try chain.follow(.beside(location), from: FolderSources())
        } catch { failure = error }
        return chain.trust
    }
}

/// What an update of the trust root does to releases, through the shipped engine.
@Suite struct TrustRotationTests {
    private let device: TestDevice
    private let rootKey: SigningKey
    private let release: SigningKey
    private let anchor: [UInt8]
    private let image = TestDevice.image(seed: 5, megabytes: 2)

    init() throws {
        device = try TestDevice()
        rootKey = try SigningKey.generate()
        release = device.key
        anchor = try Self.root(1, rootKey, release: release)
        device.trust = try TrustStore(rootFile: anchor)
        device.rotation = try FolderRotation(anchor)
    }

    private static func root(
        _ version: UInt32, _ key: SigningKey, release: SigningKey, revoked: [Digest] = [], denied: [Digest] = [],
        floor: UInt32 = 0
    ) throws -> [UInt8] {
        try RootDocument.make(
            version: version, environment: .dev, created: 1_600_000_000, rootKeys: [(key.publicKey, "root")],
            rootThreshold: 1, releaseKeys: [(release.publicKey, "release")], releaseThreshold: 1, revoked: revoked,
            deniedReleases: denied, floor: floor, signedBy: [key])
    }

    private func publish(_ version: UInt32, _ bytes: [UInt8]) throws {
        try FileSystem.replace("\(device.directory)/root.\(version).json", with: bytes)
    }

    private func digest(of bundle: String) throws -> Digest {
        try UnverifiedHead(inspecting: FileSystem.read(bundle, limit: 1 << 26)).manifestDigest
    }

    /// The code of the refusal; nothing may have been written.
    private func refusal(of bundle: String) throws -> String {
        let before = device.boot.records.count
        defer { #expect(device.boot.records.count == before) }
        let failure = #expect(throws: Failure.self) { try device.engine().install(bundle) }
        return failure?.code ?? ""
    }

    @Test("A release that a newer root denies is refused, and another one goes in")
    func denied() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        try publish(2, Self.root(2, rootKey, release: release, denied: [digest(of: bundle)]))
        #expect(try refusal(of: bundle) == "trust.denied-release")
        let engine = try device.engine()
        try engine.install(device.bundle("r2", sequence: 2, images: [("rootfs", image)]))
        #expect(engine.status.phase == .rebooting)
    }

    @Test("After two rotations the revoked key's release is refused and the new key's goes in")
    func rotated() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        let middle = try SigningKey.generate()
        let next = try SigningKey.generate()
        let old = release.publicKey.id
        try publish(2, Self.root(2, rootKey, release: middle, revoked: [old]))
        try publish(3, Self.root(3, rootKey, release: next, revoked: [old, middle.publicKey.id]))
        #expect(try refusal(of: bundle) == "trust.revoked-key")
        device.key = middle
        #expect(try refusal(of: try device.bundle("r2", images: [("rootfs", image)])) == "trust.revoked-key")
        device.key = next
        let engine = try device.engine()
        try engine.install(device.bundle("r3", images: [("rootfs", image)]))
        #expect(engine.status.phase == .rebooting)
    }

    @Test("The floor of a newer root counts at once")
    func floor() throws {
        try publish(2, Self.root(2, rootKey, release: release, floor: 5))
        let low = try device.bundle("r1", security: 4, images: [("rootfs", image)])
        #expect(try refusal(of: low) == EngineError.belowFloor(securityVersion: 4, floor: 5).code)
        let engine = try device.engine()
        try engine.install(device.bundle("r2", security: 5, images: [("rootfs", image)]))
        #expect(engine.status.phase == .rebooting)
    }

    /// Installs, boots and confirms a release with the present key.
    private func run(_ id: String, sequence: UInt64) throws {
        try device.engine().install(
            device.bundle(id, sequence: sequence, images: [("rootfs", TestDevice.image(seed: sequence, megabytes: 1))]))
        try powerOn()
        try device.engine().recover()
        #expect(try device.boot.load().phase == .confirmed)
    }

    /// A new process finds the roots that the last one kept.
    private func powerOn() throws {
        try device.powerOn()
        if let rotation = device.rotation { device.trust = rotation.newest(for: device.directory + "/x.kedge") }
    }

    @Test("A sequence that a stolen key pushed to its end is taken back with the key, and real releases go on")
    func fastForward() throws {
        try run("r1", sequence: 7)
        // The first release of a device may have any sequence, a later one must follow the last.
        let far = try device.bundle("far", sequence: 8 + SequenceRule.mostJump, images: [("rootfs", image)])
        #expect(try refusal(of: far) == "policy.sequence-jump")
        let end: UInt64 = (1 << 53) - 1
        for step in device.boot.records.indices { device.boot.records[step].acceptedSequence = end - 1 }
        try run("stolen", sequence: end)
        #expect(try device.boot.load().acceptedSequence == end)
        let next = try SigningKey.generate()
        try publish(2, Self.root(2, rootKey, release: next, revoked: [release.publicKey.id]))
        device.key = next
        try run("r2", sequence: 8)
        #expect(try device.boot.load().acceptedSequence == 8)
        #expect(try refusal(of: try device.bundle("r0", sequence: 7, images: [("rootfs", image)])) == "policy.older")
    }

    @Test("A new root that still stands behind the running release resets nothing, and lets one jump through")
    func jump() throws {
        try run("r1", sequence: 7)
        let far = try device.bundle("far", sequence: 8 + SequenceRule.mostJump, images: [("rootfs", image)])
        #expect(try refusal(of: far) == "policy.sequence-jump")
        try publish(2, Self.root(2, rootKey, release: release))
        #expect(try refusal(of: try device.bundle("r0", sequence: 6, images: [("rootfs", image)])) == "policy.older")
        try device.engine().install(far, id: "again")
        try powerOn()
        try device.engine().recover()
        let farther = try device.bundle("farther", sequence: 9 + 2 * SequenceRule.mostJump, images: [("rootfs", image)])
        #expect(try refusal(of: farther) == "policy.sequence-jump")
    }

    @Test("A denied release gives back the sequence that it took")
    func deniedSequence() throws {
        try run("r1", sequence: 7)
        try run("bad", sequence: 900)
        let bad = try #require(try device.boot.load().slotA.manifest)
        try publish(2, Self.root(2, rootKey, release: release, denied: [bad]))
        try run("r2", sequence: 8)
        #expect(try device.boot.load().acceptedSequence == 8)
    }

    @Test("A newer root by a stranger changes nothing and stops nothing")
    func stranger() throws {
        let rotation = try FolderRotation(anchor)
        device.rotation = rotation
        try publish(2, Self.root(2, try SigningKey.generate(), release: try SigningKey.generate()))
        let engine = try device.engine()
        try engine.install(device.bundle("r1", images: [("rootfs", image)]))
        #expect(engine.status.phase == .rebooting)
        #expect(rotation.chain.trust.root.version == 1)
        #expect(rotation.failure?.code == "trust.unknown-key")
    }

    @Test("A release on trial that the root denies by now is rolled back and not confirmed")
    func deniedOnTrial() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        try device.engine().install(bundle)
        try device.powerOn()
        #expect(device.running == .b)
        device.trust = try TrustStore(
            rootFile: Self.root(2, rootKey, release: release, denied: [digest(of: bundle)]))
        let engine = try device.engine()
        let failure = #expect(throws: Failure.self) { try engine.recover() }
        #expect(failure?.code == "trust.denied-release")
        #expect(try device.boot.load().phase == .fellBack)
        #expect(try device.boot.load().active == .a)
    }

    @Test("A confirmed release whose key is revoked later runs on")
    func confirmedStays() throws {
        try device.engine().install(device.bundle("r1", images: [("rootfs", image)]))
        try device.powerOn()
        try device.engine().recover()
        let records = device.boot.records.count
        device.trust = try TrustStore(
            rootFile: Self.root(2, rootKey, release: try SigningKey.generate(), revoked: [release.publicKey.id]))
        try device.engine().recover()
        #expect(device.boot.records.count == records)
        #expect(try device.boot.load().phase == .confirmed)
    }
}

@Suite struct RootPlaceTests {
    @Test(
        "A name of the form root.N.json stands for its directory, another .json for itself",
        arguments: [
            ("/a/root.7.json", RootPlace.beside("/a/root.7.json")), ("/a/root.json", .only("/a/root.json")),
            ("/a/root.x.json", .only("/a/root.x.json")), ("/a/root..json", .only("/a/root..json")),
            ("/a", .inside("/a")),
            ("https://h/t/root.2.json?s=1", .beside("https://h/t/root.2.json?s=1")),
            ("https://h/t", .inside("https://h/t")),
        ])
    func named(location: String, place: RootPlace) { #expect(RootPlace(named: location) == place) }

    @Test(
        "Roots are taken in turn until one is missing; a file over 128 KiB and a single file that is not there are errors"
    )
    func follow() throws {
        let device = try TestDevice()
        let key = device.key
        let roots = try (1...3).map { version in
            try RootDocument.make(
                version: UInt32(version), environment: .dev, created: 1, rootKeys: [(key.publicKey, "k")],
                rootThreshold: 1, releaseKeys: [(key.publicKey, "k")], releaseThreshold: 1, signedBy: [key])
        }
        for version in 2...3 {
            try FileSystem.replace("\(device.directory)/root.\(version).json", with: roots[version - 1])
        }
        var chain = try TrustChain(anchor: roots[0])
        #expect(try chain.follow(.only("\(device.directory)/root.2.json"), from: FolderSources()) == 1)
        #expect(try chain.follow(.inside(device.directory), from: FolderSources()) == 1)
        #expect(chain.trust.root.version == 3)
        #expect(try chain.follow(.inside(device.directory), from: FolderSources()) == 0)
        let huge = [UInt8](repeating: 0x20, count: RootFile.limit + 1)
        try FileSystem.replace("\(device.directory)/root.4.json", with: huge)
        let refusal = #expect(throws: Failure.self) {
            try chain.follow(.beside("\(device.directory)/r.kedge"), from: FolderSources())
        }
        #expect(refusal?.code == "json.too-large")
        let missing = #expect(throws: Failure.self) {
            try chain.follow(.only("\(device.directory)/none.json"), from: FolderSources())
        }
        #expect(missing?.category == .storage)
        #expect(chain.trust.root.version == 3)
    }
}
