import Foundation
import Platform
import StrictJSON
import TestSupport
import Testing

@Suite("kedged: firmware by UEFI capsule, with directories as the machine's firmware", Needs.partitioner)
struct KedgedCapsuleTests {
    private let gateway: FieldGateway
    private let firmware: CapsuleFirmware

    init() throws {
        gateway = try FieldGateway()
        firmware = try CapsuleFirmware(in: gateway.directory.path, version: 0x10000)
        let (system, variables, table) = (firmware.system, firmware.variables, firmware.table)
        let directory = gateway.directory.path
        try gateway.configure { text in
            var sections = text.components(separatedBy: "\n[").filter { !$0.hasPrefix("slot bios") }
            for set in ["a", "b"] {
                sections.append(
                    "slot bios \(set)]\ntype = capsule\npath = \(directory)/bios-\(set).cap\nesp = \(system)\n")
            }
            return sections.joined(separator: "\n[").replacingOccurrences(
                of: "[boot]\n", with: "[boot]\nefivars = \(variables)\nesrt = \(table)\n")
        }
    }

    private func install(_ capsule: [UInt8], attempt: String = "x-1") throws -> BuiltCommand.Outcome {
        let bundle = try gateway.build(
            FieldGateway.Release(images: [("rootfs", FieldGateway.image(megabytes: 2)), ("bios", capsule)]))
        return try gateway.kedged(["install", bundle, "--attempt", attempt])
    }

    @Test("A release brings firmware, which the machine installs at the start of the trial, and is confirmed with it")
    func confirmed() throws {
        let capsule = CapsuleFirmware.capsule(version: 0x20000, payload: 1_300_000)
        let installed = try install(capsule)
        try #require(installed.status == 0, "\(installed.errors)")
        #expect(try firmware.staged("kedge-bios.cap") == capsule)
        #expect(firmware.indications == 4)
        try firmware.start(installs: 0x20000)
        try gateway.powerOn()
        let trial = try gateway.works("run", "--once")
        #expect(trial.errors.contains("confirmed: acme-edge-2.1.0"))
        #expect(try firmware.waiting() == [])
    }

    @Test("Firmware that refuses its capsule takes the whole release back, with the reason of its own table")
    func refused() throws {
        let installed = try install(CapsuleFirmware.capsule(version: 0x20000))
        try #require(installed.status == 0, "\(installed.errors)")
        try firmware.start(installs: 0x20000, status: 5)
        try gateway.powerOn()
        let trial = try gateway.kedged(["run", "--once"])
        trial.expectFailure("health.failed", 11)
        #expect(trial.errors.contains("it refused version 0x00020000; its status is 5, authentication error"))
        try gateway.powerOn()
        let status = try gateway.status()
        #expect(status["phase"]?.text == "rolledBack" && status["running"]?["slot"]?.text == "a")
        #expect(status["result"]?["reason"]?.text == "health-failed")
    }

    @Test("A capsule for another machine ends the attempt before it is armed")
    func foreign() throws {
        let other = CapsuleFirmware.capsule(version: 0x20000, for: "00000000-1111-2222-3333-444444444444")
        try install(other).expectFailure("boot.capsule", 8)
        #expect(try gateway.status()["phase"]?.text != "armed")
        #expect(try firmware.waiting() == [] && firmware.indications == 0)
    }

    @Test("Without an EFI system partition nothing is written, and doctor says so too")
    func noPartition() throws {
        try FileManager.default.removeItem(atPath: firmware.system)
        let before = try gateway.everything()
        try install(CapsuleFirmware.capsule(version: 0x20000)).expectFailure("slot.unusable", 6)
        #expect(try gateway.everything() == before)
        let doctor = try gateway.kedged(["doctor"])
        #expect(doctor.status == 8 && doctor.output.contains("error doctor.no-system-partition"))
    }
}
