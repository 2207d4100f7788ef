import Foundation
import Platform
import StrictJSON
import Testing

/// The floor that a gateway keeps besides its boot record, by the commands that people run.
@Suite("kedged floor", Needs.partitioner)
struct KedgedFloorTests {
    private let gateway: FieldGateway

    init() throws { gateway = try FieldGateway() }

    private func floor() throws -> JSONValue {
        try JSONValue.parse(gateway.works("floor", "show", "--json").output, limit: 65536)
    }

    /// Builds, installs, boots and confirms a release.
    private func run(_ id: String, sequence: Int) throws {
        let release = FieldGateway.Release(
            id: id, sequence: sequence,
            images: [("rootfs", FieldGateway.image(megabytes: 2, seed: UInt8(sequence)))])
        try gateway.works("install", try gateway.build(release))
        try gateway.powerOn()
        try gateway.works("run", "--once")
    }

    @Test("A file store rises with the second confirmation, and keeps an old release out of a restored boot record")
    func file() throws {
        try gateway.configure { $0 + "[floor]\nstore = file\n" }
        let record = try FileSystem.read(gateway.path + "/boot-record.img", limit: 1 << 20)
        try run("acme-edge-2.1.0", sequence: 12)
        #expect(try floor()["store"]?["floor"]?.number == 0)
        try run("acme-edge-2.2.0", sequence: 13)
        #expect(try floor()["floor"]?.number == 3)
        #expect(try gateway.status()["floorStore"]?["floor"]?.number == 3)
        #expect(try gateway.data().contains("floor.0"))
        try FileSystem.replace(gateway.path + "/boot-record.img", with: record)
        #expect(try floor()["record"]?.number == 0)
        #expect(try floor()["floor"]?.number == 3)
    }

    @Test(
        "A TPM is set up once, rises with the second confirmation, and its absence is told and bricks nothing",
        .enabled(if: SoftwareTPM.isUsable, Comment(rawValue: SoftwareTPM.needs)))
    func tpm() throws {
        let tpm = try SoftwareTPM()
        try gateway.configure { $0 + "[floor]\nstore = tpm\ntcti = \(tpm.tcti)\n" }
        #expect(try floor()["store"]?["problem"]?["code"]?.text == "floor.missing")
        #expect(try gateway.works("floor", "init").output == "TPM counter 0x0184b347: floor 0\n")
        try run("acme-edge-2.1.0", sequence: 12)
        try run("acme-edge-2.2.0", sequence: 13)
        #expect(try floor()["store"]?["floor"]?.number == 3)
        tpm.stop()
        #expect(try gateway.status()["floorStore"]?["problem"]?["code"]?.text == "floor.unreachable")
        #expect(try gateway.works("status").output.contains("floor.unreachable"))
        try run("acme-edge-2.3.0", sequence: 14)
        try tpm.start()
        #expect(try floor()["store"]?["floor"]?.number == 3)
    }

    @Test("Setting up where there is no TPM to set up says so")
    func wrongStore() throws {
        try gateway.kedged(["floor", "init"]).expectFailure("usage", 2)
        try gateway.configure { $0 + "[floor]\nstore = tpm\ntcti = device:/dev/no-tpm\n" }
        try gateway.kedged(["floor", "init"]).expectFailure("floor.unreachable", 6)
        try gateway.kedged(["floor", "init", "--owner-password-file", "none"]).expectFailure("storage.not-found", 6)
        try gateway.configure { $0.replacing("store = tpm", with: "store = fuse") }
        try gateway.kedged(["status"]).expectFailure("config.invalid", 3)
    }
}
