/// Points in time in the proleptic Gregorian calendar, without time zones of the machine.
public enum CalendarTime {
    /// Days since 1970-01-01, for years from 0. Counting years from March puts the leap day last.
    static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let shifted = month <= 2 ? year + 399 : year + 400
        let fromMarch = (month + 9) % 12
        let dayOfYear = (153 * fromMarch + 2) / 5 + day - 1
        let before = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400
        return before + dayOfYear - 719_468 - 146_097
    }

    /// Seconds since 1970 as `2026-05-01T12:00:00Z` (RFC 3339).
    public static func text(_ seconds: Int64) -> String {
        let days = seconds / 86400
        var year: Int64 = 1970 + days / 366
        while Self.days(year: year + 1, month: 1, day: 1) <= days { year += 1 }
        var month: Int64 = 1
        while month < 12 && Self.days(year: year, month: month + 1, day: 1) <= days { month += 1 }
        let day = days - Self.days(year: year, month: month, day: 1) + 1
        let clock = seconds % 86400
        return
            "\(pad(year, 4))-\(pad(month))-\(pad(day))T\(pad(clock / 3600)):\(pad(clock / 60 % 60)):\(pad(clock % 60))Z"
    }

    private static func pad(_ number: Int64, _ width: Int = 2) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
