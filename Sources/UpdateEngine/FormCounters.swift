/// How the bytes of an image come to a device.
public enum FormKind: Sendable, CaseIterable {
    /// Windows that need nothing else.
    case windows
    /// A delta against the image that the running slot holds.
    case delta
    /// The image coded against itself.
    case solid
    /// Single blocks, beside those that the device holds somewhere.
    case blocks

    /// Its name in documents.
    public var name: String {
        switch self {
        case .windows: "windows"
        case .delta: "delta"
        case .solid: "solid"
        case .blocks: "blocks"
        }
    }
}

/// What came of one form, bytes.
public struct FormCounts: Equatable, Sendable {
    /// Taken from the source for it, its tables included.
    public var fetched: UInt64 = 0
    /// Image bytes that were copied from what the device held already.
    public var reused: UInt64 = 0
    /// Image bytes of it that were written, because the target did not hold them.
    public var written: UInt64 = 0

    /// All zero.
    public init() {}

    static func += (sum: inout FormCounts, more: FormCounts) {
        sum.fetched += more.fetched
        sum.reused += more.reused
        sum.written += more.written
    }
}

/// What an attempt fetched in which form, and what came of it. The head of the bundle belongs to none.
public struct FormCounters: Equatable, Sendable {
    private var windows = FormCounts()
    private var delta = FormCounts()
    private var solid = FormCounts()
    private var blocks = FormCounts()
    /// Windows that another form did not give, because the device does not hold what it was made from, and that were
    /// fetched in full: their number and their stored bytes, which `windows` has too.
    public var fallbackWindows: UInt64 = 0
    public var fallbackBytes: UInt64 = 0

    /// All zero.
    public init() {}

    public subscript(_ form: FormKind) -> FormCounts {
        get {
            switch form {
            case .windows: windows
            case .delta: delta
            case .solid: solid
            case .blocks: blocks
            }
        }
        set {
            switch form {
            case .windows: windows = newValue
            case .delta: delta = newValue
            case .solid: solid = newValue
            case .blocks: blocks = newValue
            }
        }
    }

    static func += (sum: inout FormCounters, more: FormCounters) {
        for form in FormKind.allCases { sum[form] += more[form] }
        sum.fallbackWindows += more.fallbackWindows
        sum.fallbackBytes += more.fallbackBytes
    }
}
