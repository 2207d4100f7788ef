public import BootControl
internal import Platform

/// Where one component of slot set A or B lives on a gateway.
public struct GatewaySlot: Equatable, Sendable {
    /// What holds the bytes.
    public enum Medium: Equatable, Sendable {
        /// A whole block device.
        case device(path: String)
        /// A region of a file.
        case region(path: String, offset: UInt64, size: UInt64)
        /// A bank of a SPI flash.
        case bank(path: String, offset: UInt64, size: UInt64, erase: UInt64)
        /// A container store.
        case store(path: String)
    }

    /// Bytes in one of the gateway's own files.
    public struct Place: Equatable, Sendable {
        public let path: String
        public let offset: UInt64
        public let size: UInt64

        public init(path: String, offset: UInt64, size: UInt64) {
            self.path = path
            self.offset = offset
            self.size = size
        }
    }

    /// The target that components name: rootfs, kernel, bios or containers.
    public let name: String
    public let set: SlotSet
    public let medium: Medium
    /// Where its bytes are in the gateway's own files, whatever `kedged` reaches them by; nil for the store.
    public let backing: Place?

    /// For example `rootfs a`.
    public var displayName: String { "\(name) \(set.letter)" }

    /// Whether the first 64 KiB hold nothing: all zero on the disk, all FFh on the flash. That tells a slot never
    /// written from one with a kernel or file system, which all have a header there.
    public func isBlank() throws(GatewayError) -> Bool {
        guard let backing else { return false }
        let erased: UInt8 = if case .bank = medium { 0xff } else { 0 }
        return try asGateway { () throws(SystemError) in
            let file = try Descriptor(open: backing.path, [.read])
            let buffer = try AlignedBuffer(capacity: Int(min(64 << 10, backing.size)))
            let count = try buffer.withMutableBytes { (bytes) throws(SystemError) -> Int in
                try file.read(into: &bytes, at: backing.offset)
            }
            return [UInt8](copying: buffer.bytes.extracting(0..<count)).allSatisfy { $0 == erased }
        }
    }
}

extension Gateway {
    /// All slots, in the order of device.ini: rootfs, kernel, bios, containers, each a then b.
    public var slots: [GatewaySlot] {
        var slots: [GatewaySlot] = []
        for name in ["rootfs", "kernel"] {
            for set in SlotSet.allCases {
                guard let region = description.layout.partition("\(name)-\(set.letter)") else { continue }
                let medium: GatewaySlot.Medium =
                    switch description.media {
                    case .loop: .device(path: loopLink(region.name))
                    case .file: .region(path: disk, offset: region.offset, size: region.size)
                    }
                let place = GatewaySlot.Place(path: disk, offset: region.offset, size: region.size)
                slots.append(GatewaySlot(name: name, set: set, medium: medium, backing: place))
            }
        }
        for (set, bank) in zip(SlotSet.allCases, description.layout.banks) {
            slots.append(
                GatewaySlot(
                    name: "bios", set: set,
                    medium: .bank(
                        path: flash, offset: bank.offset, size: bank.size, erase: GatewayLayout.eraseBlock),
                    backing: GatewaySlot.Place(path: flash, offset: bank.offset, size: bank.size)))
        }
        for set in SlotSet.allCases {
            slots.append(GatewaySlot(name: "containers", set: set, medium: .store(path: store), backing: nil))
        }
        return slots
    }

    /// One slot; nil when the gateway has no such target.
    public func slot(_ name: String, _ set: SlotSet) -> GatewaySlot? {
        slots.first { $0.name == name && $0.set == set }
    }

    /// The stable name of a slot's loop device, which changes its number from boot to boot.
    func loopLink(_ partition: String) -> String { directory + "/dev/" + partition }
}
