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
    /// Whether the directory goes with this object.
    private let isPassing: Bool

    /// It did not say where it listens.
    public struct Failure: Error {
        public let output: String
    }

    /// `directory` keeps the hub's state for another start; `names` are further names of its certificate.
    public init(address: String, directory: String? = nil, names: [String] = []) throws {
        self.address = address
        isPassing = directory == nil
        self.directory =
            directory ?? FileManager.default.temporaryDirectory.path + "/kedge-hub-\(UUID().uuidString.prefix(8))"
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let program = URL(filePath: tests).deletingLastPathComponent().appending(path: "iothub-emulator").path
        process.executableURL = URL(filePath: "/bin/bash")
        // The shell closes its output, so that a hub that does not start (its address is taken) ends the wait for its lines.
        process.arguments =
            [
                "-c",
                """
                env --default-signal "$0" --directory "$1" --address "$2" --host-name hub.example.test --service-port 0 \
                --quiet "${@:3}" & exec >&-; read _; kill $!; wait $!
                """, program, self.directory, address,
            ] + names.flatMap { ["--name", $0] }
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
        if isPassing { try? FileManager.default.removeItem(atPath: directory) }
    }
}
