internal import Platform

/// Counts of a transfer by form; several threads add to them.
final class FormTally: @unchecked Sendable {
    private let monitor = Monitor()
    private var counters = FormCounters()

    var current: FormCounters { monitor.locked { counters } }

    func add(fetched bytes: Int, _ form: FormKind) { monitor.locked { counters[form].fetched += UInt64(bytes) } }

    /// A window came to its slot: so many of its bytes came from the device itself, and so many had to be written.
    func add(reused: Int, written: Int, _ form: FormKind) {
        monitor.locked {
            counters[form].reused += UInt64(reused)
            counters[form].written += UInt64(written)
        }
    }

    /// A window is fetched in full because its form did not give it.
    func addFallback(bytes: Int) {
        monitor.locked {
            counters.fallbackWindows += 1
            counters.fallbackBytes += UInt64(bytes)
        }
    }
}
