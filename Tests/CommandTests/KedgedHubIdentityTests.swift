import Foundation
import Platform
import StrictJSON
import TestSupport
import Testing

/// Who `kedged` is at its hub: certificates, provisioning, and a hub of another make.
@Suite("kedged: identities at IoT Hub", Needs.partitioner, Needs.mosquitto)
struct KedgedHubIdentityTests {
    /// Runs a program, which must succeed; what it printed.
    @discardableResult
    private func run(_ words: String...) throws -> String {
        let outcome = try ChildProcess.run(["/usr/bin/env"] + words, milliseconds: 60_000)
        #expect(outcome.succeeded, "\(words): \(outcome.output)")
        return outcome.output
    }

    /// A certificate of its own for `name`, with its key under a passphrase.
    private func certificate(_ gateway: FieldGateway, _ name: String) throws -> (certificate: String, key: String) {
        let files = (certificate: gateway.directory("own.pem"), key: gateway.directory("own.key"))
        try run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "30", "-subj",
            "/CN=\(name)", "-out", files.certificate, "-keyout", files.key, "-passout", "pass:s3cret")
        try FileSystem.replace(gateway.directory("passphrase"), with: Array("s3cret\n".utf8), mode: 0o600)
        return files
    }

    @Test("A certificate says who it is, with its key under a passphrase and no token")
    func certificates() throws {
        let hub = try FieldHub(address: "127.90.1.1")
        let gateway = try FieldGateway()
        let own = try certificate(gateway, "gw")
        let text = try run("openssl", "x509", "-in", own.certificate, "-noout", "-fingerprint", "-sha256")
        let print = text.split(separator: "=").last.map { $0.filter(\.isHexDigit) } ?? ""
        try hub.register(
            "gw", authentication: #"{"type":"selfSigned","x509Thumbprint":{"primaryThumbprint":"\#(print)"}}"#)
        try gateway.configure {
            $0 + """

                [azure]
                host = \(FieldHub.host)
                device = gw
                gateway = \(hub.address)
                ca = \(hub.authority)
                certificate = \(own.certificate)
                key = \(own.key)
                key-secret = \(gateway.directory("passphrase"))
                status = \(gateway.directory("hub.json"))

                """
        }
        let process = try HubProcess(gateway)
        try hub.expect("gw", "phase idle") { $0["phase"]?.text == "idle" }
        let status = try gateway.works("status").output
        #expect(status.contains("hub       connected since"))
        #expect(status.contains(": gw at \(FieldHub.host); 1 connections, 0 lost"))
        #expect(process.stop() == 0)
        #expect(try process.errors() == "")
        try FileSystem.replace(gateway.directory("passphrase"), with: Array("wrong\n".utf8), mode: 0o600)
        let other = try HubProcess(gateway)
        try other.expectError("hub.")
        #expect(other.stop() == 0)
        #expect(!(try other.errors()).contains("wrong"))
    }

    @Test(
        "A key that stays in a PKCS#11 token says who it is, to the right server only, and its PIN is not told",
        .enabled(
            if: SoftToken.isUsable,
            "needs SoftHSM and OpenSSL's engine pkcs11 (apt: softhsm2 opensc libengine-pkcs11-openssl)"))
    func token() throws {
        let hub = try FieldHub(address: "127.90.1.5")
        let gateway = try FieldGateway()
        let place = gateway.directory
        try FileSystem.makeDirectories(place("tokens"))
        let settings = "directories.tokendir = \(place("tokens"))\nobjectstore.backend = file\n"
        try FileSystem.replace(place("softhsm.conf"), with: Array(settings.utf8))
        let environment = "SOFTHSM2_CONF=" + place("softhsm.conf")
        let uri = "pkcs11:token=kedge;object=gw;type=private"
        try run(
            environment, "softhsm2-util", "--init-token", "--free", "--label", "kedge", "--so-pin", "5678", "--pin",
            "918273")
        try run(
            environment, "pkcs11-tool", "--module", SoftToken.module, "--token-label", "kedge", "--login", "--pin",
            "918273", "--keypairgen", "--key-type", "EC:prime256v1", "--label", "gw")
        try run(
            environment, "openssl", "req", "-x509", "-new", "-engine", "pkcs11", "-keyform", "engine", "-key",
            uri + "?pin-value=918273", "-subj", "/CN=gw", "-days", "30", "-out", place("own.pem"))
        let text = try run("openssl", "x509", "-in", place("own.pem"), "-noout", "-fingerprint", "-sha256")
        let print = text.split(separator: "=").last.map { $0.filter(\.isHexDigit) } ?? ""
        try hub.register(
            "gw", authentication: #"{"type":"selfSigned","x509Thumbprint":{"primaryThumbprint":"\#(print)"}}"#)
        let before = String(decoding: try FileSystem.read(gateway.configuration, limit: 1 << 20), as: UTF8.self)
        let forwarder = try ScriptProcess("port-forwarder.py", ["127.90.1.55", "8883", hub.address, "8883"])
        let rounds: [(host: String, pin: String, code: String?)] = [
            (hub.address, "918273", nil), ("127.90.1.55", "918273", "hub.tls"),
            (hub.address, "564738", "hub.credentials"),
        ]
        for (host, pin, code) in rounds {
            try FileSystem.replace(place("pin"), with: Array((pin + "\n").utf8), mode: 0o600)
            try gateway.configure { _ in
                before + """

                    [azure]
                    host = \(FieldHub.host)
                    device = gw
                    gateway = \(host)
                    ca = \(hub.authority)
                    certificate = \(place("own.pem"))
                    key = \(uri)
                    key-secret = \(place("pin"))
                    status = \(place("hub.json"))

                    """
            }
            let process = try HubProcess(gateway, environment: ["SOFTHSM2_CONF": place("softhsm.conf")])
            if let code {
                try process.expectError(code)
            } else {
                try hub.expect("gw", "phase idle") { $0["phase"]?.text == "idle" }
            }
            #expect(process.stop() == 0)
            #expect(!(try process.errors()).contains(pin))
        }
        withExtendedLifetime(forwarder) {}
    }

    /// Attestations, as enrollments name them, and the lines of `device.ini` for them.
    static let attestations: [(name: String, path: String, lines: String)] = [
        ("key", "enrollments/gw", "dps-key = $key"), ("group key", "enrollmentGroups/fleet", "dps-group-key = $key"),
        ("certificate", "enrollments/gw", "certificate = $own.pem\nkey = $own.key\nkey-secret = $passphrase"),
    ]

    @Test("A provisioning service names the hub, by a key, a group's key or a certificate, and it is kept")
    func provisioned() throws {
        let hub = try FieldHub(address: "127.90.1.2")
        for (name, path, lines) in Self.attestations {
            let gateway = try FieldGateway()
            let own = try certificate(gateway, "gw")
            try FileSystem.replace(gateway.directory("key"), with: Array((FieldHub.key + "\n").utf8), mode: 0o600)
            let keys = #"{"primaryKey":"\#(FieldHub.key)","secondaryKey":"\#(FieldHub.key)"}"#
            var attestation = #"{"type":"symmetricKey","symmetricKey":\#(keys)}"#
            if name == "certificate" {
                let pem = String(decoding: try FileSystem.read(own.certificate, limit: 65536), as: UTF8.self)
                let text = JSONValue.string(pem).compactText
                attestation = #"{"type":"x509","x509":{"clientCertificates":{"primary":{"certificate":\#(text)}}}}"#
            }
            let (status, answer) = try hub.call("PUT", "/\(path)", #"{"attestation":\#(attestation)}"#)
            #expect(status == 200, "\(answer.compactText)")
            let real = lines.replacingOccurrences(of: "$", with: gateway.directory.path + "/")
            try gateway.configure {
                $0 + """

                    [azure]
                    dps-scope = 0ne00000001
                    dps-endpoint = \(hub.address)
                    dps-registration = gw
                    gateway = \(hub.address)
                    ca = \(hub.authority)
                    status = \(gateway.directory("hub.json"))
                    \(real)

                    """
            }
            #expect(try gateway.works("doctor").output.contains("hub.unassigned"))
            let printed = try gateway.works("provision", "--json").output
            #expect(printed == #"{"hub":"\#(FieldHub.host)","device":"gw"}"# + "\n", "\(name)")
            #expect(!(try gateway.works("doctor").output).contains("hub."))
            let process = try HubProcess(gateway)
            try hub.expect("gw", "phase idle of \(name)") { $0["phase"]?.text == "idle" }
            #expect(process.stop() == 0)
            // The first start asks by itself.
            try FileSystem.remove(gateway.path + "/data/assignment")
            let other = try HubProcess(gateway)
            for _ in 0..<100 where !(try gateway.data().contains("assignment")) {
                SystemTime().sleep(nanoseconds: 100_000_000)
            }
            #expect(try gateway.data().contains("assignment"))
            #expect(other.stop() == 0)
            try hub.call("DELETE", "/\(path)")
            try hub.call("DELETE", "/devices/gw")
            try gateway.kedged(["provision"]).expectFailure("provisioning.unauthorized", 7)
            #expect(try gateway.data().contains("assignment"))
        }
    }

    @Test("provision without a service is a usage error, and doctor tells what is between device and hub")
    func wrongSettings() throws {
        let hub = try FieldHub(address: "127.90.1.3")
        try hub.register("gw")
        let gateway = try FieldGateway()
        try gateway.kedged(["provision"]).expectFailure("usage", 2)
        try gateway.follow(hub, "gw")
        try gateway.kedged(["provision"]).expectFailure("usage", 2)
        #expect(!(try gateway.works("doctor").output).contains("hub."))
        hub.stop()
        #expect(try gateway.works("doctor").output.contains("warning hub.unreachable"))
    }

    /// The Python with paho-mqtt; `tools/azure-clients` makes it.
    private static let python = ProcessInfo.processInfo.environment["KEDGE_AZURE_PYTHON"] ?? ""

    @Test(
        "At mosquitto with a responder by paho it installs, is followed, answers calls, and comes back after a restart",
        .enabled(
            if: !python.isEmpty && FileManager.default.isExecutableFile(atPath: "/usr/sbin/mosquitto"),
            "needs paho-mqtt (tools/azure-clients) and mosquitto"))
    func independent() throws {
        let gateway = try FieldGateway()
        let place = try CommandDirectory()
        let address = "127.90.1.4"
        try run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "30", "-nodes",
            "-subj", "/CN=hub", "-addext", "subjectAltName=IP:\(address)", "-out", place("server.pem"), "-keyout",
            place("server.key"))
        try run("cp", place("server.pem"), place("ca.pem"))
        // mosquitto gives root up.
        try run("chmod", "-R", "a+rX", place.path)
        let hub = try IndependentHub(Self.python, place.path, address)
        let file = gateway.directory("connection")
        let text = "HostName=hub;DeviceId=gw;SharedAccessKey=\(FieldHub.key);GatewayHostName=\(address)\n"
        try FileSystem.replace(file, with: Array(text.utf8), mode: 0o600)
        try gateway.configure {
            $0 + "\n[azure]\nconnection-string = \(file)\nca = \(place("ca.pem"))\nstatus = \(place("hub.json"))\n"
        }
        let bundle = try gateway.build()
        let process = try HubProcess(gateway)
        try hub.expect("phase idle") { $0["phase"]?.text == "idle" }
        let unknown = try hub.say(#"call no-such {"a":1}"#)
        #expect(unknown == #"["404", {"code": "method.unknown", "text": "this device has no method no-such"}]"#)
        try hub.say(#"desire {"ota":{"attempt":"x-1","url":"\#(bundle)"}}"#)
        try hub.expect("phase armed") { $0["phase"]?.text == "armed" }
        // The broker forgets sessions and subscriptions: those who trust it hear nothing any more.
        try hub.say("restart")
        try hub.say(#"desire {"ota":{"action":"cancel","attempt":"x-2","url":null}}"#)
        try hub.expect("a refusal") { $0["refused"]?["code"]?.text == "engine.nothing-to-cancel" }
        #expect(process.stop() == 0)
    }
}

/// mosquitto and its responder.
private final class IndependentHub {
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()

    init(_ python: String, _ directory: String, _ address: String) throws {
        let script = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "independent-hub.py").path
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["--default-signal", python, "-B", script, "/usr/sbin/mosquitto", directory, address]
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        #expect(line() == "ready")
    }

    deinit {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    private func line() -> String {
        var text = ""
        while !text.hasSuffix("\n") {
            let data = output.fileHandleForReading.availableData
            if data.isEmpty { return text }
            text += String(decoding: data, as: UTF8.self)
        }
        return String(text.dropLast())
    }

    @discardableResult
    func say(_ text: String) throws -> String {
        try input.fileHandleForWriting.write(contentsOf: Data((text + "\n").utf8))
        return line()
    }

    /// Waits for a reported section that fits, at most 40 s.
    func expect(_ what: String, _ fits: (JSONValue) -> Bool) throws {
        var last = ""
        for _ in 0..<400 {
            last = try say("reported")
            if let section = try JSONValue.parse(last, limit: 1 << 20)["ota"], fits(section) { return }
            SystemTime().sleep(nanoseconds: 100_000_000)
        }
        #expect(Bool(false), "no \(what) in \(last)")
    }
}
