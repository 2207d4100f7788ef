public import BundleFormat
internal import Platform

extension BootRecord {
    /// One stored copy of a record: exactly one 512-byte sector, so that no medium can tear it into two sectors.
    ///
    /// Little-endian, fields at their natural alignment, so that a boot loader written in C can read it as a struct:
    ///
    ///     0    magic "KEDGEREC"           56   floor u32
    ///     8    format version u16 = 1     60   length of the attempt id u8, 3 zero bytes
    ///     10   copy index u8              64   highest sequence ever confirmed u64
    ///     11   active slot set u8         72   attempt id, 64 bytes, zero padded
    ///     12   phase u8                   136  slot set a, 48 bytes: state u8, manifest known u8 (0 or 1),
    ///     13   tries left u8                   2 zero bytes, security version u32, sequence u64, manifest digest
    ///     14   user space boots u8        184  slot set b, 48 bytes
    ///     15   reason u8                  232  zeros
    ///     16   revision u64               480  SHA-256 of bytes 0 to 479
    ///     24   parent digest, 32 bytes    512  end
    ///
    /// The checksum covers the revision and the copy index, unlike U-Boot's environment, whose flags byte stands
    /// outside its CRC: an old copy cannot be made the newest by one flipped bit, and a sector that a drive wrote
    /// to the wrong place is not taken.
    public struct Sector: Equatable, Sendable {
        public let record: BootRecord
        /// Which of the two places it is for: 0 or 1.
        public let copy: UInt8
        /// SHA-256 of the whole sector that held the record before this one; nil for a first record. Evidence for
        /// people: nothing is decided by it.
        public let parent: Digest?

        /// Bytes of a sector.
        public static let byteCount = 512
        private static let magic: [UInt8] = Array("KEDGEREC".utf8)
        private static let format: UInt16 = 1
        private static let checksumOffset = byteCount - Digest.byteCount
        private static let what = "a boot record"

        public init(record: BootRecord, copy: UInt8, parent: Digest?) {
            self.record = record
            self.copy = copy
            self.parent = parent
        }

        /// The 512 bytes. An attempt id that no record can hold, or a third copy, is `FormatError.malformed`.
        public func encoded() throws(FormatError) -> [UInt8] {
            guard BootRecord.accepts(attempt: record.attempt) else {
                throw .malformed(what: Self.what, "the attempt id must be at most 64 printable ASCII characters")
            }
            guard copy < 2 else { throw .malformed(what: Self.what, "there is no copy \(copy)") }
            var out = ByteWriter()
            out.array(Self.magic)
            out.u16(Self.format)
            out.u8(copy)
            out.u8(record.active.rawValue)
            out.u8(record.phase.rawValue)
            out.u8(record.triesLeft)
            out.u8(record.userSpaceBoots)
            out.u8(record.reason.rawValue)
            out.u64(record.revision)
            Self.write(parent, to: &out)
            out.u32(record.floor)
            let attempt = Array(record.attempt.utf8)
            out.u32(UInt32(attempt.count))
            out.u64(record.acceptedSequence)
            out.array(attempt)
            out.pad(to: 136)
            for slot in [record.slotA, record.slotB] {
                out.u8(slot.state.rawValue)
                out.u8(slot.manifest == nil ? 0 : 1)
                out.u16(0)
                out.u32(slot.securityVersion)
                out.u64(slot.sequence)
                Self.write(slot.manifest, to: &out)
            }
            out.pad(to: Self.checksumOffset)
            out.digest(SHA256.digest(of: out.bytes))
            return out.bytes
        }

        private static func write(_ digest: Digest?, to out: inout ByteWriter) {
            if let digest { out.digest(digest) } else { out.array([UInt8](repeating: 0, count: Digest.byteCount)) }
        }

        /// Reads a copy strictly: whatever this program would not have written is no copy.
        public init(decoding bytes: [UInt8]) throws(FormatError) {
            guard bytes.count == Self.byteCount else {
                throw .truncated(what: Self.what, needed: UInt64(Self.byteCount), present: UInt64(bytes.count))
            }
            let body = Array(bytes[0..<Self.checksumOffset])
            guard Digest(bytes: bytes.rawBytes, at: Self.checksumOffset) == SHA256.digest(of: body) else {
                throw .digestMismatch(what: Self.what)
            }
            var reader = ByteReader(body.rawBytes, what: Self.what)
            guard try reader.array(Self.magic.count) == Self.magic else {
                throw .malformed(what: Self.what, "does not start with its magic")
            }
            let version = try reader.u16()
            if version != Self.format { throw .unknownVersion(version) }
            copy = try reader.u8()
            if copy > 1 { throw .malformed(what: Self.what, "there is no copy \(copy)") }
            (record, parent) = try Self.readRecord(&reader)
        }

        private static func readRecord(_ reader: inout ByteReader) throws(FormatError) -> (BootRecord, Digest?) {
            guard let active = SlotSet(rawValue: try reader.u8()), let phase = Phase(rawValue: try reader.u8()) else {
                throw .malformed(what: what, "an unknown slot set or phase")
            }
            var record = BootRecord(active: active, phase: phase)
            record.triesLeft = try reader.u8()
            record.userSpaceBoots = try reader.u8()
            guard let reason = RollbackReason(rawValue: try reader.u8()) else {
                throw .malformed(what: what, "an unknown reason")
            }
            record.reason = reason
            record.revision = try reader.u64()
            let former = try reader.digest()
            record.floor = try reader.u32()
            let length = try reader.u32()
            record.acceptedSequence = try reader.u64()
            record.attempt = try attempt(in: try reader.array(attemptLimit), length: length)
            record.slotA = try slot(&reader)
            record.slotB = try slot(&reader)
            guard try reader.array(reader.remaining).allSatisfy({ $0 == 0 }) else {
                throw .malformed(what: what, "the padding is not zero")
            }
            return (record, former.bytes.allSatisfy { $0 == 0 } ? nil : former)
        }

        private static func attempt(in field: [UInt8], length: UInt32) throws(FormatError) -> String {
            guard length <= UInt32(attemptLimit) else { throw .malformed(what: what, "the attempt id's length") }
            let text = String(decoding: field[0..<Int(length)], as: UTF8.self)
            guard BootRecord.accepts(attempt: text), field[Int(length)...].allSatisfy({ $0 == 0 }) else {
                throw .malformed(what: what, "the attempt id")
            }
            return text
        }

        private static func slot(_ reader: inout ByteReader) throws(FormatError) -> SlotRecord {
            guard let state = SlotRecord.State(rawValue: try reader.u8()) else {
                throw .malformed(what: what, "an unknown slot state")
            }
            let known = try reader.u8()
            let spare = try reader.u16()
            var slot = SlotRecord(state: state)
            slot.securityVersion = try reader.u32()
            slot.sequence = try reader.u64()
            let digest = try reader.digest()
            let empty = digest.bytes.allSatisfy { $0 == 0 }
            guard known <= 1, spare == 0, known == 1 || empty else {
                throw .malformed(what: what, "a slot's manifest digest")
            }
            slot.manifest = known == 1 ? digest : nil
            return slot
        }
    }
}
