import BundleFormat
import Foundation
import Platform
import StrictJSON
import Testing

@Suite("kedged: releases that no delta serves", Needs.partitioner, Needs.nginx)
struct KedgedBlocksTests {
    /// A gateway that runs a release, and the bundle of another one with single blocks, on a server.
    final class Updated {
        let gateway: FieldGateway
        let old: [UInt8]
        let new: [UInt8]
        let bundle: String
        let server: BundleServer

        init(rate: Int? = nil) throws {
            gateway = try FieldGateway(rootfs: "32M")
            old = FieldGateway.image(megabytes: 12)
            // Eight blocks more, which moves all others, and one changed byte for each three windows.
            var next = old
            next.insert(contentsOf: [UInt8](repeating: 1, count: 8 << 12), at: 5 << 20)
            for place in stride(from: 70_000, to: 12 << 20, by: 3 << 20) { next[place] ^= 0xff }
            new = next
            try gateway.works(
                "install",
                gateway.build(FieldGateway.Release(id: "acme-edge-1.0", sequence: 1, images: [("rootfs", old)])))
            try gateway.powerOn()
            try gateway.works("run", "--once")
            bundle = try KedgedBlocksTests.release(gateway, "acme-edge-1.2", 3, next)
            server = try BundleServer(serving: gateway.directory.path, rate: rate)
        }

        func hints(_ set: String) -> String { gateway.path + "/data/hints.rootfs.\(set)" }

        func install(_ words: String...) throws {
            try gateway.works("install", server.url(bundle))
            #expect(try gateway.holds("rootfs", "a", new))
        }

        func forms() throws -> JSONValue { try #require(try gateway.status()["forms"]) }
    }

    private static func release(
        _ gateway: FieldGateway, _ id: String, _ sequence: Int, _ image: [UInt8], _ arguments: [String] = ["--blocks"]
    ) throws -> String {
        try gateway.build(
            FieldGateway.Release(id: id, sequence: sequence, images: [("rootfs", image)], arguments: arguments))
    }

    /// Few changed blocks, the new ones, their windows' pages, the index, the head, the end.
    private static let little: UInt64 = 32 << 10 + 160 << 10

    @Test("An unknown base costs the blocks that changed, and the status says what came of it")
    func unknownBase() throws {
        let updated = try Updated()
        try updated.install()
        #expect(try updated.server.bytesSent() < Self.little)
        let forms = try updated.forms()
        #expect(forms["blocks"]?["reused"]?.number ?? 0 > 12 << 20)
        #expect(forms["blocks"]?["fetched"]?.number ?? 0 > 0 && forms["windows"]?["fetched"]?.number == 0)
        #expect(try updated.gateway.works("status").output.contains("blocks"))
        try updated.gateway.powerOn()
        try updated.gateway.works("run", "--once")
        #expect(try updated.gateway.status()["phase"]?.text == "confirmed")
    }

    @Test("A release that another one interrupts leaves its blocks to it")
    func interrupted() throws {
        let updated = try Updated()
        let gateway = updated.gateway
        let other = FieldGateway.image(megabytes: 13, seed: 44).reversed().map { $0 ^ 0x31 }
        let first = try Self.release(gateway, "acme-edge-1.3", 4, other, [])
        let slow = try BundleServer(serving: gateway.directory.path, rate: 3 << 20)
        let killed = try gateway.kedged(["install", slow.url(first)]) { process, errors in
            if !errors.contains("fetching:") { return false }
            SystemTime().sleep(nanoseconds: 1_600_000_000)
            Foundation.kill(process.processIdentifier, SIGKILL)
            return true
        }
        try #require(killed.signaled)
        // The same content with a small change, which the device never had as a whole.
        var third = other
        third.replaceSubrange((3 << 20)..<(3 << 20 + 5000), with: [UInt8](repeating: 9, count: 5000))
        let bundle = try Self.release(gateway, "acme-edge-1.4", 5, third)
        try gateway.works("install", updated.server.url(bundle))
        #expect(try gateway.holds("rootfs", "a", third))
        let forms = try updated.forms()
        #expect(forms["blocks"]?["reused"]?.number ?? 0 >= 2 << 20)
        #expect(try updated.server.bytesSent() < UInt64(third.count) - 2 << 20)
    }

    @Test("A record of what is not there any more costs a download, and never a wrong image")
    func stale() throws {
        let updated = try Updated()
        try updated.gateway.write(updated.old.map { $0 ^ 0x77 }, to: updated.gateway.place("rootfs", "b"))
        try updated.install()
        #expect(try updated.forms()["fallback"]?["windows"]?.number ?? 0 >= 10)
        #expect(try updated.gateway.works("status").output.contains("windows"))
    }

    @Test("A record of noise is none: the running slot is read and found to hold most of it")
    func corrupted() throws {
        let updated = try Updated()
        let file = try FileSystem.read(updated.hints("b"), limit: 1 << 20)
        #expect(file.count < 40_000)
        try FileSystem.replace(updated.hints("b"), with: file.map { $0 &* 31 &+ 7 })
        try updated.install()
        #expect(try updated.server.bytesSent() < Self.little)
    }

    @Test("kedged index records what a factory slot holds, which somebody else wrote")
    func index() throws {
        let updated = try Updated()
        try FileSystem.remove(updated.hints("b"))
        let said = try updated.gateway.works("index")
        // Flash and block slots; a store has no record.
        #expect(said.output.contains("rootfs b: 13 windows") && said.output.contains("bios b:"))
        #expect(try FileSystem.kind(of: updated.hints("b")) != nil)
        let json = try JSONValue.parse(updated.gateway.works("index", "rootfs", "a", "--json").output, limit: 4096)
        #expect(json.elements?.first?["windows"]?.number == 32)
        try updated.gateway.kedged(["index", "nosuch"]).expectFailure("slot.missing", 6)
        try updated.gateway.kedged(["index", "containers"]).expectFailure("engine.nothing-to-index", 9)
        try updated.gateway.kedged(["index", "rootfs", "c"]).expectFailure("usage", 2)
        try updated.install()
        #expect(try updated.server.bytesSent() < Self.little)
    }

    @Test("A kill among blocks costs little, and the next install ends with the exact image", arguments: 0..<4)
    func killed(number: Int) throws {
        let updated = try Updated(rate: 200 << 10)
        let gateway = updated.gateway
        var outcome: BuiltCommand.Outcome?
        for kill in 0..<2 {
            outcome = try gateway.kedged(["install", updated.server.url(updated.bundle)]) { process, errors in
                if !errors.contains("fetching:") { return false }
                let fraction = KedgedKillTests.fraction(3000 + 10 * number + kill)
                SystemTime().sleep(nanoseconds: UInt64(fraction * 0.4e9))
                Foundation.kill(process.processIdentifier, SIGKILL)
                return true
            }
        }
        if outcome?.signaled == true { try gateway.works("install", updated.server.url(updated.bundle)) }
        #expect(try gateway.holds("rootfs", "a", updated.new), "seed \(KedgedKillTests.seed)")
        #expect(
            try updated.server.bytesSent() < 3 * (Self.little + 1 << 20), "seed \(KedgedKillTests.seed)")
    }
}
