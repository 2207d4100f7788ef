import Foundation
import Platform

/// A `kedged` that runs while a test goes on, with what it says in files. It ends with this object.
class KedgedProcess {
    let process = Process()
    let directory: CommandDirectory

    init(
        _ gateway: FieldGateway, _ words: [String], input: Any, environment: [String: String] = [:]
    ) throws {
        directory = try CommandDirectory()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["--default-signal", gateway.kedged.path, "--config", gateway.configuration] + words
        process.environment = environment.merging(["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"]) { given, _ in given }
        process.standardInput = input
        for name in ["output", "errors"] { try FileSystem.replace(directory(name), with: []) }
        process.standardOutput = try FileHandle(forWritingTo: URL(filePath: directory("output")))
        process.standardError = try FileHandle(forWritingTo: URL(filePath: directory("errors")))
        try process.run()
    }

    deinit {
        if process.isRunning {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
    }

    func errors() throws -> String { String(decoding: try directory.bytes("errors"), as: UTF8.self) }

    /// Waits for its end; the exit status, or -1 after a signal.
    func end() -> Int32 {
        process.waitUntilExit()
        return process.terminationReason == .exit ? process.terminationStatus : -1
    }
}
