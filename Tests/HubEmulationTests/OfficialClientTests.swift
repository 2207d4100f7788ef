import Foundation
import TestSupport
import Testing

@Suite("Microsoft's own clients on the emulator")
struct OfficialClientTests {
    /// The Python with azure-iot-device and azure-iot-hub; `tools/azure-clients` makes it.
    private static let python = ProcessInfo.processInfo.environment["KEDGE_AZURE_PYTHON"] ?? ""

    @Test(
        "They register, connect, prove who they are, read and change twins, call methods, are provisioned and roll out",
        .enabled(if: !python.isEmpty, "needs Microsoft's clients for Python (tools/azure-clients)"),
        .timeLimit(.minutes(5)))
    func all() throws {
        let emulator = try EmulatorProcess(address: "127.88.0.1")
        let script = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "official-clients.py").path
        let process = Process()
        process.executableURL = URL(filePath: Self.python)
        process.arguments = ["-B", script, emulator.directory, emulator.address, emulator.owner]
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        let lines = text.split(separator: "\n")
        let bad = lines.filter { !$0.hasPrefix("ok ") }
        #expect(bad.isEmpty, "\(bad.joined(separator: "\n"))")
        #expect(lines.count == 31)
        #expect(process.terminationStatus == 0)
    }
}
