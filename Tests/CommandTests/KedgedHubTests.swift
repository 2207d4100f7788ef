import Foundation
import Platform
import StrictJSON
import TestSupport
import Testing

/// `kedged` at the emulated hub. Each test takes an address of its own.
@Suite("kedged: with IoT Hub", Needs.partitioner, Needs.mosquitto)
struct KedgedHubTests {
    @Test("A release that is desired is installed and followed to its end, and a later start does not begin again")
    func wholeWay() throws {
        let hub = try FieldHub(address: "127.90.0.1")
        try hub.register("gw")
        let gateway = try FieldGateway()
        try gateway.follow(hub, "gw")
        let bundle = try gateway.build()
        let first = try HubProcess(gateway)
        try hub.expect("gw", "phase idle") { $0["phase"]?.text == "idle" }
        try hub.install("gw", "x-1", bundle)
        try hub.expect("gw", phase: "armed", of: "x-1")
        #expect(try gateway.hubStatus()["state"]?.text == "connected")
        #expect(first.stop() == 0)
        try gateway.powerOn()
        let second = try HubProcess(gateway)
        let report = try hub.expect("gw", phase: "confirmed", of: "x-1")
        #expect(report["running"]?["slot"]?.text == "b")
        let record = try gateway.record()
        #expect(second.stop() == 0)
        let third = try HubProcess(gateway)
        try hub.expect("gw", phase: "confirmed", of: "x-1")
        #expect(third.stop() == 0)
        #expect(try gateway.record() == record)
        #expect(try first.errors() == "" && second.errors() == "" && third.errors() == "")
    }

    @Test("A release that rolled back is reported so and not tried again, until a new attempt asks for one")
    func rolledBack() throws {
        let hub = try FieldHub(address: "127.90.0.2")
        try hub.register("gw")
        let gateway = try FieldGateway()
        try gateway.follow(hub, "gw")
        let bundle = try gateway.build()
        var process = try HubProcess(gateway)
        try hub.install("gw", "x-1", bundle)
        try hub.expect("gw", phase: "armed", of: "x-1")
        process.stop()
        try gateway.powerOn("--fail", "boot")
        process = try HubProcess(gateway)
        let report = try hub.expect("gw", "a result") { $0["result"]?["phase"]?.text == "rolledBack" }
        #expect(report["running"]?["slot"]?.text == "a")
        let record = try gateway.record()
        _ = try hub.call("POST", "/emulator/push-again/gw")
        SystemTime().sleep(nanoseconds: 1_000_000_000)
        #expect(try gateway.record() == record)
        try hub.install("gw", "x-2", bundle)
        try hub.expect("gw", phase: "armed", of: "x-2")
        process.stop()
    }

    /// Faults of the hub, what to do when they are set, and how often the connection may have been lost.
    static let faults: [(name: String, switches: String, path: String?, losses: Int64)] = [
        ("one cut", #"{"cut":1}"#, nil, 1), ("two cuts", #"{"cut":2}"#, nil, 2),
        ("doubled messages", #"{"duplicate":6}"#, nil, 0), ("reordered messages", #"{"reorder":1}"#, nil, 0),
        ("slow answers", #"{"delay":400}"#, nil, 0), ("throttling", #"{"refuse":1}"#, nil, 0),
        ("a broken service", #"{"refuse":1,"status":503}"#, nil, 0),
        ("versions that start anew", "{}", "restart-version", 0), ("the desired state again", "{}", "push-again", 0),
        ("an ended connection", "{}", "disconnect", 1),
    ]

    @Test("The hub's faults stop no update: it is installed once, and reported to its end")
    func faults() throws {
        let hub = try FieldHub(address: "127.90.0.3")
        let gateway = try FieldGateway()
        try hub.register("gw")
        try gateway.follow(hub, "gw")
        let bundle = try gateway.build()
        for (number, fault) in Self.faults.enumerated() {
            let process = try HubProcess(gateway)
            try hub.expect("gw", "a report") { $0["phase"] != nil }
            try hub.fault("gw", fault.switches)
            if let path = fault.path { try hub.call("POST", "/emulator/\(path)/gw") }
            let start = SystemTime().monotonicNanoseconds()
            try hub.install("gw", "x-\(number)", bundle)
            // Lets the message behind the reordered one come.
            if fault.name.hasPrefix("reordered") { try hub.call("POST", "/emulator/push-again/gw") }
            let report = try hub.expect("gw", "an end of x-\(number) with \(fault.name)") {
                ($0["phase"]?.text == "armed" || $0["result"] != nil) && $0["attempt"]?.text == "x-\(number)"
            }
            let seconds = (SystemTime().monotonicNanoseconds() - start) / 100_000_000
            let losses = try gateway.hubStatus()["losses"]?.number ?? -1
            #expect(losses <= fault.losses, "\(fault.name)")
            try OutcomeTable.hub.add([
                fault.name, report["phase"]?.text ?? "", "\(losses) lost", "\(seconds / 10).\(seconds % 10) s",
            ])
            try hub.fault("gw", "{}")
            #expect(process.stop() == 0)
            try gateway.works("rollback")
        }
    }

    @Test("Without a hub an update goes on, and its end is reported when the hub is back")
    func hubIsGone() throws {
        let hub = try FieldHub(address: "127.90.0.4")
        try hub.register("gw")
        let gateway = try FieldGateway()
        try gateway.follow(hub, "gw")
        let bundle = try gateway.build()
        let process = try HubProcess(gateway)
        try hub.expect("gw", "phase idle") { $0["phase"]?.text == "idle" }
        process.stop()
        hub.stop()
        // Somebody else asks for the release, with no hub for hours.
        try gateway.works("install", bundle, "--attempt", "by-hand")
        try gateway.powerOn()
        let alone = try HubProcess(gateway)
        try alone.expectError("hub.unreachable")
        for _ in 0..<100 {
            if try gateway.status()["phase"]?.text == "confirmed" { break }
            SystemTime().sleep(nanoseconds: 100_000_000)
        }
        let status = try gateway.status()
        #expect(status["phase"]?.text == "confirmed", "\(status.compactText)")
        for _ in 0..<60 where !(try gateway.data().contains("outbox")) { SystemTime().sleep(nanoseconds: 100_000_000) }
        #expect(try gateway.data().contains("outbox"))
        #expect(alone.stop() == 0)
        try hub.start()
        let back = try HubProcess(gateway)
        try hub.expect("gw", phase: "confirmed", of: "by-hand")
        for _ in 0..<60 where try gateway.data().contains("outbox") { SystemTime().sleep(nanoseconds: 100_000_000) }
        #expect(!(try gateway.data().contains("outbox")))
        #expect(back.stop() == 0)
    }

    @Test("Tokens are renewed before they end, and a hub that starts again finds the device again")
    func renewal() throws {
        let hub = try FieldHub(address: "127.90.0.5")
        try hub.register("gw")
        let gateway = try FieldGateway()
        try gateway.follow(hub, "gw", "token-seconds = 10\n")
        let process = try HubProcess(gateway)
        try hub.expect("gw", "phase idle") { $0["phase"]?.text == "idle" }
        SystemTime().sleep(nanoseconds: 11_000_000_000)
        let status = try gateway.hubStatus()
        #expect((status["connections"]?.number ?? 0) >= 2)
        #expect(status["losses"]?.number == 0)
        hub.stop()
        try hub.start()
        try hub.desire("gw", #"{"attempt":"x-1","action":"cancel"}"#)
        let report = try hub.expect("gw", "a refusal") { $0["refused"] != nil }
        #expect(report["refused"]?["code"]?.text == "engine.nothing-to-cancel")
        #expect(process.stop() == 0)
    }

    @Test("Two devices with one identity: it is told, and neither fights for it")
    func takeover() throws {
        let hub = try FieldHub(address: "127.90.0.6")
        try hub.register("gw")
        let gateways = [try FieldGateway(), try FieldGateway()]
        for gateway in gateways { try gateway.follow(hub, "gw") }
        let processes = try gateways.map { try HubProcess($0) }
        var told = false
        for _ in 0..<600 where !told {
            told = try processes.contains { try $0.errors().contains("hub.takeover") }
            SystemTime().sleep(nanoseconds: 100_000_000)
        }
        #expect(told)
        for process in processes { #expect(process.stop() == 0) }
    }

    /// What is wrong, and how it is told.
    static let refused: [(name: String, code: String)] = [
        ("wrong key", "hub.unauthorized"), ("unknown device", "hub.unauthorized"), ("wrong authority", "hub.tls"),
        ("other host name", "hub.tls"), ("nobody listens", "hub.unreachable"), ("no such name", "hub.unreachable"),
    ]

    @Test("A hub that cannot be trusted, found or entered is told by its own code, without the key")
    func refusals() throws {
        let hub = try FieldHub(address: "127.90.0.7")
        try hub.register("gw")
        for (name, code) in Self.refused {
            let gateway = try FieldGateway()
            let host: String? =
                switch name {
                case "other host name": "127.90.0.77"
                case "nobody listens": "127.90.0.78"
                case "no such name": "no-such-host.invalid"
                default: nil
                }
            try gateway.follow(hub, name == "unknown device" ? "other" : "gw", host: host)
            if name == "wrong key" { try hub.call("DELETE", "/devices/gw") }
            if name == "wrong authority" {
                try gateway.configure { $0.replacingOccurrences(of: "ca = \(hub.authority)\n", with: "") }
            }
            let other =
                name == "other host name"
                ? try ScriptProcess("port-forwarder.py", ["127.90.0.77", "8883", hub.address, "8883"]) : nil
            let process = try HubProcess(gateway)
            try process.expectError(code)
            #expect(process.stop() == 0)
            #expect(!(try process.errors()).contains(FieldHub.key))
            #expect(try gateway.hubStatus()["problem"]?["code"]?.text == code)
            withExtendedLifetime(other) {}
        }
    }

    /// Settings that cannot be, and their codes.
    static let badSettings: [(lines: String, code: String)] = [
        ("", "config.invalid"), ("host = h", "config.invalid"), ("host = h\ndevice = d", "config.invalid"),
        ("host = h\ndevice = d d\naccess-key = k", "config.invalid"),
        ("host = h\ndevice = d\naccess-key = k\ncertificate = c\nkey = k", "config.invalid"),
        ("host = h\ndevice = d\ncertificate = c", "config.invalid"),
        ("connection-string = c\nhost = h", "config.invalid"), ("connection-string = c\nport = 0", "config.invalid"),
        ("connection-string = c\nkeep-alive = 2000", "config.invalid"),
        ("connection-string = c\nsecret = x", "config.invalid"), ("connection-string = /no/such", "config.secret"),
        ("connection-string = $open", "config.secret"), ("connection-string = $owner", "config.secret"),
        ("connection-string = $twice", "config.secret"), ("connection-string = $base64", "config.secret"),
        ("connection-string = $nokey", "config.secret"),
    ]

    @Test("Settings and connection strings that cannot be are refused before anything runs, and repeat no secret")
    func settings() throws {
        let gateway = try FieldGateway()
        let files: [(name: String, text: String, mode: UInt32)] = [
            ("open", "HostName=h;DeviceId=d;SharedAccessKey=czNjcmV0\n", 0o644),
            ("owner", "HostName=h;SharedAccessKeyName=iothubowner;SharedAccessKey=czNjcmV0\n", 0o600),
            ("twice", "HostName=h;DeviceId=d;DeviceId=d;SharedAccessKey=czNjcmV0\n", 0o600),
            ("base64", "HostName=h;DeviceId=d;SharedAccessKey=czNjcmV0!\n", 0o600),
            ("nokey", "HostName=h;DeviceId=d\n", 0o600),
        ]
        for (name, text, mode) in files {
            try FileSystem.replace(gateway.directory(name), with: Array(text.utf8), mode: mode)
        }
        let before = String(decoding: try FileSystem.read(gateway.configuration, limit: 1 << 20), as: UTF8.self)
        for (lines, code) in Self.badSettings {
            let real = lines.replacingOccurrences(of: "$", with: gateway.directory.path + "/")
            try gateway.configure { _ in before + "\n[azure]\n" + real + "\n" }
            let process = try HubProcess(gateway)
            process.process.waitUntilExit()
            #expect(process.process.terminationStatus == 3, "\(lines)")
            let said = try process.errors()
            #expect(said.contains(code) && !said.contains("czNjcmV0"), "\(lines): \(said)")
        }
        try gateway.configure { _ in before }
        try gateway.kedged(["run", "--agent", "iothub"]).expectFailure("usage", 2)
    }
}

extension OutcomeTable {
    /// What a hub did, and what came of it: fault, phase, connections lost, time.
    static let hub = OutcomeTable(variable: "KEDGE_HUB_FAULTS")
}
