internal import CZstd
internal import Platform

/// One zstd context that decodes whole frames in one step, so that zstd keeps no window of its own (about 160 KiB).
/// What it is given was authenticated before. One thread uses one decoder.
@safe final class ZstdDecoder {
    private let context: OpaquePointer

    init() throws(PayloadError) {
        guard let context = unsafe ZSTD_createDCtx() else { throw .noMemory }
        unsafe self.context = context
    }

    deinit { _ = unsafe ZSTD_freeDCtx(context) }

    /// Why bytes are not one frame of `plain` bytes and nothing else (skippable or second frames have no place
    /// here); nil when they are.
    private static func objection(to frame: RawSpan, plain: Int) -> String? {
        unsafe frame.withUnsafeBytes { memory -> String? in
            if unsafe ZSTD_getFrameContentSize(memory.baseAddress, memory.count) != UInt64(plain) {
                return "its frame has another content size"
            }
            if unsafe ZSTD_findFrameCompressedSize(memory.baseAddress, memory.count) != memory.count {
                return "it is not one zstd frame"
            }
            if unsafe ZSTD_getDictID_fromFrame(memory.baseAddress, memory.count) != 0 {
                return "it asks for a dictionary"
            }
            return nil
        }
    }

    /// Decodes a frame that tells its content size, `count` bytes, into `target` from `place` on. `prefix` is what the
    /// frame may refer to as if it stood before it; it may lie in `target` too, before `place`. Returns why that is
    /// not possible; the bytes there are then undefined.
    func decode(
        _ frame: RawSpan, prefix: RawSpan? = nil, into target: AlignedBuffer, at place: Int, count: Int
    ) -> String? {
        if let why = Self.objection(to: frame, plain: count) { return why }
        return target.withMutableBytes { bytes in
            unsafe bytes.withUnsafeMutableBytes { memory in
                let room = unsafe UnsafeMutableRawBufferPointer(rebasing: memory[place..<(place + count)])
                return unsafe run(frame, prefix, ZSTD_f_zstd1, room)
            }
        }
    }

    /// The same for a frame without magic number and content size (a block of the blocks form).
    func decodeBare(
        _ frame: RawSpan, prefix: RawSpan, into target: AlignedBuffer, at place: Int, count: Int
    ) -> String? {
        target.withMutableBytes { bytes in
            unsafe bytes.withUnsafeMutableBytes { memory in
                let room = unsafe UnsafeMutableRawBufferPointer(rebasing: memory[place..<(place + count)])
                return unsafe run(frame, prefix, ZSTD_f_zstd1_magicless, room)
            }
        }
    }

    /// Fills an array of its own; used where a table is taken out of its frame.
    func decode(_ frame: RawSpan, into target: inout [UInt8]) -> String? {
        if let why = Self.objection(to: frame, plain: target.count) { return why }
        return unsafe target.withUnsafeMutableBytes { unsafe run(frame, nil, ZSTD_f_zstd1, $0) }
    }

    private func run(
        _ frame: RawSpan, _ prefix: RawSpan?, _ format: ZSTD_format_e, _ output: UnsafeMutableRawBufferPointer
    ) -> String? {
        // Resets what an earlier frame set: prefixes hold for one frame only, also for one that failed.
        _ = unsafe ZSTD_DCtx_reset(context, ZSTD_reset_session_and_parameters)
        // ZSTD_d_format (zstd.h, "experimental"): which of the two framings follows.
        _ = unsafe ZSTD_DCtx_setParameter(context, ZSTD_d_experimentalParam1, Int32(format.rawValue))
        let written = unsafe frame.withUnsafeBytes { input in
            guard let prefix, prefix.byteCount > 0 else {
                return unsafe ZSTD_decompressDCtx(
                    context, output.baseAddress, output.count, input.baseAddress, input.count)
            }
            return unsafe prefix.withUnsafeBytes { before in
                _ = unsafe ZSTD_DCtx_refPrefix(context, before.baseAddress, before.count)
                return unsafe ZSTD_decompressDCtx(
                    context, output.baseAddress, output.count, input.baseAddress, input.count)
            }
        }
        return ZSTD_isError(written) != 0 || written != output.count ? "zstd cannot decode it" : nil
    }
}
