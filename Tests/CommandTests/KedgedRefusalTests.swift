import BootControl
import BundleFormat
import Foundation
import Platform
import StrictJSON
import Testing

@Suite("kedged: what must not be installed", Needs.partitioner)
struct KedgedRefusalTests {
    /// A bad input: how it is made (the location to install from), and what it must end with.
    struct Refusal: CustomTestStringConvertible, Sendable {
        let name: String
        let code: String
        let status: Int32
        let make: @Sendable (FieldGateway) throws -> String
        var testDescription: String { name }

        init(
            _ name: String, _ code: String, _ status: Int32, _ make: @escaping @Sendable (FieldGateway) throws -> String
        ) {
            self.name = name
            self.code = code
            self.status = status
            self.make = make
        }
    }

    /// A bundle with changed bytes.
    private static func changed(
        _ gateway: FieldGateway, _ change: (inout [UInt8], BundleHeader) throws -> Void
    ) throws -> String {
        let bundle = try gateway.build()
        var bytes = try FileSystem.read(bundle, limit: 1 << 26)
        try change(&bytes, BundleHeader.decode(bytes.rawBytes))
        try FileSystem.replace(bundle, with: bytes)
        return bundle
    }

    static let bundles: [Refusal] = [
        Refusal("a bundle that is cut short", "bundle.truncated", 4) { gateway in
            try changed(gateway) { bytes, _ in bytes.removeLast(1000) }
        },
        Refusal("a bundle of which only the first bytes came", "bundle.truncated", 4) { gateway in
            try changed(gateway) { bytes, _ in bytes = Array(bytes.prefix(100)) }
        },
        Refusal("an empty file", "transfer.out-of-range", 4) { gateway in
            try changed(gateway) { bytes, _ in bytes = [] }
        },
        Refusal("bytes behind the end", "bundle.trailing", 4) { gateway in
            try changed(gateway) { bytes, _ in bytes.append(0) }
        },
        Refusal("a file that is no bundle", "bundle.not-a-bundle", 4) { gateway in
            try changed(gateway) { bytes, _ in bytes = Array("#!/bin/sh\n".utf8) + bytes }
        },
        Refusal("a changed signature", "trust.bad-signature", 4) { gateway in
            try changed(gateway) { bytes, header in bytes[Int(header.manifestOffset) - 1] ^= 1 }
        },
        Refusal("a changed manifest", "trust.bad-signature", 4) { gateway in
            try changed(gateway) { bytes, header in bytes[Int(header.manifestOffset) + 20] ^= 1 }
        },
        Refusal("a changed chunk table", "bundle.damaged", 4) { gateway in
            try changed(gateway) { bytes, header in bytes[Int(header.tablesOffset) + 40] ^= 1 }
        },
        Refusal("a bundle without signature", "trust.unsigned", 4) { gateway in
            try gateway.build(FieldGateway.Release(key: nil))
        },
        Refusal("a bundle signed by somebody else", "trust.unknown-key", 4) { gateway in
            try gateway.run(["keys", "new", "others", "--environment", "dev"])
            return try gateway.build(FieldGateway.Release(key: "others/release.key"))
        },
        Refusal("a bundle signed with the root key", "trust.unknown-key", 4) { gateway in
            try gateway.build(FieldGateway.Release(key: "keys/root.key"))
        },
        Refusal("a release for another product", "policy.wrong-product", 5) { gateway in
            try gateway.build(FieldGateway.Release(vendor: "other"))
        },
        Refusal("a release for other hardware", "policy.wrong-hardware", 5) { gateway in
            try gateway.build(FieldGateway.Release(hardware: "[2, 3]"))
        },
        Refusal("a release older than what was accepted", "policy.older", 5) { gateway in
            let home = SimulatedBootHome(path: gateway.path + "/boot-record.img")
            var record = try home.load()
            record.acceptedSequence = 13
            _ = try home.store(record)
            return try gateway.build()
        },
        Refusal("a release below the floor", "policy.below-floor", 5) { gateway in
            let home = SimulatedBootHome(path: gateway.path + "/boot-record.img")
            var record = try home.load()
            record.floor = 4
            _ = try home.store(record)
            return try gateway.build()
        },
        Refusal("a release that expired", "policy.expired", 5) { gateway in
            try gateway.build(FieldGateway.Release(more: "expires = 2024-01-01T00:00:00Z"))
        },
        Refusal("a release that needs a newer updater", "policy.updater-too-old", 5) { gateway in
            try gateway.build(FieldGateway.Release(more: "minimum-updater = \"99.0\""))
        },
        Refusal("an image that is larger than its slot", "slot.too-small", 6) { gateway in
            try gateway.build(FieldGateway.Release(images: [("rootfs", FieldGateway.image(megabytes: 16))]))
        },
        Refusal("a component that has no slot here", "slot.missing", 6) { gateway in
            try gateway.build(
                FieldGateway.Release(
                    images: [("rootfs", FieldGateway.image(megabytes: 1)), ("apps", FieldGateway.image(megabytes: 1))]))
        },
        Refusal("a slot whose device is gone", "slot.unusable", 6) { gateway in
            try gateway.configure { $0.replacing("path = \(gateway.path)/flash.img", with: "path = /nowhere/flash") }
            let bios = [UInt8](FieldGateway.image(megabytes: 1).prefix(1000))
            return try gateway.build(
                FieldGateway.Release(images: [("rootfs", FieldGateway.image(megabytes: 1)), ("bios", bios)]))
        },
        Refusal("a file that is not there", "storage.not-found", 6) { gateway in gateway.directory("none.kedge") },
        Refusal("a directory", "storage.system", 6) { gateway in gateway.directory.path },
        Refusal("a scheme that nobody serves", "transfer.location", 2) { _ in "ftp://127.0.0.1/r.kedge" },
    ]

    static let surroundings: [Refusal] = [
        Refusal("an unknown key in device.ini", "config.invalid", 3) { gateway in
            try gateway.configure { $0.replacing("tries = 3", with: "tries = 3\nretries = 3") }
            return try gateway.build()
        },
        Refusal("a device.ini that is no INI", "config.syntax", 3) { gateway in
            try gateway.configure { $0 + "nonsense\n" }
            return try gateway.build()
        },
        Refusal("no device.ini", "config.missing", 3) { gateway in
            try FileSystem.remove(gateway.configuration)
            return try gateway.build()
        },
        Refusal("no trust root", "trust.root-missing", 4) { gateway in
            try FileSystem.remove(gateway.path + "/root.json")
            return try gateway.build()
        },
        Refusal("a trust root that somebody changed", "trust.bad-signature", 4) { gateway in
            let path = gateway.path + "/root.json"
            var text = String(decoding: try FileSystem.read(path, limit: 1 << 20), as: UTF8.self)
            let value = try JSONValue.parse(text, limit: 1 << 20)
            let payload = try #require(value["payload"]?.text)
            let document = try #require(Base64.decode(payload))
            let changed = String(decoding: document, as: UTF8.self).replacing("\"floor\":0", with: "\"floor\":1")
            text = text.replacing(payload, with: Base64.encode(Array(changed.utf8)))
            try FileSystem.replace(path, with: Array(text.utf8))
            return try gateway.build()
        },
        Refusal("a kernel command line without a slot", "boot.no-running-slot", 8) { gateway in
            try FileSystem.replace(gateway.path + "/run/cmdline", with: Array("quiet\n".utf8))
            return try gateway.build()
        },
        Refusal("no kernel command line", "boot.io", 8) { gateway in
            try FileSystem.remove(gateway.path + "/run/cmdline")
            return try gateway.build()
        },
        Refusal("a boot record of which no copy is whole", "boot.no-record", 8) { gateway in
            try FileSystem.replace(gateway.path + "/boot-record.img", with: [UInt8](repeating: 7, count: 128 << 10))
            return try gateway.build()
        },
        Refusal("a data directory that is a file", "config.data", 6) { gateway in
            try FileManager.default.removeItem(atPath: gateway.path + "/data")
            try FileSystem.replace(gateway.path + "/data", with: [])
            return try gateway.build()
        },
    ]

    @Test(
        "is refused with its code, status and remedy, and nothing on the gateway changes",
        arguments: bundles + surroundings)
    func refused(refusal: Refusal) throws {
        let gateway = try FieldGateway()
        let location = try refusal.make(gateway)
        let before = try gateway.everything()
        let outcome = try gateway.kedged(["install", location])
        outcome.expectFailure(refusal.code, refusal.status)
        #expect(try gateway.everything() == before)
        #expect(outcome.output.isEmpty)
        if refusal.code != "config.data" {
            #expect(Set(try gateway.data()).isSubset(of: ["journal", "lock", "trust.lock"]))
        }
    }

    @Test("is still told by status in a new process, with the same code", arguments: bundles.prefix(20))
    func toldLater(refusal: Refusal) throws {
        let gateway = try FieldGateway()
        let location = try refusal.make(gateway)
        #expect(try gateway.kedged(["install", location]).code == refusal.code)
        let result = try gateway.status()["result"]
        #expect(result?["phase"]?.text == "failed")
        #expect(result?["code"]?.text == refusal.code)
        #expect(result?["remedy"]?.text?.isEmpty == false)
        // A new attempt is judged anew, and comes to the same.
        #expect(try gateway.kedged(["install", location]).code == refusal.code)
    }

    @Test("A payload that is damaged anywhere never arms, and what runs stays as it is", arguments: [0.05, 0.5, 0.99])
    func damagedPayload(place: Double) throws {
        let gateway = try FieldGateway()
        let bundle = try Self.changed(gateway) { bytes, header in
            bytes[Int(header.payloadOffset) + Int(Double(header.payloadLength) * place)] ^= 0x40
        }
        let slotA = try gateway.digest("rootfs", "a")
        try gateway.kedged(["install", bundle]).expectFailure("payload.damaged", 4)
        let record = try gateway.record()
        #expect(record["active"]?.text == "a" && record["a"]?["state"]?.text == "good")
        #expect(record["b"]?["state"]?.text == "writing")
        #expect(try gateway.digest("rootfs", "a") == slotA)
        #expect(try gateway.status()["phase"]?.text == "failed")
        try gateway.powerOn()
        #expect(try gateway.status()["running"]?["slot"]?.text == "a")
        // The whole bundle then goes in.
        try gateway.works("install", gateway.build())
    }

    static let answers: [(path: String, code: String)] = [
        ("none.kedge", "transfer.not-found"), ("portal.kedge", "transfer.not-a-bundle"),
    ]

    @Test("A server that answers something else is told by name", Needs.nginx, arguments: answers)
    func wrongAnswer(path: String, code: String) throws {
        let gateway = try FieldGateway()
        let server = try BundleServer(serving: gateway.directory.path)
        let before = try gateway.everything()
        try gateway.kedged(["install", server.url(path)]).expectFailure(code, 7)
        #expect(try gateway.everything() == before)
        #expect(Set(try gateway.data()).isSubset(of: ["journal", "lock", "trust.lock"]))
    }

    @Test("A connection that is refused is told by name, and the attempt waits for the network")
    func unreachable() throws {
        let gateway = try FieldGateway()
        let before = try gateway.everything()
        let address = "http://127.0.0.1:\(try Loopback.freePort())/r.kedge"
        try gateway.kedged(["install", address]).expectFailure("transfer.unreachable", 7)
        #expect(try gateway.everything() == before)
        #expect(Set(try gateway.data()).isSubset(of: ["journal", "lock", "trust.lock"]))
        #expect(try gateway.status()["phase"]?.text == "planned")
        #expect(try gateway.status()["result"] == JSONValue.null)
    }

    @Test("A slot that is mounted is not written", Needs.mounting)
    func mounted() throws {
        let gateway = try FieldGateway(media: "loop")
        let slot = try gateway.place("rootfs", "b").path
        let made = try ChildProcess.run(
            ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", slot], milliseconds: 60_000)
        try #require(made.succeeded, "\(made.output)")
        let target = gateway.directory("mnt")
        try FileSystem.makeDirectories(target)
        let mounted = try ChildProcess.run(["mount", "-o", "ro", slot, target], milliseconds: 60_000)
        try #require(mounted.succeeded, "\(mounted.output)")
        defer { _ = try? ChildProcess.run(["umount", target], milliseconds: 60_000) }
        let bundle = try gateway.build()
        let before = try gateway.record()
        let content = try gateway.digest("rootfs", "b")
        try gateway.kedged(["install", bundle]).expectFailure("slot.in-use", 6)
        #expect(try gateway.record() == before)
        #expect(try gateway.digest("rootfs", "b") == content)
        #expect(Set(try gateway.data()).isSubset(of: ["journal", "lock", "trust.lock"]))
        try #require(ChildProcess.run(["umount", target], milliseconds: 60_000).succeeded)
        try gateway.works("install", bundle)
    }

    @Test("A store without the space is found before anything is fetched into it", Needs.mounting)
    func noSpace() throws {
        let gateway = try FieldGateway()
        let store = gateway.path + "/store"
        let mounted = try ChildProcess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2M", "kedge-test", store], milliseconds: 60_000)
        try #require(mounted.succeeded, "\(mounted.output)")
        defer { _ = try? ChildProcess.run(["umount", store], milliseconds: 60_000) }
        let bundle = try gateway.build(
            FieldGateway.Release(images: [("containers", FieldGateway.image(megabytes: 3))]))
        let before = try gateway.everything()
        try gateway.kedged(["install", bundle]).expectFailure("slot.no-space", 6)
        #expect(try gateway.everything() == before)
        #expect(Set(try gateway.data()).isSubset(of: ["journal", "lock", "trust.lock"]))
    }

    static let usage: [[String]] = [
        [], ["instal", "x"], ["install"], ["status", "--once"], ["install", "x", "--attempt", ""],
        ["install", "x", "--attempt", "a b"],
    ]

    @Test("A wrong command line is exit status 2 on standard error", arguments: usage)
    func wrongUsage(words: [String]) throws {
        let gateway = try FieldGateway()
        let before = try gateway.everything()
        let outcome = try gateway.kedged(words)
        #expect(outcome.status == 2 && outcome.output.isEmpty)
        #expect(["usage", "engine.attempt-id"].contains(outcome.code))
        #expect(try gateway.everything() == before)
    }

    @Test("Help and version go to standard output, without any configuration")
    func help() throws {
        let directory = try CommandDirectory()
        let kedged = try BuiltCommand("kedged")
        for words in [["--help"], ["help"], ["--version"]] {
            let outcome = try kedged.run(["--config", directory("none.ini")] + words, in: directory.path)
            #expect(outcome.status == 0 && outcome.errors.isEmpty)
            #expect(outcome.output.hasPrefix("kedged"))
        }
    }
}
