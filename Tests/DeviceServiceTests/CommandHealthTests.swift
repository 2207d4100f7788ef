import BootControl
import Foundation
import Platform
import Testing
import UpdateEngine

@testable import DeviceService

@Suite("The health command and the reboot command")
struct CommandHealthTests {
    private let directory: ServiceDirectory

    init() throws { directory = try ServiceDirectory() }

    /// The failure of a shell script as health command; nil when it is healthy.
    private func check(_ script: String, configured: UInt32? = nil, deadline: UInt32 = 60) throws -> Failure? {
        try FileSystem.replace(directory("check"), with: Array("#!/bin/sh\n\(script)\n".utf8), mode: 0o755)
        return check([directory("check")], configured: configured, deadline: deadline)
    }

    private func check(_ command: [String], configured: UInt32? = nil, deadline: UInt32 = 60) -> Failure? {
        do throws(Failure) {
            try CommandHealth(command, deadline: configured).run(
                slot: .b, release: "acme 2.1", attempt: "x-1", deadline: deadline)
            return nil
        } catch {
            return error
        }
    }

    @Test("Exit status 0 is healthy, whatever was printed")
    func healthy() throws { #expect(try check("echo all broken; exit 0") == nil) }

    @Test("Without a command every release is healthy")
    func none() { #expect(check([]) == nil) }

    @Test("Any other exit status is not healthy, and status and last line are the reason", arguments: [1, 2, 127, 255])
    func status(_ status: Int) throws {
        let failure = try check("echo first; echo modbus does not answer >&2; echo; exit \(status)")
        #expect(failure?.code == "health.failed" && failure?.category == .health)
        #expect(failure?.context == "the health check failed: exit status \(status); modbus does not answer")
    }

    @Test("A check that prints nothing says so")
    func silent() throws {
        #expect(try check("exit 3")?.context.hasSuffix("exit status 3; it printed nothing") == true)
    }

    @Test("The reason has no controls and at most 240 bytes of the last line")
    func longLine() throws {
        let failure = try check("printf 'x\\033[31m%0300d\\n' 7; exit 1")
        let reason = try #require(failure?.context)
        #expect(!reason.utf8.contains { $0 < 0x20 || $0 == 0x7f })
        #expect(reason.contains("x[31m000"))
        #expect(reason.utf8.count <= 240 + "the health check failed: exit status 1; ".utf8.count)
    }

    @Test("A check that is killed is not healthy")
    func killed() throws { #expect(try check("kill -SEGV $$")?.context.contains("signal 11") == true) }

    @Test("A command that is not there is not healthy")
    func missing() { #expect(check([directory("none")])?.code == "health.failed") }

    @Test("The slot, the release and the attempt are in its environment, and nothing of ours is")
    func environment() throws {
        _ = try check("env | sort > \(directory("seen"))")
        let lines = String(decoding: try FileSystem.read(directory("seen"), limit: 65536), as: UTF8.self)
            .split(separator: "\n").filter { !$0.hasPrefix("PWD=") && !$0.hasPrefix("_=") && !$0.hasPrefix("SHLVL=") }
        #expect(lines.map { $0.prefix { $0 != "=" } } == ["KEDGE_ATTEMPT", "KEDGE_RELEASE", "KEDGE_SLOT", "PATH"])
        #expect(lines.prefix(3) == ["KEDGE_ATTEMPT=x-1", "KEDGE_RELEASE=acme 2.1", "KEDGE_SLOT=b"])
    }

    @Test("At the deadline the whole process group is killed, and what was printed is told")
    func deadline() throws {
        let script = "sleep 1000 & echo $! > \(directory("pid")); echo waiting for modbus; wait"
        let failure = try check(script, deadline: 1)
        #expect(failure?.code == "health.failed")
        #expect(failure?.context.hasSuffix("no answer in 1 s; waiting for modbus") == true)
        let text = String(decoding: try FileSystem.read(directory("pid"), limit: 100), as: UTF8.self)
        let grandchild = try #require(Int32(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        for _ in 0..<2000 where runs(grandchild) { SystemTime().sleep(nanoseconds: 5_000_000) }
        #expect(!runs(grandchild))
    }

    /// Whether a process is there and more than a zombie (proc(5), stat: the state stands behind the name).
    private func runs(_ process: Int32) -> Bool {
        guard let bytes = try? FileSystem.read("/proc/\(process)/stat", limit: 4096),
            let state = String(decoding: bytes, as: UTF8.self).split(separator: ")").last?.split(separator: " ").first
        else { return false }
        return state != "Z" && state != "X"
    }

    @Test("Of the device's deadline and the release's the shorter one counts", arguments: [(1, 60), (60, 1)])
    func shorterDeadline(configured: UInt32, release: UInt32) throws {
        #expect(try check("sleep 1000", configured: configured, deadline: release)?.context.contains("in 1 s") == true)
    }

    @Test("The reboot command runs with its words, and started means the machine goes down")
    func reboot() throws {
        try FileSystem.replace(
            directory("reboot"), with: Array("#!/bin/sh\necho \"$#:$1:$2\" > \(directory("done"))\n".utf8), mode: 0o755)
        #expect(try CommandPower([directory("reboot"), "now", "$HOME"]).reboot() == .started)
        #expect(String(decoding: try FileSystem.read(directory("done"), limit: 100), as: UTF8.self) == "2:now:$HOME\n")
    }

    @Test("Without a reboot command somebody else reboots")
    func byHand() throws { #expect(try CommandPower(nil).reboot() == .byHand) }

    @Test("A reboot command that fails or is not there is an error of the boot", arguments: [true, false])
    func rebootFails(present: Bool) throws {
        if present {
            try FileSystem.replace(directory("reboot"), with: Array("#!/bin/sh\necho no; exit 4\n".utf8), mode: 0o755)
        }
        let failure = #expect(throws: Failure.self) { try CommandPower([directory("reboot")]).reboot() }
        #expect(failure?.code == "engine.reboot" && failure?.category == .boot)
        if present { #expect(failure?.context.contains("exit status 4; no") == true) }
    }
}
