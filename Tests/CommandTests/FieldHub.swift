import Foundation
import Platform
import StrictJSON
import TestSupport
import Testing

/// A built emulator on an address of its own, driven through its service API. It ends with this object.
final class FieldHub {
    static let host = "hub.example.test"
    static let key = Base64.encode([UInt8](repeating: 0x6b, count: 32))
    let address: String
    let directory: CommandDirectory
    private var emulator: EmulatorProcess?

    init(address: String, names: [String] = []) throws {
        self.address = address
        directory = try CommandDirectory()
        try start(names)
    }

    var authority: String { directory("hub/ca.pem") }

    /// Starts it, or starts it again with the state that it kept.
    func start(_ names: [String] = []) throws {
        emulator = try EmulatorProcess(address: address, directory: directory("hub"), names: names)
    }

    func stop() { emulator = nil }

    /// One call of the service API: status and answer.
    @discardableResult
    func call(_ method: String, _ path: String, _ body: String = "") throws -> (status: Int, body: JSONValue) {
        let script = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "hub-service.py").path
        let python = Process()
        python.executableURL = URL(filePath: "/usr/bin/python3")
        python.arguments = ["-B", script, try #require(emulator).owner, authority, method, path]
        let input = Pipe()
        let output = Pipe()
        python.standardInput = input
        python.standardOutput = output
        try python.run()
        try input.fileHandleForWriting.write(contentsOf: Data(body.utf8))
        try input.fileHandleForWriting.close()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        python.waitUntilExit()
        let lines = text.split(separator: "\n", maxSplits: 1)
        let status = try #require(lines.first.flatMap { Int($0) }, "\(method) \(path): \(text)")
        let rest = lines.count > 1 ? String(lines[1]) : "null"
        return (status, (try? JSONValue.parse(rest, limit: 1 << 20)) ?? .string(rest))
    }

    /// Makes an identity with `key`.
    func register(_ device: String, authentication: String? = nil) throws {
        let keys = #"{"type":"sas","symmetricKey":{"primaryKey":"\#(Self.key)","secondaryKey":"\#(Self.key)"}}"#
        let body = #"{"deviceId":"\#(device)","authentication":\#(authentication ?? keys)}"#
        let (status, answer) = try call("PUT", "/devices/\(device)", body)
        #expect(status == 200, "\(answer.compactText)")
    }

    func desire(_ device: String, _ ota: String) throws {
        let (status, answer) = try call("PATCH", "/twins/\(device)", #"{"properties":{"desired":{"ota":\#(ota)}}}"#)
        #expect(status == 200, "\(answer.compactText)")
    }

    func install(_ device: String, _ attempt: String, _ url: String) throws {
        try desire(device, #"{"attempt":"\#(attempt)","url":"\#(url)","action":"install"}"#)
    }

    func reported(_ device: String, _ section: String = "ota") throws -> JSONValue {
        try call("GET", "/twins/\(device)").body["properties"]?["reported"]?[section] ?? .null
    }

    func fault(_ device: String, _ switches: String) throws {
        let (status, answer) = try call("PUT", "/emulator/faults/\(device)", switches)
        #expect(status / 100 == 2, "\(answer.compactText)")
    }

    /// Waits for a reported section that fits, at most a minute.
    @discardableResult
    func expect(
        _ device: String, _ what: String, in section: String = "ota",
        sourceLocation: SourceLocation = #_sourceLocation, _ fits: (JSONValue) -> Bool
    ) throws -> JSONValue {
        var last = JSONValue.null
        for _ in 0..<300 {
            last = try reported(device, section)
            if fits(last) { return last }
            SystemTime().sleep(nanoseconds: 100_000_000)
        }
        return try #require(nil as JSONValue?, "no \(what) in \(last.compactText)", sourceLocation: sourceLocation)
    }

    @discardableResult
    func expect(
        _ device: String, phase: String, of attempt: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> JSONValue {
        try expect(device, "phase \(phase) of \(attempt)", sourceLocation: sourceLocation) {
            $0["phase"]?.text == phase && $0["attempt"]?.text == attempt
        }
    }
}

/// `kedged run --agent iothub` on a gateway.
final class HubProcess: KedgedProcess {
    init(_ gateway: FieldGateway, environment: [String: String] = [:]) throws {
        try super.init(gateway, ["run", "--agent", "iothub"], input: FileHandle.nullDevice, environment: environment)
    }

    /// Waits for a line on standard error that has `text`, at most 40 s.
    func expectError(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        for _ in 0..<400 {
            if try errors().contains(text) { return }
            SystemTime().sleep(nanoseconds: 100_000_000)
        }
        let said = try errors()
        #expect(Bool(false), "no \(text) in \(said)", sourceLocation: sourceLocation)
    }

    /// Stops it as the service manager does; the exit status.
    @discardableResult
    func stop() -> Int32 {
        if process.isRunning { kill(process.processIdentifier, SIGTERM) }
        return end()
    }
}

extension FieldGateway {
    /// Adds `[azure]` for an identity of a hub; the hub is found at its address, as an edge hub is.
    func follow(_ hub: FieldHub, _ device: String, _ more: String = "", host: String? = nil) throws {
        let file = directory("\(device).connection")
        let text =
            "HostName=\(FieldHub.host);DeviceId=\(device);SharedAccessKey=\(FieldHub.key);"
            + "GatewayHostName=\(host ?? hub.address)\n"
        try FileSystem.replace(file, with: Array(text.utf8), mode: 0o600)
        try configure {
            $0 + "\n[azure]\nconnection-string = \(file)\nca = \(hub.authority)\nstatus = \(directory("hub.json"))\n"
                + more
        }
    }

    /// How `kedged` says its connection goes.
    func hubStatus() throws -> JSONValue {
        try JSONValue.parse(try FileSystem.read(directory("hub.json"), limit: 65536), limit: 65536)
    }
}
