import Foundation
import Platform

/// swtpm with its state in a directory of its own, on a Unix socket. (The tests of whole commands have a link to this
/// file.)
final class SoftwareTPM {
    private let directory: String
    private var process: Process?
    private var input: Pipe?

    private static let program = "/usr/bin/swtpm"
    /// Whether swtpm and tpm2-tss with its TCTI for it are here.
    static let isUsable =
        FileManager.default.isExecutableFile(atPath: program)
        && ["x86_64-linux-gnu", "aarch64-linux-gnu"].contains {
            FileManager.default.fileExists(atPath: "/usr/lib/\($0)/libtss2-esys.so.0")
                && FileManager.default.fileExists(atPath: "/usr/lib/\($0)/libtss2-tcti-swtpm.so.0")
        }
    static let needs = "needs swtpm and tpm2-tss (apt: swtpm libtss2-dev libtss2-tcti-swtpm0)"

    var tcti: String { "swtpm:path=\(directory)/socket" }

    init() throws {
        // Short, because a socket's path has at most 107 bytes.
        directory = FileManager.default.temporaryDirectory.path + "/kedge-tpm-\(UUID().uuidString.prefix(8))"
        try FileSystem.makeDirectories(directory, mode: 0o700)
        try start()
    }

    deinit {
        stop()
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// Power on, with the state that it had.
    func start() throws {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/bash")
        // The shell ends swtpm when its input ends, and that also happens when the tests crash.
        process.arguments = [
            "-c",
            """
            "$0" socket --tpm2 --tpmstate dir="$1" --server type=unixio,path="$1/socket" \
            --ctrl type=unixio,path="$1/socket.ctrl" --flags not-need-init,startup-clear & read _; kill -9 $!; wait $!
            """, Self.program, directory,
        ]
        let input = Pipe()
        process.standardInput = input
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        self.process = process
        self.input = input
        for _ in 0..<500 where !FileManager.default.fileExists(atPath: directory + "/socket.ctrl") { usleep(10_000) }
    }

    /// Power off without a word to the TPM.
    func stop() {
        try? input?.fileHandleForWriting.close()
        process?.waitUntilExit()
        process = nil
        for name in ["socket", "socket.ctrl"] { try? FileSystem.remove("\(directory)/\(name)") }
    }

    /// Runs one of tpm2-tools on it.
    func tool(_ words: [String]) throws -> ChildProcess.Outcome {
        try ChildProcess.run(words + ["-T", tcti], milliseconds: 60_000)
    }
    static let hasTools = FileManager.default.isExecutableFile(atPath: "/usr/bin/tpm2_nvdefine")
}
