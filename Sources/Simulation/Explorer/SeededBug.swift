/// A mistake that an updater, a driver or a boot loader could make, put in from outside the engine. The explorer must
/// find every one of them, or it would not find the engine's own either.
public enum SeededBug: String, Sendable, CaseIterable {
    case recordNotFlushed = "the boot record is written without a flush"
    case newestCopyOverwritten = "the newest copy of the record is overwritten"
    case singleCopy = "the record has a single copy"
    case olderCopyRead = "the older copy of the record is believed"
    case twoTruths = "the selected slot and its state are two records"
    case recordBeforeData = "slot data is flushed only after the record is armed"
    case dataNotFlushed = "slot data is never flushed before the record is armed"
    case tailLeft = "the tail behind the image is not cleared"
    case armedFirst = "the record is armed before the slot is written"
    case goodAtOnce = "the new slot is recorded as good when it is armed"
    case blindResume = "the journal is written before its data, and resuming believes it"
    case readBackFromCache = "the read-back reads what was written, not what is on the medium"
    case flushErrorIgnored = "a failing flush is taken for a good one, and read back from the cache"
    case counterRaisedAtArm = "the floor counter is raised when the record is armed"
    case counterRaisedFirst = "the floor counter is raised when the attempt begins"
    case recordFloorAtArm = "the record's floor is raised when it is armed"
    case wrongSlotConfirms = "the running slot is taken from the record, not from the boot"
    case triesNotCounted = "the boot loader does not count down"
    case triesInMemory = "the boot loader counts down without a flush"
    case triesRefilled = "reaching user space gives all tries back"
    case fallbackNotRecorded = "the boot loader falls back and does not say so"
    case failedStaysGood = "a failed trial leaves its slot selectable"
    case healthIgnored = "the health check's answer is not looked at"
    case reportStored = "the report is a text that was stored when the record was armed"
    case runningSlotWritten = "the running slot is the one that is written"
    case headNotFlushed = "the kept head is renamed into place without a flush"

    /// The smallest story in which it shows.
    enum Story { case good, short, unhealthy, panics, hangs, faults }
    var story: Story {
        switch self {
        case .readBackFromCache, .flushErrorIgnored: .faults
        case .singleCopy, .olderCopyRead: .short
        case .goodAtOnce, .failedStaysGood, .healthIgnored, .reportStored: .unhealthy
        case .triesNotCounted, .fallbackNotRecorded: .panics
        case .triesRefilled: .hangs
        default: .good
        }
    }
}

/// Something that fails once in a run.
enum SampleFault: Hashable, Sendable {
    /// The k-th write or flush of the run, from 1, over all media.
    case writeFails(Int, number: Int32)
    case flushFails(Int)
    /// It is reported as done and never reaches the medium.
    case writeLost(Int)
    /// It lands in the next cell of its medium.
    case writeMisdirected(Int)
    /// The connection breaks after that many pieces.
    case networkBreaks(Int)
    /// One byte of that piece is another one.
    case networkCorrupts(Int)
    /// From that piece on the server gives another object of the same length.
    case networkSwaps(Int)
    /// The server has no more than that many pieces, and says so.
    case networkTruncates(Int)
    /// From the k-th write on the file system of the device's own files has no room.
    case diskFull(Int)

    var text: String {
        switch self {
        case .writeFails(let number, let error): "write \(number) fails with error \(error)"
        case .flushFails(let number): "flush \(number) fails"
        case .writeLost(let number): "write \(number) is lost"
        case .writeMisdirected(let number): "write \(number) lands in the wrong place"
        case .networkBreaks(let pieces): "the network breaks after \(pieces) pieces"
        case .networkCorrupts(let piece): "the network changes a byte of piece \(piece)"
        case .networkSwaps(let piece): "the server gives another object from piece \(piece) on"
        case .networkTruncates(let pieces): "the server has only \(pieces) pieces of the bundle"
        case .diskFull(let number): "the file system is full from write \(number) on"
        }
    }
}
