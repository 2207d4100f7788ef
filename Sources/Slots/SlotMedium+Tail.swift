internal import Platform

extension SlotMedium {
    /// Leaves `value` in all bytes from `start` to `end`; what has it already is not written again.
    func fillTail(with value: UInt8, from start: UInt64, to end: UInt64) throws(SlotError) {
        let step = 65536
        let buffer = try makeBuffer(capacity: step)
        var position = start
        while position < end {
            // The first step is short, so that the others are aligned.
            let count = min(step - Int(position % UInt64(step)), Int(clamping: end - position))
            let present = try read(at: position, count: count, into: buffer)
            if present != count || !buffer.consists(of: value, count: count) {
                buffer.fill(value, from: 0, to: count)
                try write(buffer, count: count, at: position)
            }
            position += UInt64(count)
        }
    }

    /// Reads back from the medium that all bytes from `start` to `end` are `value`: a lost write would otherwise leave
    /// older bytes behind the image, where the image's own read-back does not look.
    func checkTail(is value: UInt8, from start: UInt64, to end: UInt64, slot: String) throws(SlotError) {
        let step = 65536
        let buffer = try makeBuffer(capacity: step)
        var position = start
        while position < end {
            let count = min(step - Int(position % UInt64(step)), Int(clamping: end - position))
            let got = try read(at: position, count: count, into: buffer)
            if got != count || !buffer.consists(of: value, count: count) { throw .readBackMismatch(slot: slot) }
            position += UInt64(count)
        }
    }
}
