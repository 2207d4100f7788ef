internal import CZstd

/// Makes zstd frames that tell their content size and have no checksum: what a device's `DeltaDecoder` and
/// `BlockAssembler` take. One thread uses one writer. The same bytes give the same frame with the same libzstd.
@safe final class FrameWriter {
    private let context: OpaquePointer
    private let level: Int32

    /// Nil without memory.
    init?(level: Int) {
        guard let context = unsafe ZSTD_createCCtx() else { return nil }
        unsafe self.context = context
        self.level = Int32(level)
    }

    deinit { _ = unsafe ZSTD_freeCCtx(context) }

    /// The frame, if it has at most `limit` bytes; else nil. `prefix` is what it may refer to as if it stood before.
    func frame(_ bytes: ByteView, prefix: ByteView? = nil, limit: Int? = nil) -> [UInt8]? {
        reset()
        let reach = bytes.count + (prefix?.count ?? 0)
        var log: Int32 = 10
        while reach >> Int(log) > 0, log < 27 { log += 1 }
        _ = unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, log)
        return write(bytes, prefix, limit)
    }

    /// The frame of a block of the blocks form: without magic number and content size.
    func bareFrame(_ bytes: ByteView, prefix: ByteView, limit: Int) -> [UInt8]? {
        reset()
        _ = unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 19)
        _ = unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0)
        // ZSTD_c_format (zstd.h, "experimental").
        _ = unsafe ZSTD_CCtx_setParameter(
            context, ZSTD_c_experimentalParam2, Int32(ZSTD_f_zstd1_magicless.rawValue))
        return write(bytes, prefix, limit)
    }

    private func reset() {
        _ = unsafe ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters)
        let settings = [
            (ZSTD_c_compressionLevel, level), (ZSTD_c_checksumFlag, 0), (ZSTD_c_dictIDFlag, 0),
        ]
        for (parameter, value) in settings { _ = unsafe ZSTD_CCtx_setParameter(context, parameter, value) }
    }

    private func write(_ bytes: ByteView, _ prefix: ByteView?, _ limit: Int?) -> [UInt8]? {
        let room = limit ?? ZSTD_compressBound(bytes.count)
        if room <= 0 { return nil }
        if let prefix, prefix.count > 0 {
            _ = unsafe ZSTD_CCtx_refPrefix(context, prefix.buffer.baseAddress, prefix.count)
        }
        let frame = unsafe [UInt8](unsafeUninitializedCapacity: room) { memory, count in
            let size = unsafe ZSTD_compress2(
                context, memory.baseAddress, room, bytes.buffer.baseAddress, bytes.count)
            count = ZSTD_isError(size) != 0 ? 0 : size
        }
        return frame.isEmpty ? nil : frame
    }
}
