import BundleFormat
import Foundation
import Platform
import StrictJSON
import Testing

@Suite("kedged: deltas of real file systems", Needs.partitioner, Needs.nginx, Needs.fileSystems)
struct KedgedDeltaTests {
    /// The file systems that images are made of.
    enum Kind: String, CaseIterable, CustomTestStringConvertible, Sendable {
        case ext4, erofs
        var testDescription: String { rawValue }
    }

    /// A gateway whose slot set b runs a release, and a bundle with a delta from it.
    final class Updated {
        let gateway: FieldGateway
        let old: [UInt8]
        let new: [UInt8]
        let bundle: String
        let server: BundleServer

        init(_ kind: Kind, rate: Int? = nil, noise: Int = 0) throws {
            gateway = try FieldGateway(rootfs: "48M")
            let tree = gateway.directory("tree")
            try KedgedDeltaTests.fill(tree)
            old = try KedgedDeltaTests.image(kind, tree, gateway)
            try KedgedDeltaTests.change(tree, noise: noise)
            new = try KedgedDeltaTests.image(kind, tree, gateway)
            let first = try gateway.build(
                FieldGateway.Release(id: "acme-edge-1.0", sequence: 1, images: [("rootfs", old)]))
            try gateway.works("install", first)
            try gateway.powerOn()
            try gateway.works("run", "--once")
            bundle = try gateway.build(
                FieldGateway.Release(
                    id: "acme-edge-1.1", sequence: 2, images: [("rootfs", new)], arguments: ["--delta-from", first]))
            server = try BundleServer(serving: gateway.directory.path, rate: rate)
        }

        /// Bytes of the delta's table and groups, and of the image's windows, as `kedge inspect` says.
        func sizes() throws -> (delta: UInt64, windows: UInt64) {
            let report = try JSONValue.parse(
                gateway.run(["inspect", bundle, "--json"]).output, limit: 1 << 22)
            let image = try #require(report["images"]?.elements?.first)
            let delta = try #require(image["deltas"]?.elements?.first?["bytes"]?.number)
            return (delta: UInt64(delta), windows: UInt64(try #require(image["storedBytes"]?.number)))
        }
    }

    /// Programs and libraries of this machine, and text.
    private static func fill(_ tree: String) throws {
        try FileSystem.makeDirectories(tree + "/usr/bin")
        for name in ["bash", "openssl", "curl", "sed", "awk", "tar", "find", "git"] {
            let path = FileManager.default.fileExists(atPath: "/usr/bin/\(name)") ? "/usr/bin/\(name)" : "/bin/sh"
            try FileSystem.replace("\(tree)/usr/bin/\(name)", with: FileSystem.read(path, limit: 1 << 26))
        }
        try FileSystem.makeDirectories(tree + "/etc")
        for number in 0..<200 {
            try FileSystem.replace(
                "\(tree)/etc/file-\(number)",
                with: Array(repeating: "setting \(number) = \(number * 7)\n", count: 90).joined().utf8.map { $0 })
        }
    }

    /// A new release: a program with changed bytes and a new length, and other settings.
    private static func change(_ tree: String, noise: Int) throws {
        var program = try FileSystem.read(tree + "/usr/bin/bash", limit: 1 << 26)
        program.insert(contentsOf: [UInt8](repeating: 0x90, count: 64), at: 5000)
        for place in stride(from: 20_000, to: program.count, by: 40_000) { program[place] &+= 3 }
        try FileSystem.replace(tree + "/usr/bin/bash", with: program)
        for number in 0..<10 {
            try FileSystem.replace("\(tree)/etc/file-\(number)", with: Array("setting \(number) = other\n".utf8))
        }
        if noise > 0 { try FileSystem.replace(tree + "/usr/noise", with: Array(FieldGateway.image(megabytes: noise))) }
    }

    private static func image(_ kind: Kind, _ tree: String, _ gateway: FieldGateway) throws -> [UInt8] {
        let file = gateway.directory("image")
        try FileSystem.remove(file)
        let uuid = "11111111-2222-3333-4444-555555555555"
        let command =
            switch kind {
            case .ext4: ["mke2fs", "-q", "-t", "ext4", "-U", uuid, "-E", "hash_seed=\(uuid)", "-d", tree, file, "44M"]
            case .erofs: ["mkfs.erofs", "-T0", "-U", uuid, file, tree]
            }
        let outcome = try ChildProcess.run(
            ["/usr/bin/env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "SOURCE_DATE_EPOCH=1"] + command,
            milliseconds: 120_000)
        try #require(outcome.succeeded, "\(outcome.output)")
        return try FileSystem.read(file, limit: 1 << 27)
    }

    @Test("An update over a network fetches the delta and no more, and is reported so", arguments: Kind.allCases)
    func update(kind: Kind) throws {
        let updated = try Updated(kind)
        let gateway = updated.gateway
        let running = try gateway.digest("rootfs", "b")
        try gateway.works("install", updated.server.url(updated.bundle))
        #expect(try gateway.holds("rootfs", "a", updated.new))
        #expect(try gateway.digest("rootfs", "b") == running)
        let sizes = try updated.sizes()
        // One request for the head, and the end of the bundle.
        let most = sizes.delta + 32 << 10 + 64
        #expect(try updated.server.bytesSent() <= most)
        #expect(sizes.delta * 10 < sizes.windows)
        let status = try gateway.status()
        #expect(status["forms"]?["delta"]?["fetched"]?.number == Int64(sizes.delta))
        #expect(status["forms"]?["windows"]?["fetched"]?.number == 0)
        #expect(status["forms"]?["fallback"]?["windows"]?.number == 0)
        let written = try #require(status["bytes"]?["written"]?.number)
        let unchanged = try #require(status["bytes"]?["unchanged"]?.number)
        #expect(written + unchanged == Int64(updated.new.count))
        #expect(status["forms"]?["delta"]?["written"]?.number == written)
        #expect(try gateway.works("status").output.contains("copied from this device"))
        try gateway.powerOn()
        try gateway.works("run", "--once")
        #expect(try gateway.status()["phase"]?.text == "confirmed")
    }

    @Test("A base that was written to gives the right image, and the status says what that cost")
    func damagedBase() throws {
        let updated = try Updated(.ext4)
        let gateway = updated.gateway
        var place = try gateway.place("rootfs", "b")
        // As a kernel leaves the superblock of a file system that was mounted for writing, and a changed file.
        for offset in [1024, 9 << 20] as [UInt64] {
            place = FieldGateway.Place(
                path: place.path, offset: try gateway.place("rootfs", "b").offset + offset, size: 64)
            try gateway.write([UInt8](repeating: 0x5a, count: 64), to: place)
        }
        let outcome = try gateway.works("install", updated.server.url(updated.bundle))
        #expect(outcome.errors.contains("as delta"))
        #expect(try gateway.holds("rootfs", "a", updated.new))
        let status = try gateway.status()
        let windows = try #require(status["forms"]?["fallback"]?["windows"]?.number)
        #expect((1...6).contains(windows))
        #expect(try gateway.works("status").output.contains("\(windows) windows"))
    }

    @Test("A read-only file system in which bytes changed all the same gives the right image too")
    func damagedReadOnlyBase() throws {
        let updated = try Updated(.erofs)
        let gateway = updated.gateway
        let slot = try gateway.place("rootfs", "b")
        for offset in [1024, 1 << 20, 3 << 20, 9 << 20] as [UInt64] {
            let place = FieldGateway.Place(path: slot.path, offset: slot.offset + offset, size: 64)
            try gateway.write([UInt8](repeating: 0x5a, count: 64), to: place)
        }
        try gateway.works("install", updated.server.url(updated.bundle))
        #expect(try gateway.holds("rootfs", "a", updated.new))
        let windows = try #require(try gateway.status()["forms"]?["fallback"]?["windows"]?.number)
        #expect(windows >= 1)
    }

    @Test("Where full downloads are forbidden, a release without a delta for this device is refused untouched")
    func neverFull() throws {
        let updated = try Updated(.erofs)
        let gateway = updated.gateway
        try gateway.configure { $0 + "\n[delta]\nfull = never\n" }
        let plain = try gateway.build(
            FieldGateway.Release(id: "acme-edge-1.2", sequence: 3, images: [("rootfs", updated.old)]))
        let before = try gateway.everything()
        let refused = try gateway.kedged(["install", updated.server.url(plain)])
        refused.expectFailure("policy.full-download", 5)
        #expect(try gateway.everything() == before)
        try gateway.works("install", updated.server.url(updated.bundle))
        #expect(try gateway.holds("rootfs", "a", updated.new))
    }

    @Test(
        "A kill in the middle of a delta costs little, and the next install ends with the exact image",
        arguments: 0..<4)
    func killed(number: Int) throws {
        let updated = try Updated(.erofs, rate: 3 << 20, noise: 7)
        let gateway = updated.gateway
        let outcome = try gateway.kedged(["install", updated.server.url(updated.bundle)]) { process, errors in
            if !errors.contains("fetching:") { return false }
            SystemTime().sleep(nanoseconds: UInt64(0.1e9 + KedgedKillTests.fraction(2000 + number) * 1.4e9))
            Foundation.kill(process.processIdentifier, SIGKILL)
            return true
        }
        #expect(outcome.signaled || outcome.status == 0)
        #expect(try gateway.record()["active"]?.text == (outcome.signaled ? "b" : "a"))
        if outcome.signaled { try gateway.works("install", updated.server.url(updated.bundle)) }
        #expect(try gateway.holds("rootfs", "a", updated.new), "seed \(KedgedKillTests.seed)")
        let most = try updated.sizes().delta + KedgedKillTests.allowance()
        #expect(try updated.server.bytesSent() <= most, "seed \(KedgedKillTests.seed)")
        #expect(try gateway.status()["forms"]?["fallback"]?["windows"]?.number == 0)
    }
}

extension Needs {
    static let fileSystems: ConditionTrait = .enabled(
        if: ["/usr/sbin", "/usr/bin"].contains { FileManager.default.isExecutableFile(atPath: $0 + "/mkfs.erofs") }
            && FileManager.default.isExecutableFile(atPath: "/usr/sbin/mke2fs"),
        "needs mkfs.erofs and mke2fs (apt: erofs-utils, e2fsprogs)")
}
