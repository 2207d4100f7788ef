internal import Platform

/// Reads what a group needs out of a checked table, step by step and without memory of its own.
public struct DeltaGroupCursor: Sendable {
    /// The group.
    public let group: DeltaGroup
    private let bytes: [UInt8]
    private var offset: Int
    private var copyEnd: UInt64
    private var operations = 0

    fileprivate init(_ group: DeltaGroup, bytes: [UInt8]) {
        self.group = group
        self.bytes = bytes
        offset = group.bodyOffset
        copyEnd = group.copyEnd
    }

    /// The ranges that are gathered, in order. To be called first, and once.
    public mutating func references() -> [DeltaRange] {
        var ranges: [DeltaRange] = []
        let count = Int(varint())
        ranges.reserveCapacity(count)
        var last: UInt64 = 0
        for _ in 0..<count {
            let start = UInt64(Int64(last) + signed())
            let range = DeltaRange(start: start, length: Int(varint()))
            ranges.append(range)
            last = range.end
        }
        return ranges
    }

    /// Begins the next window; the number of its operations, 0 for one of zeros.
    public mutating func nextWindow() -> Int {
        operations = Int(varint())
        return operations
    }

    /// The next operation of the window, nil behind the last one.
    public mutating func nextOperation() -> DeltaOperation? {
        if operations == 0 { return nil }
        operations -= 1
        let tag = Int(varint())
        if tag & 1 == 0 { return .residual(tag >> 1) }
        let range = DeltaRange(start: UInt64(Int64(copyEnd) + signed()), length: tag >> 1)
        copyEnd = range.end
        return .copy(range)
    }

    // The table was checked when it was decoded, so these need no errors.

    private mutating func varint() -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let byte = bytes[offset]
            offset += 1
            value |= UInt64(byte & 0x7f) << shift
            if byte & 0x80 == 0 { return value }
            shift += 7
        }
    }

    private mutating func signed() -> Int64 {
        let value = varint()
        return Int64(value >> 1) ^ -Int64(value & 1)
    }
}

extension DeltaTable {
    /// A cursor at the references of a group.
    public func cursor(of group: Int) -> DeltaGroupCursor { DeltaGroupCursor(groups[group], bytes: bytes) }
}

/// What a group says, for those who write tables.
public struct DeltaGroupPlan: Equatable, Sendable {
    public let codec: DeltaCodec
    public let residualLength: Int
    public let storedLength: Int
    /// SHA-256 of the stored bytes; nil when there are none.
    public let storedDigest: Digest?
    public let references: [DeltaRange]
    /// The operations of each window.
    public let windows: [[DeltaOperation]]

    public init(
        codec: DeltaCodec, residualLength: Int, storedLength: Int, storedDigest: Digest?, references: [DeltaRange],
        windows: [[DeltaOperation]]
    ) {
        self.codec = codec
        self.residualLength = residualLength
        self.storedLength = storedLength
        self.storedDigest = storedDigest
        self.references = references
        self.windows = windows
    }
}

extension DeltaTable {
    /// Writes a table and reads it back: the decoder has the last word on every rule.
    public init(
        imageSize: UInt64, base: DeltaBase?, windowSize: Int, payloadOffset: UInt64, groups: [DeltaGroupPlan]
    ) throws(FormatError) {
        var writer = ByteWriter()
        writer.array(Self.magic)
        writer.u16(1)
        writer.u16(0)
        writer.u64(imageSize)
        writer.u64(base?.size ?? 0)
        if let base { writer.digest(base.digest) } else { writer.pad(to: writer.bytes.count + Digest.byteCount) }
        writer.u32(UInt32(clamping: windowSize))
        var windows = 0
        for group in groups { windows += group.windows.count }
        writer.u32(UInt32(clamping: windows))
        writer.u32(UInt32(clamping: groups.count))
        writer.u32(0)
        writer.u64(payloadOffset)
        var copyEnd: UInt64 = 0
        for group in groups { group.write(to: &writer, copyEnd: &copyEnd) }
        self = try Self.decode(writer.bytes)
    }

    /// What the groups say, taken apart; for those who compare or rewrite tables.
    public var plans: [DeltaGroupPlan] {
        var plans: [DeltaGroupPlan] = []
        for (index, group) in groups.enumerated() {
            var cursor = cursor(of: index)
            let references = cursor.references()
            var windows: [[DeltaOperation]] = []
            for _ in group.windows {
                var operations: [DeltaOperation] = []
                _ = cursor.nextWindow()
                while let operation = cursor.nextOperation() { operations.append(operation) }
                windows.append(operations)
            }
            plans.append(
                DeltaGroupPlan(
                    codec: group.codec, residualLength: group.residualLength, storedLength: group.storedLength,
                    storedDigest: group.storedDigest, references: references, windows: windows))
        }
        return plans
    }
}

extension DeltaGroupPlan {
    fileprivate func write(to writer: inout ByteWriter, copyEnd: inout UInt64) {
        writer.u8(codec.rawValue)
        writer.varint(UInt64(windows.count))
        writer.varint(UInt64(residualLength))
        writer.varint(UInt64(storedLength))
        if let storedDigest { writer.digest(storedDigest) }
        writer.varint(UInt64(references.count))
        var last: UInt64 = 0
        for range in references {
            writer.signed(Int64(range.start) - Int64(last))
            writer.varint(UInt64(range.length))
            last = range.end
        }
        for operations in windows {
            writer.varint(UInt64(operations.count))
            for operation in operations {
                switch operation {
                case .residual(let count): writer.varint(UInt64(count) * 2)
                case .copy(let range):
                    writer.varint(UInt64(range.length) * 2 + 1)
                    writer.signed(Int64(range.start) - Int64(copyEnd))
                    copyEnd = range.end
                }
            }
        }
    }
}
