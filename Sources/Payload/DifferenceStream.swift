internal import BundleFormat
internal import DifferenceCoding
internal import Platform

/// The payload of a group coded as differences (bsdiff's idea: Percival, Naive differences of executable code, 2003):
/// runs of residual bytes are the byte-wise sum of a run of the references and a difference, which is mostly zero
/// where code only moved; what fits nowhere is extra.
///
/// ```
/// 1  coder: bit 0 set when a `DifferenceCoder` coded the differences, bit 4 when the extra frame may refer to the references
/// v  control bytes stored, v control bytes, v difference bytes stored, v difference bytes
/// .. control, difference, extra: one zstd frame each (the differences with bit 0 are none), nothing where it is empty
/// ```
/// Control is a sequence of three variable-length integers: bytes to add, extra bytes, and how far to move in the
/// references afterwards (signed).
struct DifferenceStream: ~Escapable {
    /// The scratch memory that decoding takes.
    static let capacity = BundleLimits.residual + DifferenceLimits.control

    enum Outcome { case decoded, undecodable }

    private let coder: UInt8
    private let controlLength: Int
    private let differenceLength: Int
    private let control: RawSpan
    private let difference: RawSpan
    private let extra: RawSpan

    /// Nil when the parts do not fit the bytes.
    @_lifetime(copy bytes)
    init?(_ bytes: RawSpan) {
        var reader = ByteReader(bytes, what: "a difference")
        guard let coder = try? reader.u8(),
            coder & ~(DifferenceLimits.extraPrefix | DifferenceLimits.modelled) == 0,
            let controlStored = try? reader.varint(limit: BundleLimits.residual, "control"),
            let controlLength = try? reader.varint(limit: DifferenceLimits.control, "control"),
            let differenceStored = try? reader.varint(limit: BundleLimits.residual, "difference"),
            let differenceLength = try? reader.varint(limit: BundleLimits.residual, "difference"),
            controlStored + differenceStored <= reader.remaining
        else { return nil }
        self.coder = coder
        self.controlLength = controlLength
        self.differenceLength = differenceLength
        let start = reader.offset
        control = bytes.extracting(start..<(start + controlStored))
        difference = bytes.extracting((start + controlStored)..<(start + controlStored + differenceStored))
        extra = bytes.extracting((start + controlStored + differenceStored)..<bytes.byteCount)
    }

    /// Fills the first `count` bytes of `residual`.
    func decode(
        references: RawSpan, residual: AlignedBuffer, count: Int, scratch: AlignedBuffer, zstd: ZstdDecoder
    ) -> Outcome {
        guard differenceLength <= count else { return .undecodable }
        let start = DifferenceLimits.control
        let extraLength = count - differenceLength
        let prefix = coder & DifferenceLimits.extraPrefix != 0 ? references : nil
        let isModelled = coder & DifferenceLimits.modelled != 0
        // Differences that are decoded in place leave their memory to their coder.
        let extraStart = isModelled ? start : start + differenceLength
        if isModelled, extraLength > DifferenceLimits.modelledExtra { return .undecodable }
        let ready =
            Self.unpack(control, nil, scratch, at: 0, count: controlLength, zstd)
            && (isModelled || Self.unpack(difference, nil, scratch, at: start, count: differenceLength, zstd))
            && Self.unpack(extra, prefix, scratch, at: extraStart, count: extraLength, zstd)
        if !ready { return .undecodable }
        let memory = scratch.bytes
        let (control, extra) = (
            memory.extracting(0..<controlLength), memory.extracting(extraStart..<(extraStart + extraLength))
        )
        if isModelled {
            let room = start + DifferenceLimits.modelledExtra
            var runs = ModelledRuns(
                coder: DifferenceCoder(decoding: difference, in: scratch, at: room), stored: difference,
                count: differenceLength)
            return residual.withMutableBytes { Self.join(control, extra, references, &runs, into: &$0) }
        }
        var runs = SummedRuns(difference: memory.extracting(start..<(start + differenceLength)))
        return residual.withMutableBytes { Self.join(control, extra, references, &runs, into: &$0) }
    }

    private static func unpack(
        _ stored: RawSpan, _ prefix: RawSpan?, _ scratch: AlignedBuffer, at place: Int, count: Int, _ zstd: ZstdDecoder
    ) -> Bool {
        if count == 0 { return stored.byteCount == 0 }
        return zstd.decode(stored, prefix: prefix, into: scratch, at: place, count: count) == nil
    }

    /// Puts the streams together; they are used up exactly, or nothing of it counts.
    private static func join<Runs: DifferenceRuns & ~Copyable & ~Escapable>(
        _ control: RawSpan, _ extra: RawSpan, _ references: RawSpan, _ runs: inout Runs,
        into target: inout MutableRawSpan
    ) -> Outcome {
        var reader = ByteReader(control, what: "control")
        var (added, copied, place) = (0, 0, 0)
        var position: Int64 = 0
        while reader.remaining > 0 {
            guard let add = try? reader.varint(limit: runs.count - added, "add"),
                let more = try? reader.varint(limit: extra.byteCount - copied, "extra"),
                let seek = try? reader.signed()
            else { return .undecodable }
            if add > 0 {
                guard position >= 0, position <= Int64(references.byteCount - add) else { return .undecodable }
                runs.take(add, from: references, at: Int(position), into: &target, at: place)
            }
            added += add
            place += add
            position += Int64(add)
            if more > 0 {
                Self.copy(extra.extracting(copied..<(copied + more)), into: &target, at: place)
            }
            copied += more
            place += more
            // Past any place in the references nothing comes back, and the sum cannot overflow.
            guard abs(seek) <= 1 << 40 else { return .undecodable }
            position += seek
        }
        return added == runs.count && copied == extra.byteCount && runs.isUsedUp ? .decoded : .undecodable
    }

    private static func copy(_ bytes: RawSpan, into target: inout MutableRawSpan, at place: Int) {
        unsafe target.withUnsafeMutableBytes { output in
            unsafe bytes.withUnsafeBytes { source in
                unsafe UnsafeMutableRawBufferPointer(rebasing: output[place..<(place + source.count)])
                    .copyMemory(from: source)
            }
        }
    }
}

/// Where the bytes that are nearly those of the references come from, run by run.
private protocol DifferenceRuns: ~Copyable, ~Escapable {
    /// The bytes of all runs.
    var count: Int { get }
    /// Whether nothing stored is left after the last run.
    var isUsedUp: Bool { get }
    /// Makes the next `count` bytes from those at `position` of the references.
    mutating func take(
        _ count: Int, from references: RawSpan, at position: Int, into target: inout MutableRawSpan, at place: Int)
}

/// Differences that were unpacked before.
private struct SummedRuns: DifferenceRuns, ~Copyable, ~Escapable {
    private let difference: RawSpan
    private var taken = 0

    @_lifetime(copy difference)
    init(difference: RawSpan) { self.difference = difference }

    var count: Int { difference.byteCount }
    var isUsedUp: Bool { true }

    mutating func take(
        _ count: Int, from references: RawSpan, at position: Int, into target: inout MutableRawSpan, at place: Int
    ) {
        let old = references.extracting(position..<(position + count))
        let part = difference.extracting(taken..<(taken + count))
        taken += count
        unsafe target.withUnsafeMutableBytes { output in
            unsafe old.withUnsafeBytes { a in
                unsafe part.withUnsafeBytes { b in
                    for index in 0..<a.count { unsafe output[place + index] = a[index] &+ b[index] }
                }
            }
        }
    }
}

/// Differences that a `DifferenceCoder` decodes on the way.
private struct ModelledRuns: DifferenceRuns, ~Copyable, ~Escapable {
    private var coder: DifferenceCoder
    private let stored: RawSpan
    let count: Int

    @_lifetime(copy stored)
    init(coder: consuming DifferenceCoder, stored: RawSpan, count: Int) {
        self.coder = coder
        self.stored = stored
        self.count = count
    }

    /// The coder reads four bytes ahead, which its encoder wrote for it.
    var isUsedUp: Bool { coder.taken == stored.byteCount }

    mutating func take(
        _ count: Int, from references: RawSpan, at position: Int, into target: inout MutableRawSpan, at place: Int
    ) {
        coder.decode(stored, against: references, at: position, count: count, into: &target, at: place)
    }
}
