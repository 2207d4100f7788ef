/// Sizes for people.
public enum ByteCount {
    /// Three digits and a binary unit, for example `1.25 GiB`; below 1 KiB whole bytes.
    public static func text(_ bytes: UInt64) -> String {
        var unit = 0
        var value = bytes
        var rest: UInt64 = 0
        while value >= 1024 && unit < units.count - 1 {
            rest = value % 1024
            value /= 1024
            unit += 1
        }
        if unit == 0 { return "\(bytes) bytes" }
        let hundredths = rest * 100 / 1024
        switch value {
        case 0..<10: return "\(value).\(hundredths < 10 ? "0" : "")\(hundredths) \(units[unit])"
        case 10..<100: return "\(value).\(hundredths / 10) \(units[unit])"
        default: return "\(value) \(units[unit])"
        }
    }

    private static let units = ["bytes", "KiB", "MiB", "GiB", "TiB"]

    /// `part` of `whole` in percent with one digit behind the point.
    public static func percent(_ part: UInt64, of whole: UInt64) -> String {
        let permille = permille(part, of: whole)
        return "\(permille / 10).\(permille % 10) %"
    }

    /// `part` of `whole` in thousandths, rounded down; nothing of nothing is 0.
    static func permille(_ part: UInt64, of whole: UInt64) -> UInt64 { whole == 0 ? 0 : part * 1000 / whole }
}
