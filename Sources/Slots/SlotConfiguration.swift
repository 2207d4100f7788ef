public import BundleFormat

/// What device.ini says of one slot: `[slot NAME a]` or `[slot NAME b]`.
public struct SlotConfiguration: Equatable, Sendable {
    /// What kind of place, and where.
    public enum Place: Equatable, Sendable {
        /// A block device or file, or `size` bytes from `offset` of it; without `size` up to its end.
        case block(path: String, offset: UInt64, size: UInt64?)
        /// A bank of a NOR flash device or image.
        case flash(path: String, offset: UInt64, size: UInt64, eraseSize: UInt64)
        /// A UEFI capsule, kept in a file until the firmware gets it on the EFI system partition, mounted at `system`.
        case capsule(path: String, system: String)
        /// A container store directory, which both slot sets share.
        case store(path: String)
    }

    /// The name that a component's target gives.
    public let target: Identifier
    /// The slot set it belongs to, `a` or `b`.
    public let generation: String
    public let place: Place

    public init(target: Identifier, generation: String, place: Place) {
        self.target = target
        self.generation = generation
        self.place = place
    }

    /// `rootfs b`, for messages.
    public var name: String { "\(target) \(generation)" }

    /// Whether it is a medium, or a part of one, whose bytes are the image; a store is not.
    public var isRaw: Bool {
        switch place {
        case .block, .flash: true
        case .capsule, .store: false
        }
    }

    /// The slot; nothing is opened yet. Numbers that do not go together are `SlotError.unusable`.
    public func makeSlot() throws(SlotError) -> any Slot {
        switch place {
        case .block(let path, let offset, let size): BlockSlot(name: name, path: path, offset: offset, size: size)
        case .flash(let path, let offset, let size, let eraseSize):
            try FlashSlot(name: name, path: path, offset: offset, size: size, eraseSize: eraseSize)
        case .capsule(let path, let system): CapsuleSlot(name: name, path: path, system: system)
        case .store(let path):
            ContainerStoreSlot(
                name: name, store: ContainerStore(path: path), target: target, generation: generation)
        }
    }
}
