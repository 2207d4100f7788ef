public import Platform

/// Reads an image that is on a medium: the running slot, or the target as far as it is written.
public protocol ImageReader: AnyObject {
    /// Reads `count` bytes at `offset` of the image into `buffer` from `place` on; no alignment is asked for. Fewer
    /// bytes come back only at the end of the medium.
    func read(
        at offset: UInt64, count: Int, into buffer: AlignedBuffer, at place: Int
    ) throws(SystemError) -> Int
}
