import BundleFormat
import Foundation
import Platform
import StrictJSON
import Testing

/// Overrides and channels, from `kedge` in the office to `kedged` on the gateway.
@Suite("kedge override, kedge channel", Needs.partitioner)
struct KedgedStatementTests {
    private let gateway: FieldGateway

    /// A gateway whose trust root gives the roles override (two people) and channel away.
    init() throws {
        gateway = try FieldGateway()
        for name in ["anna", "ben", "channel"] { try gateway.run(["keys", "new", name, "--role", "release"]) }
        let root = gateway.directory("keys/root.2.json")
        try gateway.run([
            "trust", "add-key", "keys/root.json", "anna/release.key.pub", "--role", "override", "-o", root,
        ])
        try gateway.run(["trust", "add-key", root, "ben/release.key.pub", "--role", "override"])
        try gateway.run(["trust", "set-threshold", root, "override", "2"])
        try gateway.run(["trust", "add-key", root, "channel/release.key.pub", "--role", "channel"])
        try gateway.run(["trust", "sign", root, "--key", "keys/root.key", "--former", "keys/root.json"])
        try gateway.works("trust", "update", root)
    }

    private func build(_ id: String, _ sequence: Int) throws -> String {
        try gateway.build(
            FieldGateway.Release(
                id: id, sequence: sequence,
                images: [("rootfs", FieldGateway.image(megabytes: 1, seed: UInt8(sequence)))]))
    }

    private func install(_ bundle: String) throws {
        try gateway.works("install", bundle)
        try gateway.powerOn()
        try gateway.works("run", "--once")
    }

    /// The second reader, where it can run, says the same of a statement as kedge: good as it is, and with any of some
    /// bytes changed not.
    private func bothReadersAccept(_ name: String) throws {
        guard SecondReader.isUsable else { return }
        let arguments = ["--root", gateway.directory("keys/root.2.json")]
        let good = try SecondReader.run([gateway.directory(name)] + arguments, in: gateway.directory.path)
        #expect(good.status == 0, "\(good.errors)")
        let bytes = try gateway.directory.bytes(name)
        for place in stride(from: 5, to: bytes.count, by: bytes.count / 7) {
            var changed = bytes
            changed[place] ^= 1
            try FileSystem.replace(gateway.directory("changed"), with: changed)
            let bad = try SecondReader.run([gateway.directory("changed")] + arguments, in: gateway.directory.path)
            #expect(bad.status == 4, "byte \(place): \(bad.errors)")
        }
    }

    @Test("A gateway asks for an older release, two people sign, and it installs that release once")
    func override() throws {
        let old = try build("acme-edge-2.0.0", 11)
        try install(build("acme-edge-2.1.0", 12))
        try gateway.kedged(["install", old]).expectFailure("policy.older", 5)

        let request = try gateway.works("override", "request", "--json").output
        #expect(try gateway.works("override", "request", "--json").output == request)
        #expect(try gateway.status()["overrideRequest"]?["nonce"]?.text?.count == 32)
        try FileSystem.replace(gateway.directory("request"), with: Array(request.utf8))
        try gateway.run([
            "override", "new", "down", "--request", "request", "--bundle", old, "--boots", "5", "--days", "2",
            "--reason",
            "modbus",
        ])
        try FileSystem.replace(gateway.directory("copy"), with: gateway.directory.bytes("down"))
        let signed = try gateway.run(["override", "sign", "down", "--key", "anna/release.key"])
        #expect(signed.output.contains("reason    modbus"))
        try gateway.kedged(["install", old, "--override", gateway.directory("down")])
            .expectFailure("trust.threshold", 4)
        try gateway.run(["override", "sign", "copy", "--key", "ben/release.key"])
        try gateway.run(["override", "add", "down", "copy"])
        let shown = try gateway.run(["override", "show", "down", "--root", "keys/root.2.json"])
        #expect(shown.output.contains("devices accept its signatures: 2 counted"))

        try bothReadersAccept("down")

        try gateway.works("install", old, "--override", gateway.directory("down"))
        try gateway.powerOn()
        try gateway.works("run", "--once")
        #expect(try gateway.status()["running"]?["release"]?.text == "acme-edge-2.0.0")
        #expect(try gateway.status()["overrideRequest"] == .null)
        try install(build("acme-edge-2.2.0", 13))
        try gateway.kedged(["install", old, "--override", gateway.directory("down")])
            .expectFailure("override.nonce", 5)
    }

    @Test("What is wrong with an override on the way is said where it is made, and nothing is overwritten")
    func wrongOverride() throws {
        let bundle = try build("acme-edge-2.0.0", 11)
        let nonce = String(repeating: "0a", count: 16)
        let base = ["override", "new", "o", "--bundle", bundle]
        for words in [
            base + ["--device", "gw:\(nonce)"], base + ["--boots", "3"], base + ["--device", "gw:12", "--boots", "3"],
            base + ["--device", "gw:\(nonce)", "--boots", "0"],
            base + ["--device", "gw:\(nonce)", "--device", "gw:\(nonce)", "--boots", "3"],
        ] {
            #expect(try gateway.kedge.run(words, in: gateway.directory.path).status == 2, "\(words)")
        }
        let good = base + ["--device", "gw:7:\(nonce)", "--boots", "3"]
        try gateway.run(good)
        #expect(try gateway.kedge.run(good, in: gateway.directory.path).errors.contains("key.exists"))
        let json = try JSONValue.parse(gateway.run(["override", "show", "o", "--json"]).output, limit: 65536)
        #expect(json["devices"]?.elements?.first?["id"]?.text == "gw:7")
        try gateway.works("override", "request")
        try gateway.works("override", "forget")
        #expect(try gateway.status()["overrideRequest"] == .null)
        try gateway.kedged(["install", bundle, "--override", "none"])
            .expectFailure("storage.not-found", 6)
    }

    @Test("A gateway follows a channel: newest, stale, replayed, and the policy that asks for the newest")
    func channel() throws {
        let place = gateway.directory("stable.channel.json")
        let newest = try build("acme-edge-2.2.0", 13)
        try gateway.configure { $0 + "[channel]\nname = stable\nurl = \(place)\npolicy = newest\n" }
        try gateway.kedged(["channel", "update"]).expectFailure("storage.not-found", 6)
        try gateway.run(["channel", "new", "stable", "--bundle", newest, "--key", "channel/release.key"])
        let former = try FileSystem.read(place, limit: 65536)
        #expect(
            try gateway.works("channel", "update").output.contains("newest is acme-edge-2.2.0, sequence 13; 0 h old"))
        #expect(try gateway.status()["channel"]?["sequence"]?.number == 13)
        let older = try build("acme-edge-2.1.0", 12)
        try gateway.kedged(["install", older]).expectFailure("policy.not-newest", 5)
        try install(newest)
        #expect(try gateway.works("status").output.contains("channel   stable: newest is acme-edge-2.2.0"))

        #expect(
            try gateway.kedge.run(["channel", "new", "stable", "--bundle", newest], in: gateway.directory.path).errors
                .contains("key.exists"))
        usleep(1_100_000)
        let next = try build("acme-edge-2.3.0", 14)
        try gateway.run(["channel", "new", "stable", "--bundle", next, "--replace", "--key", "channel/release.key"])
        let shown = try gateway.run(["channel", "show", place, "--root", "keys/root.2.json"])
        #expect(shown.output.contains("newest    acme-edge-2.3.0, sequence 14"))
        try bothReadersAccept("stable.channel.json")
        try gateway.works("channel", "update")
        try FileSystem.replace(place, with: former)
        try gateway.kedged(["channel", "update"]).expectFailure("channel.replayed", 5)
        #expect(try gateway.status()["channel"]?["sequence"]?.number == 14)
        #expect(
            try gateway.kedge.run(["channel", "show", place, "--root", "keys/root.json"], in: gateway.directory.path)
                .status == 4)
    }
}
