import BundleFormat
import Foundation
import Platform
import StrictJSON
import TestSupport
import Testing

@Suite("kedged: places, pipes and bad networks", Needs.partitioner, .serialized)
struct KedgedNetworkTests {
    private let gateway: FieldGateway
    private let bundle: String
    private static let image = FieldGateway.image(megabytes: 11)

    init() throws {
        gateway = try FieldGateway()
        bundle = try gateway.build(FieldGateway.Release(images: [("rootfs", Self.image)]))
    }

    /// What a plain install fetches: every byte once.
    private var size: UInt64 { get throws { try FileSystem.size(of: bundle) } }

    /// Body bytes that the last attempt fetched.
    private func fetched() throws -> Int64 { try #require(gateway.status()["bytes"]?["fetched"]?.number) }

    private func expectArmed(sourceLocation: SourceLocation = #_sourceLocation) throws {
        #expect(try gateway.record()["phase"]?.text == "trial", sourceLocation: sourceLocation)
        #expect(try gateway.holds("rootfs", "b", Self.image), sourceLocation: sourceLocation)
    }

    private func network(_ lines: String) throws {
        try gateway.configure { $0.replacing("[network]\n", with: "[network]\n\(lines)\n") }
    }

    /// Runs a shell line; $0 is kedged, $1 its configuration, $2 the bundle.
    private func shell(_ line: String) throws -> BuiltCommand.Outcome {
        try gateway.kedged.run(
            program: ["bash", "-c", line, gateway.kedged.path, gateway.configuration, bundle], in: gateway.path)
    }

    // MARK: pipes

    @Test("A bundle on standard input is installed, whoever writes it and in whatever pieces")
    func pipe() throws {
        let outcome = try shell(#"dd if="$2" bs=7000 2>/dev/null | "$0" --config "$1" install -"#)
        #expect(outcome.status == 0, "\(outcome.errors)")
        try expectArmed()
    }

    @Test("A pipe that breaks keeps what came, and the next one goes on; a daemon leaves its own input alone")
    func brokenPipe() throws {
        let outcome = try shell(#"head -c 7000000 "$2" | "$0" --config "$1" install -"#)
        outcome.expectFailure("transfer.stream-gone", 7)
        #expect(try gateway.status()["phase"]?.text == "fetching")
        let daemon = try shell(#""$0" --config "$1" run --once < "$2""#)
        #expect(daemon.errors.contains("transfer.stream-gone"), "\(daemon.errors)")
        #expect(try gateway.status()["phase"]?.text == "fetching")
        let again = try shell(#"cat "$2" | "$0" --config "$1" install -"#)
        #expect(again.status == 0, "\(again.errors)")
        try expectArmed()
        #expect(try gateway.status()["bytes"]?["reused"]?.number ?? 0 >= 4 << 20)
    }

    // MARK: places

    @Test("When the place dies midway, the other one that was named goes on where it was", Needs.nginx)
    func otherSource() throws {
        var first: BundleServer? = try BundleServer(serving: gateway.directory.path, rate: 5 << 20)
        let second = try BundleServer(serving: gateway.directory.path)
        let url = try #require(first).url(bundle)
        let outcome = try gateway.kedged(["install", url, "--source", second.url(bundle)]) { _, errors in
            if !errors.contains(" 40 %") { return false }
            first = nil
            return true
        }
        #expect(outcome.status == 0, "\(outcome.errors)")
        try expectArmed()
        #expect(try second.bytesSent() < size)
    }

    @Test(
        "A cache in the LAN gives everything once the manifest is known, and is skipped when it has something else",
        Needs.nginx)
    func cache() throws {
        let origin = try BundleServer(serving: gateway.directory.path)
        try FileSystem.makeDirectories(gateway.directory("cache"))
        let name = try #require(bundle.split(separator: "/").last.map(String.init))
        let cached = gateway.directory("cache/\(name)")
        try FileSystem.replace(cached, with: FileSystem.read(bundle, limit: 1 << 28))
        let cache = try BundleServer(serving: gateway.directory("cache"))
        try network("cache = http://127.0.0.1:\(cache.port)/")
        let text = try gateway.run(["inspect", bundle, "--json"]).output
        let manifest = try #require(JSONValue.parse(text, limit: 1 << 20)["manifestDigest"]?.text)
        try gateway.works("install", origin.url(bundle), "--manifest", manifest)
        try expectArmed()
        #expect(try origin.bytesSent() == 0)
        #expect(try cache.bytesSent() >= size)

        // Now the cache has an older release under that name: the origin says what the bundle is.
        try gateway.works("rollback")
        try gateway.powerOn()
        try FileSystem.replace(
            cached,
            with: FileSystem.read(
                gateway.build(FieldGateway.Release(id: "acme-edge-1.9.9", sequence: 11)), limit: 1 << 28))
        try gateway.works("install", origin.url(bundle))
        try expectArmed()
        #expect(try gateway.status()["release"]?["id"]?.text == "acme-edge-2.1.0")
    }

    @Test("An agent is told that a signed address ran out, and a new one for the same attempt goes on")
    func renewal() throws {
        let server = try HostileServer(object: bundle)
        try gateway.configure { $0.replacing("retries = 1", with: "retries = 3") }
        let agent = try AgentProcess(gateway)
        try agent.desire("x-1", server.url("expired/7000000").text + "?sv=1&sig=hunter2", version: 1)
        let pause = try agent.expect("pause") { $0["pause"]?["code"]?.text == "transfer.address-expired" }
        #expect(pause["phase"]?.text == "fetching" && pause["result"] == JSONValue.null)
        #expect(!pause.compactText.contains("hunter2"))
        try agent.desire("x-1", server.url("plain").text + "?sig=new", version: 2)
        try agent.expect(phase: "armed", of: "x-1")
        agent.endInput()
        #expect(agent.end() == 0)
        try expectArmed()
        #expect(try UInt64(fetched()) < size + 9 << 20)
        #expect(try !agent.errors().contains("hunter2"))
    }

    // MARK: what it may cost

    @Test("A byte budget stops a download with its code, holds over restarts, and another network goes on", Needs.nginx)
    func budget() throws {
        let server = try BundleServer(serving: gateway.directory.path)
        try network("class = cellular")
        try gateway.configure { $0 + "[network cellular]\nbudget = 4M\n" }
        try gateway.kedged(["install", server.url(bundle)]).expectFailure("transfer.budget", 7)
        let sent = try server.bytesSent()
        #expect(sent <= 4 << 20 + 1 << 18, "\(sent)")
        try gateway.kedged(["install", server.url(bundle)]).expectFailure("transfer.budget", 7)
        #expect(try server.bytesSent() == sent)
        try gateway.configure { $0.replacing("class = cellular", with: "class-command = echo wifi") }
        try gateway.works("install", server.url(bundle))
        try expectArmed()
    }

    @Test("A class whose window is closed is not used at all", Needs.nginx)
    func window() throws {
        let server = try BundleServer(serving: gateway.directory.path)
        let minute = Int(localMinuteOfDay(SystemTime().realSeconds()))
        func text(_ minute: Int) -> String { String(format: "%02d:%02d", minute % 1440 / 60, minute % 60) }
        try network("class = wifi")
        try gateway.configure { $0 + "[network wifi]\nwindow = \(text(minute + 120))-\(text(minute + 240))\n" }
        try gateway.kedged(["install", server.url(bundle)]).expectFailure("transfer.window", 7)
        #expect(try server.bytesSent() == 0)
    }

    @Test("A fleet's member waits for its turn, says so, and can be canceled meanwhile")
    func spread() throws {
        try network("spread = 2592000")
        let agent = try AgentProcess(gateway)
        try agent.desire("x-1", bundle)
        let report = try agent.expect(phase: "waiting", of: "x-1")
        #expect(report["pause"]?["code"]?.text == "transfer.spread")
        try agent.desire("x-1", action: "cancel")
        try agent.expect(phase: "canceled", of: "x-1")
        agent.endInput()
        #expect(agent.end() == 0)
    }

    @Test("A file with secrets that others can read stops every command, and says nothing of them")
    func exposedSecrets() throws {
        try FileSystem.replace(gateway.directory("secrets"), with: Array("[h]\ntoken = hunter2\n".utf8), mode: 0o644)
        try network("credentials = \(gateway.directory("secrets"))")
        let outcome = try gateway.kedged(["install", "http://127.0.0.1:1/x"])
        outcome.expectFailure("config.secret", 3)
        #expect(!outcome.errors.contains("hunter2"))
    }

    // MARK: space

    @Test("A full store keeps the attempt, and when space comes back it goes on", Needs.mounting, Needs.nginx)
    func space() throws {
        let server = try BundleServer(serving: gateway.directory.path)
        let release = try gateway.build(
            FieldGateway.Release(
                id: "acme-edge-2.2.0",
                images: [("rootfs", Self.image), ("containers", FieldGateway.image(megabytes: 3, seed: 7))]))
        let store = gateway.path + "/store"
        let mounted = try ChildProcess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8M", "kedge-space", store], milliseconds: 60_000)
        try #require(mounted.succeeded)
        defer { _ = try? ChildProcess.run(["umount", store], milliseconds: 60_000) }
        try FileSystem.replace(store + "/filler", with: [UInt8](repeating: 1, count: 7 << 20))
        try gateway.kedged(["install", server.url(release)]).expectFailure("slot.no-space", 6)
        #expect(try gateway.status()["result"] == JSONValue.null)
        #expect(try gateway.status()["phase"]?.text == "planned")
        try FileSystem.remove(store + "/filler")
        let daemon = try gateway.kedged(["run", "--once"])
        #expect(daemon.status == 0, "\(daemon.errors)")
        try expectArmed()
    }

    // MARK: bad networks

    @Test("Behind a cutter of connections everything arrives, and only cut windows are fetched twice", Needs.nginx)
    func cutter() throws {
        let server = try BundleServer(serving: gateway.directory.path)
        let seed = Int.random(in: 1..<1_000_000)
        let cutter = try ScriptProcess(
            "connection-cutter.py", ["\(server.port)", "\(seed)", "100000", "900000"])
        try gateway.configure { $0.replacing("retries = 1", with: "retries = 8") }
        let name = bundle.split(separator: "/").last ?? ""
        let outcome = try gateway.kedged(["install", "http://127.0.0.1:\(cutter.words[0])/\(name)"])
        #expect(outcome.status == 0, "seed \(seed): \(outcome.errors)")
        try expectArmed()
        let wasted = try Int64(fetched()) - Int64(size)
        #expect(wasted == 0, "seed \(seed)")
        try OutcomeTable.transfers.add(["nginx behind a connection cutter", "slot right", "-", "\(wasted)", "0"])
    }

    @Test(
        "With loss and delay everything arrives", Needs.namespaces,
        arguments: [("20mbit", 50, 0.03), ("8mbit", 300, 0.01)])
    func loss(rate: String, latency: Int, loss: Double) throws {
        let namespace = try NetworkNamespace(rate: rate, latency: latency, loss: loss)
        let server = try HostileServer(object: bundle, prefix: namespace.prefix)
        try gateway.configure { $0.replacing("retries = 1", with: "retries = 8") }
        let outcome = try gateway.kedged.run(
            program: namespace.prefix + [
                gateway.kedged.path, "--config", gateway.configuration, "install", server.url("plain").text,
            ], in: gateway.path)
        #expect(outcome.status == 0, "\(outcome.errors)")
        try expectArmed()
        let wasted = try Int64(fetched()) - Int64(size)
        #expect(wasted == 0)
        try OutcomeTable.transfers.add([
            "loss \(loss), \(rate), queue of \(latency) ms", "slot right", "-", "\(wasted)", "0",
        ])
    }
}
