internal import BundleFormat
internal import Platform

/// The payload of a group coded as differences (bsdiff's idea: Percival, Naive differences of executable code, 2003):
/// runs of residual bytes are the byte-wise sum of a run of the references and a difference, which is mostly zero
/// where code only moved; what fits nowhere is extra.
///
/// ```
/// 1  coder: 0; bit 4 set when the extra frame may refer to the references
/// v  control bytes stored, v control bytes, v difference bytes stored, v difference bytes
/// .. control, difference, extra: one zstd frame each, nothing where it is empty
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
        guard let coder = try? reader.u8(), coder & ~DifferenceLimits.extraPrefix == 0,
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
        let split = DifferenceLimits.control
        let extraLength = count - differenceLength
        let prefix = coder & DifferenceLimits.extraPrefix != 0 ? references : nil
        let ready =
            Self.unpack(control, nil, scratch, at: 0, count: controlLength, zstd)
            && Self.unpack(difference, nil, scratch, at: split, count: differenceLength, zstd)
            && Self.unpack(extra, prefix, scratch, at: split + differenceLength, count: extraLength, zstd)
        if !ready { return .undecodable }
        let memory = scratch.bytes
        return residual.withMutableBytes { target in
            Self.join(
                control: memory.extracting(0..<controlLength),
                difference: memory.extracting(split..<(split + differenceLength)),
                extra: memory.extracting((split + differenceLength)..<(split + differenceLength + extraLength)),
                references: references, into: &target)
        }
    }

    private static func unpack(
        _ stored: RawSpan, _ prefix: RawSpan?, _ scratch: AlignedBuffer, at place: Int, count: Int, _ zstd: ZstdDecoder
    ) -> Bool {
        if count == 0 { return stored.byteCount == 0 }
        return zstd.decode(stored, prefix: prefix, into: scratch, at: place, count: count) == nil
    }

    /// Puts the three streams together; they are used up exactly, or nothing of it counts.
    private static func join(
        control: RawSpan, difference: RawSpan, extra: RawSpan, references: RawSpan,
        into target: inout MutableRawSpan
    ) -> Outcome {
        var reader = ByteReader(control, what: "control")
        var (added, copied, place) = (0, 0, 0)
        var position: Int64 = 0
        while reader.remaining > 0 {
            guard let add = try? reader.varint(limit: difference.byteCount - added, "add"),
                let more = try? reader.varint(limit: extra.byteCount - copied, "extra"),
                let seek = try? reader.signed()
            else { return .undecodable }
            if add > 0 {
                guard position >= 0, position <= Int64(references.byteCount - add) else { return .undecodable }
                Self.sum(
                    references.extracting(Int(position)..<(Int(position) + add)),
                    difference.extracting(added..<(added + add)), into: &target, at: place)
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
        return added == difference.byteCount && copied == extra.byteCount ? .decoded : .undecodable
    }

    private static func sum(
        _ old: RawSpan, _ difference: RawSpan, into target: inout MutableRawSpan, at place: Int
    ) {
        unsafe target.withUnsafeMutableBytes { output in
            unsafe old.withUnsafeBytes { a in
                unsafe difference.withUnsafeBytes { b in
                    for index in 0..<a.count { unsafe output[place + index] = a[index] &+ b[index] }
                }
            }
        }
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
