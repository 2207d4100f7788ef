import BootControl
import BundleFormat
import Foundation
import Platform
import Signing
import Testing
import Trust

@testable import UpdateEngine

/// The channel's statement: freshness that is reported, and never a brick.
@Suite struct ChannelTests {
    private let bench: StatementDevice
    private let device: TestDevice
    private let name: Identifier
    private let image = TestDevice.image(seed: 41, megabytes: 1)

    init() throws {
        bench = try StatementDevice()
        device = bench.device
        name = try #require(Identifier("stable"))
        follow(.report)
    }

    private func follow(_ policy: ChannelFollowing.Policy, at location: String? = nil) {
        device.channel = ChannelFollowing(
            name: name, location: location, policy: policy, sources: FolderOpener(), kept: bench.kept)
    }

    /// Puts a statement beside the bundles.
    private func publish(
        _ sequence: UInt64, created: Int64 = 1_699_000_000, expires: Int64 = 1_700_500_000, manifest: Digest? = nil,
        channel: String = "stable", by keys: [SigningKey]? = nil
    ) throws {
        let statement = ChannelStatement(
            channel: try #require(Identifier(channel)), sequence: sequence,
            manifest: manifest ?? SHA256.digest(of: [UInt8(truncatingIfNeeded: sequence)]), releaseID: "r\(sequence)",
            created: created, expires: expires)
        try FileSystem.replace(
            device.directory + "/stable.channel.json", with: bench.sign(statement, by: keys ?? [bench.anna]))
    }

    private func bundle(_ sequence: UInt64) throws -> String {
        try device.bundle("r\(sequence)", sequence: sequence, images: [("rootfs", image)])
    }

    private func status() throws -> ChannelStatus { try #require(try device.engine().status.channel) }

    @Test("Beside a bundle it is found, kept and reported, with its age and what is newest")
    func found() throws {
        try publish(12)
        try device.engine().install(bundle(10))
        let status = try status()
        #expect(status.statement?.sequence == 12 && status.statement?.releaseID == "r12")
        #expect(!status.isStale && status.age == 1_000_000 && status.problem == nil)
    }

    @Test("Without a statement, with a damaged one, and with one by a stranger the release is installed all the same")
    func nothing() throws {
        try device.engine().install(bundle(1))
        try device.powerOn()
        try device.engine().recover()
        #expect(try status().statement == nil)
        try FileSystem.replace(device.directory + "/stable.channel.json", with: Array("{".utf8))
        let engine = try device.engine()
        try engine.install(bundle(2))
        #expect(engine.status.channel?.problem?.code == "json.syntax")
        try device.powerOn()
        try device.engine().recover()
        try publish(3, by: [bench.ben])
        let next = try device.engine()
        try next.install(bundle(3))
        #expect(next.status.channel?.problem?.code == "trust.unknown-key")
        #expect(bench.kept.bytes == nil)
    }

    @Test("A stale one is reported and stops nothing, whatever the policy", arguments: ChannelFollowing.Policy.allCases)
    func stale(policy: ChannelFollowing.Policy) throws {
        follow(policy)
        try publish(12, expires: 1_699_999_999)
        try device.engine().install(bundle(10))
        #expect(try status().isStale)
        #expect(try device.boot.load().phase == .trial)
    }

    @Test("A fresh one keeps an older release out only when the policy asks for the newest")
    func policy() throws {
        let digest = try bench.digest(bundle(12))
        try publish(12, manifest: digest)
        follow(.newest)
        #expect(try bench.refusal(bundle(11))?.code == "policy.not-newest")
        #expect(device.boot.records.count == 1)
        follow(.report)
        try device.engine().install(bundle(11))
        try device.powerOn()
        try device.engine().recover()
        follow(.newest)
        try device.engine().install(bundle(12))
        try device.powerOn()
        try device.engine().recover()
        // Newer than what the channel knows yet.
        try device.engine().install(bundle(13))
        #expect(try device.boot.load().phase == .trial)
    }

    @Test("Another release with the newest one's sequence is not the newest one")
    func sameSequence() throws {
        try publish(12)
        follow(.newest)
        #expect(try bench.refusal(bundle(12))?.code == "policy.not-newest")
    }

    @Test("The policy stops no repair: what runs may be asked for again, and an attempt goes on")
    func repairs() throws {
        let first = try bundle(5)
        try device.engine().install(first)
        try device.powerOn()
        try device.engine().recover()
        follow(.newest)
        try publish(12)
        let engine = try device.engine()
        try engine.install(first, id: "again")
        #expect(engine.status.result?.reason == "already-running")
        try FileSystem.remove(device.directory + "/stable.channel.json")
        bench.kept.bytes = nil
        // Or nothing of the image would have to be fetched: the running slot holds it.
        device.state.hints = [:]
        device.breakAfter = 400_000
        #expect(try bench.refusal(bundle(6))?.category == .network)
        device.breakAfter = nil
        try publish(12)
        try device.engine().resume()
        #expect(try device.boot.load().phase == .trial)
    }

    @Test("A replayed older statement is refused and told, and what was known stays")
    func replayed() throws {
        let place = device.directory + "/stable.channel.json"
        follow(.report, at: place)
        try publish(10, created: 1_699_000_000)
        let former = try FileSystem.read(place, limit: 1 << 20)
        try publish(12, created: 1_699_100_000)
        try device.engine().recover()
        #expect(try status().statement?.sequence == 12)
        try FileSystem.replace(place, with: former)
        let engine = try device.engine()
        engine.refreshChannel()
        #expect(engine.status.channel?.problem?.code == "channel.replayed")
        #expect(engine.status.channel?.statement?.sequence == 12)
        // Made later, but naming an older release: the channel never goes back either.
        try publish(11, created: 1_699_200_000)
        engine.refreshChannel()
        #expect(engine.status.channel?.problem?.code == "channel.replayed")
        // The same again is no news and no problem.
        try publish(12, created: 1_699_100_000)
        engine.refreshChannel()
        #expect(engine.status.channel?.problem == nil)
    }

    @Test("A statement of another channel, of a time that cannot be, or with a jump is refused and told")
    func refused() throws {
        follow(.report, at: device.directory + "/stable.channel.json")
        let engine = try device.engine()
        try publish(12, channel: "beta")
        engine.refreshChannel()
        #expect(engine.status.channel?.problem?.code == "channel.other")
        try publish(12, created: 1 << 32, expires: (1 << 32) + 1)
        engine.refreshChannel()
        #expect(engine.status.channel?.problem?.code == "channel.time")
        try publish(12)
        engine.refreshChannel()
        try publish(13 + SequenceRule.mostJump, created: 1_699_500_000)
        engine.refreshChannel()
        #expect(engine.status.channel?.problem?.code == "policy.sequence-jump")
        #expect(engine.status.channel?.statement?.sequence == 12)
    }

    @Test("When the channel's key is revoked, what it said is forgotten, and the sequence starts over")
    func rotation() throws {
        let place = device.directory + "/stable.channel.json"
        follow(.report, at: place)
        try publish((1 << 53) - 1)
        try device.engine().recover()
        #expect(try status().statement?.sequence == (1 << 53) - 1)
        let stolen = bench.anna
        var next = bench
        next.anna = try SigningKey.generate()
        device.trust = try TrustStore(rootFile: next.rootFile(revoked: [stolen.publicKey.id]))
        #expect(try status().statement == nil)
        try publish(12, by: [next.anna])
        try device.engine().recover()
        #expect(try status().statement?.sequence == 12)
        // The stolen key's statement does not come back.
        try publish((1 << 53) - 1, created: 1_699_900_000, by: [stolen])
        let engine = try device.engine()
        engine.refreshChannel()
        #expect(engine.status.channel?.problem?.category == .trust)
        #expect(engine.status.channel?.statement?.sequence == 12)
    }

    @Test("A statement that was verified tells the time")
    func time() throws {
        device.clock = 0
        follow(.report, at: device.directory + "/stable.channel.json")
        try publish(12, created: 1_695_000_000)
        try device.engine().recover()
        #expect(try device.engine().status.time.lowerBound == 1_695_000_000)
    }
}
