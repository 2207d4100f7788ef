import BootControl
import Foundation
import Platform
import StrictJSON
import Testing

@Suite("kedged: doctor", Needs.partitioner)
struct KedgedDoctorTests {
    private func findings(_ gateway: FieldGateway, _ more: String..., status: Int32) throws -> [String] {
        let outcome = try gateway.kedged(["doctor", "--json"] + more)
        #expect(outcome.status == status, "\(outcome.output) \(outcome.errors)")
        let json = try JSONValue.parse(outcome.output, limit: 1 << 20)
        #expect(json["ok"] == .bool(status == 0))
        return json["findings"]?.elements?.compactMap { $0["code"]?.text } ?? []
    }

    @Test("A gateway as it left the factory has warnings only, and the exit status is 0")
    func factory() throws {
        let gateway = try FieldGateway(boot: "uboot")
        let found = try findings(gateway, status: 0)
        #expect(found.contains("doctor.no-fallback") && found.contains("doctor.panic-stays"))
        #expect(!found.contains("doctor.single-copy"))
        let text = try gateway.works("doctor").output
        #expect(text.contains("warning doctor.no-fallback: slot set b is empty"))
    }

    @Test("One damaged copy of the environment is told, and repaired on request")
    func singleCopy() throws {
        let gateway = try FieldGateway(boot: "uboot")
        let words = try #require(
            String(decoding: FileSystem.read(gateway.configuration, limit: 1 << 20), as: UTF8.self)
                .split(separator: "\n").first { $0.hasPrefix("environment1") }
        ).split(separator: " ")
        let offset = try #require(UInt64(words[3]))
        try Descriptor(open: String(words[2]), [.write]).write([0xff, 0xff, 0xff].rawBytes, at: offset + 100)
        #expect(try findings(gateway, status: 8).contains("doctor.single-copy"))
        #expect(try !findings(gateway, "--repair", status: 0).contains("doctor.single-copy"))
        #expect(try !findings(gateway, status: 0).contains("doctor.single-copy"))
    }

    @Test("A wrong size of the environment is told with the right one")
    func wrongSize() throws {
        let gateway = try FieldGateway(boot: "uboot")
        try gateway.configure { $0.replacingOccurrences(of: " 16384\n", with: " 32768\n") }
        let outcome = try gateway.kedged(["doctor"])
        #expect(outcome.status == 8)
        #expect(outcome.output.contains("doctor.wrong-size") && outcome.output.contains("16384 bytes"))
    }

    @Test("A command line without the slot set, a slot that is not there and another slot set than selected are told")
    func others() throws {
        let gateway = try FieldGateway()
        try gateway.configure { $0.replacingOccurrences(of: "/flash.img", with: "/gone.img") }
        try FileSystem.replace(gateway.path + "/run/cmdline", with: Array("panic=5\n".utf8))
        let found = try findings(gateway, status: 8)
        #expect(found.contains("boot.no-running-slot") && found.contains("slot.unusable"))
        #expect(!found.contains("doctor.panic-stays"))
        try FileSystem.replace(gateway.path + "/run/cmdline", with: Array("kedge.slot=b\n".utf8))
        #expect(try findings(gateway, status: 8).contains("doctor.other-slot"))
    }
}
