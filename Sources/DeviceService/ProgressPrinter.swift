internal import BootControl
internal import Platform
internal import UpdateEngine

/// Tells a person (or a log) what the engine does: one line a phase, a bar on a terminal, a line every ten per cent
/// elsewhere.
final class ProgressPrinter: EngineObserver, @unchecked Sendable {
    private let stream: StandardStream
    private let time: any TimeSource
    private let monitor = Monitor()
    private var phase: Phase?
    private var lastTenth: UInt64 = 0
    private var lastDraw: UInt64 = 0
    private var startedAt: UInt64 = 0
    private var startedBytes: UInt64 = 0
    private var drawn = false
    private var plannedAttempt = ""

    init(_ stream: StandardStream, time: any TimeSource) {
        self.stream = stream
        self.time = time
    }

    func engineChanged(_ status: EngineStatus) {
        monitor.locked { show(status) }
    }

    private func show(_ status: EngineStatus) {
        if status.phase != phase {
            clear()
            phase = status.phase
            lastTenth = 0
            startedAt = time.monotonicNanoseconds()
            startedBytes = status.handledBytes
            if let text = Self.line(for: status) { stream.line(text) }
            if status.phase == .fetching { showPlan(status) }
        }
        guard status.phase == .fetching || status.phase == .written, status.totalBytes > 0 else { return }
        let handled = min(status.handledBytes, status.totalBytes)
        if stream.isTerminal { return draw(handled, status.totalBytes) }
        let tenth = handled * 10 / status.totalBytes
        if tenth > lastTenth, status.phase == .fetching {
            lastTenth = tenth
            stream.line("  \(tenth * 10) %  \(ByteCount.text(handled)) of \(ByteCount.text(status.totalBytes))")
        }
    }

    private func showPlan(_ status: EngineStatus) {
        guard let plan = status.plan, let attempt = status.attempt, attempt.id != plannedAttempt else { return }
        plannedAttempt = attempt.id
        for item in plan.items {
            stream.line(
                "  \(item.component) to \(item.slot): \(ByteCount.text(item.imageBytes)) image, "
                    + "\(ByteCount.text(item.fetchBytes)) to fetch\(item.form == .windows ? "" : " as \(item.form.name)"), "
                    + "\(ByteCount.text(item.reusedBytes)) already there")
        }
    }

    /// One line that is drawn again at most ten times a second.
    private func draw(_ handled: UInt64, _ total: UInt64) {
        let now = time.monotonicNanoseconds()
        if drawn, handled < total, now - lastDraw < 100_000_000 { return }
        lastDraw = now
        drawn = true
        let width: UInt64 = 30
        let filled = Int(handled * width / total)
        var bar = ""
        for index in 0..<Int(width) { bar += index < filled ? "#" : "." }
        let seconds = (now - startedAt) / 1_000_000
        let moved = handled > startedBytes ? handled - startedBytes : 0
        let rate = seconds > 0 ? moved * 1000 / seconds : 0
        let left = rate > 0 ? (total - handled) / rate : 0
        stream.write(
            "\r  [\(bar)] \(handled * 100 / total) %  \(ByteCount.text(rate))/s  \(left) s left   ")
    }

    private func clear() {
        if drawn { stream.write("\n") }
        drawn = false
    }

    /// The sentence for a phase.
    private static func line(for status: EngineStatus) -> String? {
        let release = status.attempt.map { $0.releaseID.isEmpty ? $0.id : $0.releaseID } ?? ""
        switch status.phase {
        case .planned: return "planning: reading and verifying the head of the bundle"
        case .fetching: return "fetching: \(release) to slot set \(status.running.other.letter)"
        case .written: return "written: every window is in the slot and flushed; reading back"
        case .verified: return "verified: what the medium gives back is the release"
        case .armed:
            return
                "armed: slot set \(status.record.active.letter) gets \(status.record.triesLeft) tries; reboot to try it"
        case .rebooting: return "rebooting"
        case .trial: return "trial: \(release) runs from slot set \(status.running.letter), not confirmed yet"
        case .confirmed: return "confirmed: \(release)"
        case .rolledBack: return "rolled back: slot set \(status.record.active.letter) is selected again"
        case .canceled: return "canceled: nothing that runs was changed"
        case .failed: return "failed"
        case .idle, .waiting: return nil
        }
    }
}

/// Bytes for people.
enum ByteCount {
    /// In B, KiB, MiB or GiB with one digit behind the point.
    static func text(_ bytes: UInt64) -> String {
        let units: [(name: String, size: UInt64)] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        for unit in units where bytes >= unit.size {
            let tenths = bytes / unit.size * 10 + bytes % unit.size * 10 / unit.size
            return "\(tenths / 10).\(tenths % 10) \(unit.name)"
        }
        return "\(bytes) B"
    }
}
