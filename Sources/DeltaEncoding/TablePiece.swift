/// Packs the table of a form into the one zstd frame that a piece of the payload is.
public enum TablePiece {
    /// The frame; nil without memory.
    public static func pack(_ table: [UInt8], level: Int) -> [UInt8]? {
        let block = ByteBlock(table)
        return FrameWriter(level: level)?.frame(block.view)
    }
}
