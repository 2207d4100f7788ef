import Foundation

/// A Python script of this directory that prints one line when it is ready and ends with its standard input.
public final class ScriptProcess: @unchecked Sendable {
    /// The words of the line.
    public let words: [String]
    private let input = Pipe()
    private let process = Process()

    /// It did not start.
    public struct Failure: Error {}

    private static let python = "/usr/bin/python3"
    public static let isAvailable = FileManager.default.isExecutableFile(atPath: python)

    /// `prefix` is a command that runs the script, `ip netns exec NAME` for example.
    public init(_ script: String, _ arguments: [String], prefix: [String] = []) throws {
        let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: script).path
        let command = prefix + [Self.python, "-B", path] + arguments
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = command
        process.environment = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"]
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        var line = ""
        while !line.hasSuffix("\n") {
            let data = output.fileHandleForReading.availableData
            if data.isEmpty { throw Failure() }
            line += String(decoding: data, as: UTF8.self)
        }
        words = line.split(whereSeparator: \.isWhitespace).map(String.init)
    }

    deinit {
        try? input.fileHandleForWriting.close()
        if process.isRunning { process.terminate() }
    }
}
