/// When something happens, by both clocks. It comes in from outside, so that a test can turn it.
public struct HubTime: Equatable, Sendable {
    /// Milliseconds since some fixed point; never goes back.
    public var milliseconds: UInt64
    /// Seconds since 1970.
    public var seconds: Int64

    public init(milliseconds: UInt64, seconds: Int64) {
        self.milliseconds = milliseconds
        self.seconds = seconds
    }

    /// `2026-11-24T09:30:00Z`, as the service writes times.
    static func text(_ seconds: Int64) -> String {
        let days = seconds >= 0 ? seconds / 86_400 : -((86_399 - seconds) / 86_400)
        let rest = seconds - days * 86_400
        // Civil date from days since 1970 (Howard Hinnant's algorithm, proleptic Gregorian).
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let day = shifted - era * 146_097
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365
        let dayOfYear = day - (365 * year + year / 4 - year / 100)
        let month = (5 * dayOfYear + 2) / 153
        let date = dayOfYear - (153 * month + 2) / 5 + 1
        let civilMonth = month < 10 ? month + 3 : month - 9
        let civilYear = year + era * 400 + (civilMonth <= 2 ? 1 : 0)
        func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let clock = "\(two(rest / 3600)):\(two(rest / 60 % 60)):\(two(rest % 60))"
        return "\(civilYear)-\(two(civilMonth))-\(two(date))T\(clock)Z"
    }
}
