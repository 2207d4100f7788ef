/// The logistic function and its inverse in whole numbers, the same on every machine.
enum LogisticCurve {
    /// 4096 / (1 + exp(-x)) for x = -8, -7.5 … 8, rounded.
    private static let points: [Int32] = [
        1, 2, 4, 6, 10, 17, 27, 45, 74, 120, 194, 310, 488, 747, 1102, 1546, 2048, 2550, 2994, 3349, 3608, 3786, 3902,
        3976, 4022, 4051, 4069, 4079, 4086, 4090, 4092, 4094, 4095,
    ]

    /// Fills two tables of 4096: the function by straight lines between those points, at x · 256 + 2048, and for each of
    /// its values the least x · 256 that reaches it.
    @unsafe static func fill(squash: UnsafeMutablePointer<Int16>, stretch: UnsafeMutablePointer<Int16>) {
        var filled = 0
        for step in -2047...2047 {
            let part = Int32(step & 127)
            let point = (step >> 7) + 16
            let value = (points[point] * (128 - part) + points[point + 1] * part + 64) >> 7
            unsafe squash[step + 2048] = Int16(truncatingIfNeeded: value)
            while filled <= Int(value), filled < 4096 {
                unsafe stretch[filled] = Int16(truncatingIfNeeded: step)
                filled += 1
            }
        }
        while filled < 4096 {
            unsafe stretch[filled] = 2047
            filled += 1
        }
    }
}
