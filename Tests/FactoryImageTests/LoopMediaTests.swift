import BootControl
import FactoryImage
import Platform
import Testing

@Suite(
    "Gateways on loop devices", .serialized,
    Workbench.needsPartitioner,
    .enabled(if: Workbench.mayAttachLoops(), "needs the right to attach loop devices (root)"))
struct LoopMediaTests {
    private static func devices(of gateway: Gateway) throws -> [String] {
        let listed = try Workbench.run(["losetup", "--noheadings", "--output", "NAME", "--associated", gateway.disk])
        return listed.output.split(whereSeparator: { $0 == " " || $0.isNewline }).map(String.init)
    }

    @Test("Each slot of the disk is a block device of exactly its partition's bytes")
    func slotDevices() throws {
        let bench = try Workbench()
        let gateway = try bench.gateway(media: .loop)
        let kernel = try #require(gateway.slot("kernel", .b))
        guard case .device(let path) = kernel.medium, let place = kernel.backing else {
            Issue.record("kernel b is no device")
            return
        }
        let mark = [UInt8](repeating: 0xa5, count: 4096)
        do {
            let device = try Descriptor(open: path, [.read, .write])
            guard case .blockDevice = try device.kind() else {
                Issue.record("\(path) is no block device")
                return
            }
            #expect(try device.size() == place.size)
            try device.write(mark.rawBytes, at: 8192)
            try device.flush()
        }
        let disk = try Descriptor(open: place.path, [.read])
        let buffer = try AlignedBuffer(capacity: 4096)
        let count = try buffer.withMutableBytes { (bytes) throws(SystemError) -> Int in
            try disk.read(into: &bytes, at: place.offset + 8192)
        }
        #expect([UInt8](copying: buffer.bytes.extracting(0..<count)) == mark)
    }

    @Test("Devices that are gone are attached again under the same names")
    func attachAgain() throws {
        let bench = try Workbench()
        let gateway = try bench.gateway(media: .loop)
        for device in try Self.devices(of: gateway) {
            #expect(try Workbench.run(["losetup", "--detach", device]).succeeded)
        }
        #expect(try Self.devices(of: gateway) == [])
        try gateway.attachMedia()
        #expect(try Self.devices(of: gateway).count == 4)
        for slot in gateway.slots {
            guard case .device(let path) = slot.medium else { continue }
            #expect(try Descriptor(open: path, [.read]).size() == slot.backing?.size)
        }
    }

    @Test("Attaching again leaves the devices that are there as they are")
    func attachTwice() throws {
        let bench = try Workbench()
        let gateway = try bench.gateway(media: .loop)
        let before = try Self.devices(of: gateway)
        try gateway.attachMedia()
        #expect(try Self.devices(of: gateway) == before)
    }

    @Test("Destroying detaches all devices")
    func destroyDetaches() throws {
        let bench = try Workbench()
        let gateway = try bench.gateway(media: .loop)
        let devices = try Self.devices(of: gateway)
        #expect(devices.count == 4)
        try gateway.destroy()
        let all = try Workbench.run(["losetup", "--noheadings", "--output", "BACK-FILE"]).output
        #expect(!all.contains(gateway.directory))
    }

    @Test("Auto takes loop devices where they may be used")
    func auto() throws {
        let bench = try Workbench()
        #expect(try bench.gateway(media: .auto).description.media == .loop)
    }
}
