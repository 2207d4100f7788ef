import Foundation
import Platform

/// A program of this package, run as its users run it: the built binary, with nothing in its environment but PATH
/// and what the test gives.
struct BuiltCommand {
    /// What came out of a run.
    struct Outcome {
        /// Exit status, or the signal's number when `signaled`.
        let status: Int32
        let signaled: Bool
        let output: String
        let errors: String
    }

    let path: String
    private let prefix: [String]

    /// `prefix` is a program that starts the command, such as `setsid --wait`.
    init(_ name: String, startedBy prefix: [String] = []) throws {
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        // The same tests run with a kedged that was built in another way (KEDGE_KEDGED: tools/test gives the Embedded one).
        let other = name == "kedged" ? ProcessInfo.processInfo.environment["KEDGE_KEDGED"] : nil
        path = other ?? URL(filePath: tests).deletingLastPathComponent().appending(path: name).path
        self.prefix = prefix
    }

    /// Runs to the end. `meanwhile` is called every few milliseconds with the running process and what it has
    /// written to standard error, until it returns true.
    func run(
        _ arguments: [String], in directory: String, environment: [String: String] = [:],
        meanwhile: (Process, String) throws -> Bool = { _, _ in true }
    ) throws -> Outcome {
        try run(program: prefix + [path] + arguments, in: directory, environment: environment, meanwhile: meanwhile)
    }

    /// Runs any program line in the same way.
    func run(
        program: [String], in directory: String, environment: [String: String] = [:],
        meanwhile: (Process, String) throws -> Bool = { _, _ in true }
    ) throws -> Outcome {
        let scratch = try CommandDirectory()
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        // Tests run on threads that block signals, and a child would inherit that; a user's shell does not.
        process.arguments = ["--default-signal"] + program
        process.currentDirectoryURL = URL(filePath: directory)
        process.environment = environment.merging(["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"]) { given, _ in given }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try sink(scratch("output"))
        process.standardError = try sink(scratch("errors"))
        try process.run()
        while process.isRunning {
            if try meanwhile(process, text(scratch("errors"))) { break }
            SystemTime().sleep(nanoseconds: 5_000_000)
        }
        process.waitUntilExit()
        return Outcome(
            status: process.terminationStatus, signaled: process.terminationReason == .uncaughtSignal,
            output: try text(scratch("output")), errors: try text(scratch("errors")))
    }

    private func sink(_ path: String) throws -> FileHandle {
        try Data().write(to: URL(filePath: path))
        return try FileHandle(forWritingTo: URL(filePath: path))
    }

    private func text(_ path: String) throws -> String {
        String(decoding: try FileSystem.read(path, limit: 1 << 24), as: UTF8.self)
    }
}

/// A fresh directory that goes away with its owner.
final class CommandDirectory {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/kedge-commands-\(UUID().uuidString)"
        try FileSystem.makeDirectories(path)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }
    func bytes(_ name: String) throws -> [UInt8] { try FileSystem.read(self(name), limit: 1 << 26) }
    var names: [String] { get throws { try FileSystem.list(path) } }
}
