import Platform
import Testing

@Suite("Child processes")
struct ChildProcessTests {
    private func shell(_ script: String, milliseconds: UInt64 = 60_000) throws -> ChildProcess.Outcome {
        try ChildProcess.run(["sh", "-c", script], milliseconds: milliseconds)
    }

    @Test("Status and output come back, standard error with it", arguments: [0, 1, 42, 255])
    func status(_ status: Int32) throws {
        let outcome = try shell("echo out; echo err >&2; exit \(status)")
        #expect(outcome.status == status)
        #expect(outcome.output == "out\nerr\n")
        #expect(outcome.succeeded == (status == 0))
    }

    @Test("A signal is told apart from a status")
    func signal() throws {
        let outcome = try shell("kill -TERM $$")
        #expect(outcome.status == nil && outcome.signal == 15 && !outcome.timedOut && !outcome.succeeded)
    }

    @Test("A program that is not there is an error and not an outcome")
    func missing() {
        let error = #expect(throws: SystemError.self) {
            try ChildProcess.run(["kedge-no-such-program"], milliseconds: 60_000)
        }
        #expect(error?.number == SystemError.notFound)
        #expect(throws: SystemError.self) { try ChildProcess.run([], milliseconds: 60_000) }
    }

    @Test("Arguments reach the program as they are, without a shell")
    func arguments() throws {
        let outcome = try ChildProcess.run(
            ["printf", "%s|", "a b", "$HOME", "*", "", "é"], milliseconds: 60_000)
        #expect(outcome.output == "a b|$HOME|*||é|")
    }

    @Test("The environment is PATH and what was given, and nothing of ours")
    func environment() throws {
        let outcome = try ChildProcess.run(
            ["env"], environment: [(name: "KEDGE_SLOT", value: "a b")], milliseconds: 60_000)
        let names = outcome.output.split(separator: "\n").map { $0.prefix { $0 != "=" } }.sorted()
        #expect(names == ["KEDGE_SLOT", "PATH"])
        #expect(outcome.output.contains("KEDGE_SLOT=a b\n"))
    }

    @Test("Standard input is empty")
    func input() throws {
        #expect(try shell("cat; echo end").output == "end\n")
    }

    @Test("Of long output the last 4096 bytes are kept, and the program is not held up")
    func longOutput() throws {
        let outcome = try shell("head -c 1000000 /dev/zero | tr '\\0' x; echo the end")
        #expect(outcome.succeeded)
        #expect(outcome.output.utf8.count == 4096)
        #expect(outcome.output.hasSuffix("xxx" + "the end\n"))
    }

    @Test("At the deadline the program and what it started are killed")
    func deadline() throws {
        let outcome = try shell("sleep 1000 & echo $!; wait", milliseconds: 500)
        #expect(outcome.timedOut && outcome.status == nil && !outcome.succeeded)
        let grandchild = try #require(Int32(outcome.output.filter { $0.isNumber }))
        // SIGKILL was sent, and the kernel needs a moment. Who inherits the process may leave it unreaped.
        var alive = true
        for _ in 0..<10_000 where alive {
            let status = try? FileSystem.read("/proc/\(grandchild)/stat", limit: 4096)
            let state = status.map { String(decoding: $0, as: UTF8.self) }?.split(separator: ") ").last?.first
            alive = state != nil && state != "Z" && state != "X"
            if alive { SystemTime().sleep(nanoseconds: 1_000_000) }
        }
        #expect(!alive)
    }

    @Test("A program that leaves something running in the background is not waited for beyond its own end")
    func background() throws {
        let outcome = try shell("sleep 5 & echo started")
        #expect(outcome.succeeded && !outcome.timedOut)
        #expect(outcome.output == "started\n")
    }

    @Test("The longest deadline is no deadline")
    func noDeadline() throws {
        #expect(try shell("exit 0", milliseconds: .max).succeeded)
    }
}
