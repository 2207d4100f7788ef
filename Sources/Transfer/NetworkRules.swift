public import Platform

/// What kind of network the gateway hangs on now.
public enum NetworkClass: String, CaseIterable, Sendable {
    case ethernet, wifi, cellular
}

/// A daily window in minutes since midnight, the last one excluded; it may go over midnight. With the same start and
/// end it is the whole day.
public struct DailyWindow: Equatable, Sendable {
    public let start: UInt32
    public let end: UInt32

    /// Nil for what is no minute of a day.
    public init?(start: UInt32, end: UInt32) {
        guard start < 1440, end < 1440 else { return nil }
        self.start = start
        self.end = end
    }

    public func contains(_ minute: UInt32) -> Bool {
        if start == end { return true }
        return start < end ? minute >= start && minute < end : minute >= start || minute < end
    }

    /// `01:30-05:00`.
    public init?(text: String) {
        let sides = text.utf8.split(separator: 0x2d, omittingEmptySubsequences: false)
        guard sides.count == 2, let start = Self.minute(sides[0]), let end = Self.minute(sides[1]) else { return nil }
        self.init(start: start, end: end)
    }

    private static func minute(_ text: Substring.UTF8View) -> UInt32? {
        let parts = text.split(separator: 0x3a, omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].count == 2, parts[1].count == 2, let hour = number(parts[0]),
            let minute = number(parts[1]), hour < 24, minute < 60
        else { return nil }
        return hour * 60 + minute
    }

    private static func number(_ digits: Substring.UTF8View) -> UInt32? {
        var value: UInt32 = 0
        for digit in digits {
            guard digit >= 0x30, digit <= 0x39 else { return nil }
            value = value * 10 + UInt32(digit - 0x30)
        }
        return value
    }
}

/// What a download may cost on one class of network.
public struct NetworkRule: Equatable, Sendable {
    /// Bytes per second; 0: no limit.
    public var bytesPerSecond: UInt64 = 0
    /// Bytes for each period; 0: no limit.
    public var budget: UInt64 = 0
    /// Length of a period, days, at least 1.
    public var budgetDays: UInt32 = 30
    /// Local time of the day; nil: always.
    public var window: DailyWindow?
    /// Not at all on this class.
    public var isForbidden = false

    public init() {}
}

/// The rules of all classes.
public struct NetworkRules: Equatable, Sendable {
    public var ethernet = NetworkRule()
    public var wifi = NetworkRule()
    public var cellular = NetworkRule()

    public init() {}

    public subscript(_ name: NetworkClass) -> NetworkRule {
        get {
            switch name {
            case .ethernet: ethernet
            case .wifi: wifi
            case .cellular: cellular
            }
        }
        set {
            switch name {
            case .ethernet: ethernet = newValue
            case .wifi: wifi = newValue
            case .cellular: cellular = newValue
            }
        }
    }
}

/// Says which class of network carries the traffic now. Asked again from time to time during a download.
public protocol NetworkClassProbe: AnyObject, Sendable {
    func currentClass() -> NetworkClass
}

/// Where the bytes of a period are counted over restarts.
public protocol TrafficStore: AnyObject, Sendable {
    /// Nil where nothing was counted yet.
    func readTraffic() throws(SystemError) -> [UInt8]?
    /// Replaces it as a whole.
    func writeTraffic(_ bytes: [UInt8]) throws(SystemError)
}
