import BootControl
import Platform
import Testing

@Suite("The running slot set")
struct RunningSlotTests {
    @Test(
        "is what the last kedge.slot word says",
        arguments: [
            ("kedge.slot=a", .a), ("console=ttyS0 kedge.slot=b quiet\n", .b), ("kedge.slot=a kedge.slot=b", .b),
            ("kedge.slot=b kedge.slot=a", .a), ("\tkedge.slot=b", .b), ("\"kedge.slot=b\"", .b),
            ("kedge.slot=\"b\"", .b), ("x=\"1 2\" kedge.slot=a", .a), ("init=/x -- kedge.slot=b", .b),
        ] as [(String, SlotSet)])
    func lastWord(_ line: String, _ slot: SlotSet) {
        #expect(RunningSlot(commandLine: line)?.slot == slot)
    }

    @Test(
        "is unknown without a right last word",
        arguments: [
            "", "quiet", "kedge.slot", "kedge.slot=", "kedge.slot=c", "kedge.slot=B", "kedge.slot=ab",
            "xkedge.slot=a", "kedge.slots=a", "kedge.slot=a kedge.slot=c", "x=\"kedge.slot=a", "x=\"1 kedge.slot=a 2\"",
        ])
    func unknown(_ line: String) {
        #expect(RunningSlot(commandLine: line) == nil)
    }

    @Test("comes with the boot's id when the boot loader gave one")
    func bootID() {
        #expect(RunningSlot(commandLine: "kedge.slot=a kedge.boot=17-x")?.bootID == "17-x")
        #expect(RunningSlot(commandLine: "kedge.slot=a kedge.boot=")?.bootID == nil)
        #expect(RunningSlot(commandLine: "kedge.boot=1 kedge.boot=2 kedge.slot=a")?.bootID == "2")
        #expect(RunningSlot(commandLine: "kedge.slot=a")?.bootID == nil)
    }

    @Test("is read from a file as the kernel shows it")
    func file() throws {
        let directory = try TemporaryDirectory()
        try Bytes.write(Array("root=/dev/sda2 kedge.slot=b\n".utf8), to: directory("cmdline"))
        #expect(try RunningSlot.read(directory("cmdline")) == RunningSlot(slot: .b))
    }

    @Test("that the command line does not name is an error with a remedy")
    func notNamed() throws {
        let directory = try TemporaryDirectory()
        let path = directory("cmdline")
        try Bytes.write(Array("root=/dev/sda2 quiet\n".utf8), to: path)
        let error = #expect(throws: BootError.self) { try RunningSlot.read(path) }
        #expect(error == .noRunningSlot(home: path))
        #expect(error?.code == "boot.no-running-slot")
        #expect(error?.remedy.contains("kedge.slot") == true)
    }

    @Test("can be looked for in the kernel's own file, whose length is given as 0")
    func kernel() throws {
        // The machine that runs the tests was hardly started by a Kedge boot script; both answers need the file read.
        do { _ = try RunningSlot.read() } catch { #expect(error == .noRunningSlot(home: "/proc/cmdline")) }
    }
}
