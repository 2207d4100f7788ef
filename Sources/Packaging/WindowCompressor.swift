internal import BundleFormat
internal import CZstd
internal import Platform

/// Compresses windows into single zstd frames that carry their content size and no checksum (the chunk table has
/// digests), with a window of at most 1 MiB: what `WindowDecoder` on a device takes. One thread uses one compressor.
///
/// The same bytes at the same level give the same frame with the same libzstd, whatever was compressed before.
@safe final class WindowCompressor {
    private let context: OpaquePointer

    init(level: Int) throws(PackagingError) {
        guard let context = unsafe ZSTD_createCCtx() else { throw .compression("no memory for a context") }
        unsafe self.context = context
        let windowLog = Int32(BundleLimits.window.trailingZeroBitCount)
        let settings: [(ZSTD_cParameter, Int32)] = [
            (ZSTD_c_compressionLevel, Int32(level)), (ZSTD_c_windowLog, windowLog), (ZSTD_c_contentSizeFlag, 1),
            (ZSTD_c_checksumFlag, 0), (ZSTD_c_dictIDFlag, 0),
        ]
        for (parameter, value) in settings {
            try Self.check(unsafe ZSTD_CCtx_setParameter(context, parameter, value))
        }
    }

    deinit { _ = unsafe ZSTD_freeCCtx(context) }

    /// Compresses the first `count` bytes of `plain` into `out`; nil when the frame would not be smaller.
    func compress(_ plain: AlignedBuffer, count: Int, into out: AlignedBuffer) throws(PackagingError) -> Int? {
        let input = plain.bytes.extracting(0..<count)
        let room = min(count - 1, out.capacity)
        let result = out.withMutableBytes { target in
            unsafe target.withUnsafeMutableBytes { output in
                unsafe input.withUnsafeBytes { source in
                    unsafe ZSTD_compress2(context, output.baseAddress, room, source.baseAddress, source.count)
                }
            }
        }
        if ZSTD_isError(result) != 0 {
            if ZSTD_getErrorCode(result) == ZSTD_error_dstSize_tooSmall { return nil }
            try Self.check(result)
        }
        return result
    }

    private static func check(_ result: Int) throws(PackagingError) {
        if ZSTD_isError(result) != 0 { throw .compression(unsafe String(cString: ZSTD_getErrorName(result))) }
    }
}
