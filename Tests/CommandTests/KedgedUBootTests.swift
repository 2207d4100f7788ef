import Foundation
import Platform
import StrictJSON
import Testing

@Suite("kedged: with the environment of U-Boot", Needs.partitioner, Needs.environmentTools)
struct KedgedUBootTests {
    private let gateway: FieldGateway

    /// A gateway whose record is in a U-Boot environment, and fw_env.config for libubootenv's tools.
    init() throws {
        gateway = try FieldGateway(boot: "uboot")
        let text = String(decoding: try FileSystem.read(gateway.configuration, limit: 1 << 20), as: UTF8.self)
        let lines = text.split(separator: "\n").filter { $0.hasPrefix("environment") }.map { line in
            let words = line.split(separator: " ")
            return
                "\(words[2]) 0x\(String(UInt64(words[3]) ?? 0, radix: 16)) 0x\(String(UInt64(words[4]) ?? 0, radix: 16))"
        }
        try #require(lines.count == 2)
        try FileSystem.replace(
            gateway.directory("fw_env.config"), with: Array((lines.joined(separator: "\n") + "\n").utf8))
    }

    private func variable(_ name: String) throws -> String {
        let outcome = try ChildProcess.run(
            ["fw_printenv", "-c", gateway.directory("fw_env.config"), "-n", name], milliseconds: 60_000)
        try #require(outcome.succeeded, "\(outcome.output)")
        return outcome.output.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// What the boot script saves before it starts a kernel, with the tools that U-Boot's own users have.
    private func script(_ variables: [(String, String)]) throws {
        let text = variables.map { "\($0)=\($1)\n" }.joined()
        try FileSystem.replace(gateway.directory("script"), with: Array(text.utf8))
        let outcome = try ChildProcess.run(
            ["fw_setenv", "-c", gateway.directory("fw_env.config"), "-s", gateway.directory("script")],
            milliseconds: 60_000)
        try #require(outcome.succeeded, "\(outcome.output)")
    }

    private func started(_ slot: String) throws {
        try FileSystem.replace(
            gateway.path + "/run/cmdline", with: Array("kedge.slot=\(slot) kedge.boot=\(UUID().uuidString)\n".utf8))
    }

    @Test("After an install fw_printenv shows what the boot script will decide by")
    func armed() throws {
        try script([("board", "eg-4"), ("bootdelay", "2")])
        #expect(try variable("kedge_active") == "a")
        try gateway.works("install", gateway.build(), "--attempt", "x-1")
        #expect(try variable("kedge_active") == "b")
        #expect(try variable("kedge_phase") == "trial")
        #expect(try variable("kedge_tries") == "3")
        #expect(try variable("kedge_user_boots") == "0")
        #expect(try variable("kedge_b_state") == "trial")
        #expect(try variable("kedge_a_state") == "good")
        #expect(try variable("kedge_attempt") == "x-1")
        // The board's own variables stay.
        #expect(try variable("board") == "eg-4" && variable("bootdelay") == "2")
    }

    @Test("A try that the boot script counted down is a trial, and its confirmation is what the script reads next")
    func confirmed() throws {
        try gateway.works("install", gateway.build())
        try script([("kedge_tries", "2")])
        try started("b")
        let trial = try gateway.status()
        #expect(trial["phase"]?.text == "trial" && trial["triesLeft"]?.number == 2)
        try gateway.works("run", "--once")
        #expect(try variable("kedge_phase") == "confirmed")
        #expect(try variable("kedge_active") == "b")
        #expect(try variable("kedge_b_state") == "good")
        #expect(try variable("kedge_accepted") == "12")
        #expect(try gateway.status()["phase"]?.text == "confirmed")
    }

    static let fallbacks: [(reason: String, userBoots: String)] = [("boot-failed", "0"), ("not-confirmed", "1")]

    @Test("A fallback that the boot script wrote is understood and told with its reason", arguments: fallbacks)
    func fellBack(reason: String, userBoots: String) throws {
        try gateway.works("install", gateway.build(), "--attempt", "x-1")
        for left in ["2", "1", "0"] { try script([("kedge_tries", left)]) }
        try script([
            ("kedge_active", "a"), ("kedge_phase", "fell-back"), ("kedge_reason", reason), ("kedge_b_state", "bad"),
            ("kedge_user_boots", userBoots),
        ])
        try started("a")
        try gateway.works("run", "--once")
        let status = try gateway.status()
        #expect(status["phase"]?.text == "rolledBack" && status["attempt"]?.text == "x-1")
        #expect(status["result"]?["reason"]?.text == reason)
        #expect(status["spare"]?["state"]?.text == "bad")
        // And the device takes the next release.
        try gateway.works(
            "install", gateway.build(FieldGateway.Release(id: "acme-edge-2.1.1", sequence: 13)))
        #expect(try variable("kedge_phase") == "trial")
    }

    @Test("A boot script that ignored the armed record is found out")
    func ignored() throws {
        try gateway.works("install", gateway.build())
        try started("a")
        try gateway.works("run", "--once")
        #expect(try gateway.status()["result"]?["reason"]?.text == "boot-failed")
        #expect(try variable("kedge_active") == "a")
    }

    @Test("A variable that somebody wrote wrongly is named, and nothing is installed")
    func wrongVariable() throws {
        try script([("kedge_phase", "flying")])
        let outcome = try gateway.kedged(["install", gateway.build()])
        outcome.expectFailure("boot.invalid", 8)
        #expect(outcome.errors.contains("kedge_phase"))
    }
}
