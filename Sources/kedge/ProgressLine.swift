internal import Packaging
internal import Platform

/// How far a command is, on standard error: a line drawn again and again with rate and time left for a person, one
/// line every ten percent for a log, and nothing for JSON.
final class ProgressLine {
    private enum Style { case drawn, logged, silent }

    private let style: Style
    private let verb: String
    private let clock = SystemTime()
    private let start: UInt64
    private var lastDrawn: UInt64 = 0
    private var lastTenth: UInt64 = 0
    private var isDrawn = false

    /// Redrawn at most this often, nanoseconds.
    private static let interval: UInt64 = 100_000_000

    /// `verb` says what is done, for example `building`.
    init(_ verb: String, json: Bool) {
        self.verb = verb
        style = json ? .silent : StandardStream.error.isTerminal ? .drawn : .logged
        start = clock.monotonicNanoseconds()
    }

    /// Bytes done and in total; `note` is added to the line.
    func update(_ done: UInt64, of total: UInt64, note: String = "") {
        switch style {
        case .silent: return
        case .logged:
            let tenth = total == 0 ? 10 : done * 10 / total
            if tenth <= lastTenth { return }
            lastTenth = tenth
            StandardStream.error.line("\(verb): \(tenth * 10) % of \(ByteCount.text(total))\(note)")
        case .drawn:
            let now = clock.monotonicNanoseconds()
            if done < total && now - lastDrawn < Self.interval { return }
            lastDrawn = now
            isDrawn = true
            StandardStream.error.write("\r\u{1b}[K" + line(done, total, seconds: (now - start) / 1_000_000_000) + note)
        }
    }

    /// Takes a drawn line away, so that what follows starts clean. Safe to call twice.
    func clear() {
        if isDrawn { StandardStream.error.write("\r\u{1b}[K") }
        isDrawn = false
    }

    private func line(_ done: UInt64, _ total: UInt64, seconds: UInt64) -> String {
        let width: UInt64 = 24
        let filled = total == 0 ? width : done * width / total
        let bar = String(repeating: "#", count: Int(filled)) + String(repeating: "-", count: Int(width - filled))
        var text = "\(verb) [\(bar)] \(ByteCount.percent(done, of: total))"
        if seconds > 0 && done > 0 {
            let rate = done / seconds
            text += "  \(ByteCount.text(rate))/s"
            if rate > 0 { text += "  \(Self.duration((total - done) / rate)) left" }
        }
        return text
    }

    private static func duration(_ seconds: UInt64) -> String {
        let rest = seconds % 60
        return "\(seconds / 60):\(rest < 10 ? "0" : "")\(rest)"
    }
}
