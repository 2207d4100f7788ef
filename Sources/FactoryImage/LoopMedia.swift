internal import Platform

/// Block devices for the slots of a disk image, through the kernel's loop driver. Each has only its slot's bytes
/// (offset and size limit), so the kernel's missing partition parser does not matter, and direct I/O keeps the page
/// cache of the image file out of the way.
enum LoopMedia {
    /// One attached device.
    struct Device: Equatable {
        let path: String
        let offset: UInt64
    }

    /// Whether this process may attach loop devices, found by attaching one to a file in `directory`.
    static func probe(in directory: String) -> GatewayError? {
        let path = directory + "/loop.probe"
        do {
            do {
                let file = try Descriptor(open: path, [.write, .create])
                try file.truncate(to: GatewayLayout.alignment)
            }
            let device = try attach(path, offset: 0, size: GatewayLayout.alignment)
            try Tool.run(["losetup", "--detach", device])
            try FileSystem.remove(path)
            return nil
        } catch {
            try? FileSystem.remove(path)
            return .loop(why: (error as? any StableError)?.context ?? "\(error)")
        }
    }

    /// Attaches one device and returns its path.
    static func attach(_ file: String, offset: UInt64, size: UInt64) throws(GatewayError) -> String {
        let output = try Tool.run([
            "losetup", "--find", "--show", "--direct-io=on", "--offset", "\(offset)", "--sizelimit", "\(size)", file,
        ])
        let lines = output.split(whereSeparator: \.isNewline)
        guard let path = lines.last(where: { $0.hasPrefix("/dev/") }) else {
            throw .loop(why: "losetup printed no device: \(output)")
        }
        return String(path)
    }

    /// The devices that are attached to a file.
    static func attached(to file: String) throws(GatewayError) -> [Device] {
        let output = try Tool.run(["losetup", "--noheadings", "--raw", "--output", "NAME,OFFSET", "--associated", file])
        var devices: [Device] = []
        for line in output.split(whereSeparator: \.isNewline) {
            let words = line.split(separator: " ")
            guard words.count == 2, words[0].hasPrefix("/dev/"), let offset = UInt64(words[1]) else { continue }
            devices.append(Device(path: String(words[0]), offset: offset))
        }
        return devices
    }
}

extension Gateway {
    /// Attaches the loop devices that are missing and points the names under `dev` at them. Nothing for a gateway of
    /// plain files.
    public func attachMedia() throws(GatewayError) {
        guard description.media == .loop else { return }
        let present = try LoopMedia.attached(to: disk)
        for slot in slots {
            guard case .device(let link) = slot.medium, let place = slot.backing else { continue }
            let device: String
            if let known = present.first(where: { $0.offset == place.offset }) {
                device = known.path
            } else {
                device = try LoopMedia.attach(disk, offset: place.offset, size: place.size)
            }
            try asGateway { () throws(SystemError) in
                if try FileSystem.linkTarget(of: link) != device {
                    try FileSystem.replaceLink(link, target: device)
                }
            }
        }
    }

    /// Detaches all loop devices of this gateway's disk.
    func detachMedia() throws(GatewayError) {
        guard description.media == .loop else { return }
        for device in try LoopMedia.attached(to: disk) { try Tool.run(["losetup", "--detach", device.path]) }
    }
}
