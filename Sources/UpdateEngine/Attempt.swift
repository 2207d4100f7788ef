public import BundleFormat
public import Platform

/// Bytes that an attempt moved. All counts are over the whole attempt, interruptions included.
public struct TransferCounters: Equatable, Sendable {
    /// Taken from the source, head and repeated bytes included.
    public var fetched: UInt64 = 0
    /// Image bytes that were found in the target after an interruption and neither fetched nor written again.
    public var reused: UInt64 = 0
    /// Image bytes that the target already held when their window arrived, so that they were not written.
    public var unchanged: UInt64 = 0
    /// Image bytes written to the target.
    public var written: UInt64 = 0
    /// The same by the form in which images came.
    public var forms = FormCounters()

    /// All zero.
    public init() {}
}

/// How far an attempt is that is only to be downloaded for now.
public enum Staging: String, Sendable {
    /// It is to be installed as soon as it is there.
    case none
    /// It is to wait once everything is in the slot and read back.
    case wanted
    /// It waits there.
    case done
}

/// One try at one release.
public struct Attempt: Equatable, Sendable {
    /// 1 to 64 of printable ASCII without spaces.
    public let id: String
    /// URL or path; may carry a signed query, so it is kept in a 0600 file and never printed.
    public let location: String
    /// More places of the same bundle, in the order in which they are wanted.
    public var alternatives: [String] = []
    /// Which manifest is wanted, if whoever asked said so.
    public let wanted: Digest?
    /// Which manifest it is, once the head was verified.
    public var manifest: Digest?
    public var releaseID: String
    public var version: String
    public var phase: Phase
    /// The slot set that is written.
    public var target: String
    public var counters: TransferCounters
    public var cost: AttemptCost
    /// Windows that were flushed, by component: a hint that is believed only after re-hashing.
    public var progress: [WindowBitmap]
    /// Image bytes of the release, for progress.
    public var imageBytes: UInt64
    /// The boot id when the record was armed, or sent back to the former slot set. Another one on the former slot set of
    /// an armed record means that the boot loader did not try; the same one, that the reboot is still due.
    public var armedBoot: String
    /// Why it waits although it has not ended, if it does.
    public var pause: Failure?
    /// Whether it stops before the boot record is armed, until somebody wants it installed.
    public var staging = Staging.none

    public init(id: String, location: String, wanted: Digest?) {
        self.id = id
        self.location = location
        self.wanted = wanted
        manifest = nil
        releaseID = ""
        version = ""
        phase = .idle
        target = ""
        counters = TransferCounters()
        cost = AttemptCost()
        progress = []
        imageBytes = 0
        armedBoot = ""
    }

    /// Most places besides the first.
    public static let alternativesLimit = 8

    /// Whether a text can be an attempt id.
    public static func isValid(id: String) -> Bool {
        let bytes = id.utf8
        guard (1...64).contains(bytes.count) else { return false }
        for byte in bytes where byte <= 0x20 || byte >= 0x7f { return false }
        return true
    }
}

/// How an attempt ended. It never changes afterwards: redelivered requests for the same id are answered from it.
public struct AttemptResult: Equatable, Sendable {
    public let attempt: String
    /// A terminal phase.
    public let phase: Phase
    public let manifest: Digest?
    public let releaseID: String
    public let version: String
    /// The failure, for `failed` and `rolledBack`.
    public let failure: Failure?
    /// The rollback reason's name, or empty.
    public let reason: String
    public let counters: TransferCounters
    public let cost: AttemptCost

    public init(
        attempt: String, phase: Phase, manifest: Digest?, releaseID: String, version: String, failure: Failure?,
        reason: String, counters: TransferCounters, cost: AttemptCost = AttemptCost()
    ) {
        self.attempt = attempt
        self.phase = phase
        self.manifest = manifest
        self.releaseID = releaseID
        self.version = version
        self.failure = failure
        self.reason = reason
        self.counters = counters
        self.cost = cost
    }

    /// The result of an attempt as it stands.
    init(_ attempt: Attempt, _ phase: Phase, failure: Failure? = nil, reason: String = "") {
        self.init(
            attempt: attempt.id, phase: phase, manifest: attempt.manifest, releaseID: attempt.releaseID,
            version: attempt.version, failure: failure, reason: reason, counters: attempt.counters, cost: attempt.cost)
    }
}

/// A set of window numbers of one component.
public struct WindowBitmap: Equatable, Sendable {
    public let component: Identifier
    /// Windows of the image.
    public let count: Int
    private var bits: [UInt8]

    /// An empty set.
    public init(component: Identifier, count: Int) {
        self.component = component
        self.count = count
        bits = [UInt8](repeating: 0, count: (count + 7) / 8)
    }

    /// From its hexadecimal form; nil when the length does not fit.
    public init?(component: Identifier, count: Int, hex: String) {
        guard let bits = Hex.decode(hex), bits.count == (count + 7) / 8 else { return nil }
        self.component = component
        self.count = count
        self.bits = bits
    }

    /// Bits, lowest window first, lowest bit first.
    public var hex: String { Hex.encode(bits) }

    /// Whether the window is in the set.
    public func contains(_ index: Int) -> Bool {
        guard index >= 0, index < count else { return false }
        return bits[index / 8] >> UInt8(index % 8) & 1 == 1
    }

    /// Adds a window.
    public mutating func insert(_ index: Int) {
        guard index >= 0, index < count else { return }
        bits[index / 8] |= 1 << UInt8(index % 8)
    }

    /// Adds all windows.
    mutating func insertAll() {
        for index in 0..<count { insert(index) }
    }

    /// The highest window in the set, or -1.
    public var highest: Int {
        var index = count - 1
        while index >= 0, !contains(index) { index -= 1 }
        return index
    }
}
