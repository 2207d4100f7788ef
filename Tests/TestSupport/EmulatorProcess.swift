import Foundation

/// The built emulator on an address of its own, with a directory of its own. It ends with this object, and also when
/// the tests crash.
public final class EmulatorProcess {
    public let address: String
    public let directory: String
    /// The connection string of a back end.
    public let owner: String
    private let process = Process()
    private let input = Pipe()

    /// It did not say where it listens.
    public struct Failure: Error {
        public let output: String
    }

    public init(address: String) throws {
        self.address = address
        directory = FileManager.default.temporaryDirectory.path + "/kedge-hub-\(UUID().uuidString.prefix(8))"
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let program = URL(filePath: tests).deletingLastPathComponent().appending(path: "iothub-emulator").path
        process.executableURL = URL(filePath: "/bin/bash")
        process.arguments = [
            "-c",
            """
            env --default-signal "$0" --directory "$1" --address "$2" --host-name hub.example.test --service-port 0 \
            --quiet & exec >&-; read _; kill $!; wait $!
            """, program, directory, address,
        ]
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        var text = ""
        while !text.contains("owner: ") || !text.hasSuffix("\n") {
            let data = output.fileHandleForReading.availableData
            if data.isEmpty { throw Failure(output: text) }
            text += String(decoding: data, as: UTF8.self)
        }
        let line = text.split(separator: "\n").first { $0.hasPrefix("owner: ") } ?? ""
        owner = String(line.dropFirst(7))
    }

    /// Ends it as a user does, and gives its exit status.
    public func stop() -> Int32 {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
        return process.terminationStatus
    }

    deinit {
        _ = stop()
        try? FileManager.default.removeItem(atPath: directory)
    }
}
