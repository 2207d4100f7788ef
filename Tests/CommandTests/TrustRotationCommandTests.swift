import BootControl
import Foundation
import Platform
import StrictJSON
import Testing

/// The built `kedge` makes roots, the built `kedged` follows them.
@Suite("kedge trust and kedged trust")
struct TrustRotationCommandTests {
    private let work: KedgeWorkspace
    private let kedged: BuiltCommand

    init() throws {
        work = try KedgeWorkspace(imageBytes: 200_000)
        kedged = try BuiltCommand("kedged")
        let path = work.directory.path
        try FileSystem.makeDirectories(path + "/pub")
        try SimulatedBootHome.create(path: path + "/record", record: BootRecord())
        try FileSystem.replace(path + "/cmdline", with: Array("quiet kedge.slot=a\n".utf8))
        for set in ["a", "b"] {
            try FileSystem.replace("\(path)/slot.\(set)", with: [UInt8](repeating: 0, count: 1 << 20))
        }
        let text = """
            [device]
            id = gw
            vendor = acme
            class = edge-gateway
            hardware = 1
            data = \(path)/data
            [trust]
            root = \(path)/pub/root.1.json
            [boot]
            backend = simulated
            record = \(path)/record
            cmdline = \(path)/cmdline
            reboot = none
            [slot rootfs a]
            type = block
            path = \(path)/slot.a
            [slot rootfs b]
            type = block
            path = \(path)/slot.b

            """
        try FileSystem.replace(path + "/device.ini", with: Array(text.utf8))
    }

    @discardableResult
    private func host(_ arguments: String..., status: Int32 = 0) throws -> BuiltCommand.Outcome {
        let outcome = try work.run(arguments)
        #expect(outcome.status == status, "\(arguments): \(outcome.errors)")
        return outcome
    }

    @discardableResult
    private func device(_ arguments: String..., status: Int32 = 0) throws -> BuiltCommand.Outcome {
        let outcome = try kedged.run(["-c", "device.ini"] + arguments, in: work.directory.path)
        #expect(outcome.status == status, "\(arguments): \(outcome.errors)")
        return outcome
    }

    private func version() throws -> Int64? {
        try work.json(device("trust", "show", "--json"))["version"]?.number
    }

    /// keys/root.json as version 1, and version 2 with another release key, signed.
    private func rotateRelease() throws {
        try FileSystem.replace(work.directory("pub/root.1.json"), with: work.directory.bytes("keys/root.json"))
        try host("keys", "new", "next", "--role", "release")
        try host(
            "trust", "rotate", "pub/root.1.json", "--old", "keys/release.key.pub", "--new", "next/release.key.pub",
            "--revoke")
        #expect(
            try host("trust", "verify", "pub/root.1.json", "pub/root.2.json", status: 4).errors.contains("unsigned"))
        let signed = try host("trust", "sign", "pub/root.2.json", "--key", "keys/root.key")
        #expect(signed.output.contains("root keys of version 1: 1 of 1"))
        let verified = try host("trust", "verify", "pub/root.1.json", "pub/root.2.json")
        #expect(verified.output.contains("revokes key"))
    }

    @Test("The release key is rotated: the device follows, refuses the old key's bundle and installs the new key's")
    func releaseKey() throws {
        try rotateRelease()
        try work.build()
        try FileSystem.rename(work.directory("out.kedge"), to: work.directory("old.kedge"))
        try work.build(["--key", "next/release.key"])
        #expect(try device("install", "out.kedge", status: 4).errors.contains("trust.unknown-key"))
        #expect(try device("trust", "update", "pub").output == "trust root 2, was 1\n")
        #expect(try device("trust", "update", "pub/root.2.json").output == "trust root 2: nothing newer\n")
        #expect(try version() == 2)
        #expect(try device("install", "old.kedge", status: 4).errors.contains("trust.revoked-key"))
        try device("install", "out.kedge")
        #expect(try device("status", "--json").output.contains("acme-edge-2.1.0"))
    }

    @Test("A root beside the bundle is found on the way, and is kept")
    func beside() throws {
        try rotateRelease()
        try work.build(["--key", "next/release.key"])
        try FileSystem.rename(work.directory("out.kedge"), to: work.directory("pub/r.kedge"))
        try device("install", "pub/r.kedge")
        #expect(try version() == 2)
        #expect(try FileSystem.list(work.directory("data")).contains("trust.1"))
    }

    @Test("A damaged copy of the kept roots costs nothing; with both lost the built-in root stands until the next walk")
    func interrupted() throws {
        try rotateRelease()
        try device("trust", "update", "pub")
        let good = try work.directory.bytes("data/trust.0")
        for slot in [0, 1] {
            try FileSystem.replace(work.directory("data/trust.\(slot)"), with: Array(good.prefix(good.count / 2)))
            #expect(try version() == 2)
            try FileSystem.replace(work.directory("data/trust.\(slot)"), with: good)
        }
        for slot in [0, 1] { try FileSystem.replace(work.directory("data/trust.\(slot)"), with: [0]) }
        #expect(try version() == 1)
        try device("trust", "update", "pub")
        #expect(try version() == 2)
    }

    @Test("Root keys 2 of 3: one holder is not enough, two are, and the key that left counts no more")
    func rootKeys() throws {
        for name in ["ann", "bob", "cid", "dan"] { try host("keys", "new", name, "--role", "root") }
        try host(
            "trust", "init", "-o", "pub/root.1.json", "--root", "ann/root.key.pub", "--root", "bob/root.key.pub",
            "--root", "cid/root.key.pub", "--root-threshold", "2", "--release", "keys/release.key.pub")
        try host("trust", "sign", "pub/root.1.json", "--key", "ann/root.key", "--key", "bob/root.key")
        #expect(try version() == 1)
        try host("trust", "rotate", "pub/root.1.json", "--old", "cid/root.key.pub", "--new", "dan/root.key.pub")
        try host("trust", "set-floor", "pub/root.2.json", "3")
        try host("trust", "sign", "pub/root.2.json", "--key", "ann/root.key")
        #expect(try device("trust", "update", "pub", status: 4).errors.contains("trust.threshold"))
        #expect(try version() == 1)
        // The leaving key makes the former threshold, but not the new one.
        try host("trust", "sign", "pub/root.2.json", "--key", "cid/root.key")
        #expect(try device("trust", "update", "pub", status: 4).errors.contains("1 of 2"))
        try host("trust", "sign", "pub/root.2.json", "--key", "dan/root.key")
        try device("trust", "update", "pub")
        #expect(try work.json(device("trust", "show", "--json"))["floor"]?.number == 3)
        try host("trust", "deny", "pub/root.2.json", String(repeating: "0", count: 64))
        try host("trust", "sign", "pub/root.3.json", "--key", "cid/root.key", status: 4)
        try host("trust", "sign", "pub/root.3.json", "--key", "bob/root.key", "--key", "dan/root.key")
        try device("trust", "update", "pub")
        #expect(try version() == 3)
    }

    @Test("Nothing that exists is overwritten, and a root that others signed is not changed under their names")
    func careful() throws {
        try rotateRelease()
        let second = try work.directory.bytes("pub/root.2.json")
        #expect(try host("trust", "set-floor", "pub/root.1.json", "3", status: 3).errors.contains("key.exists"))
        try host("trust", "set-floor", "pub/root.2.json", "3")
        #expect(try work.directory.bytes("pub/root.2.json") == second)
        #expect(
            try work.directory.names.contains("pub") && FileSystem.kind(of: work.directory("pub/root.3.json")) != nil)
        let lowered = try host("trust", "set-floor", "pub/root.3.json", "2", status: 4)
        #expect(lowered.errors.hasPrefix("kedge: trust.root-loosens: "))
    }
}
