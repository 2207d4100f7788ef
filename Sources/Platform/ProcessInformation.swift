internal import CDevice

/// Facts about this process and machine.
public enum ProcessInformation {
    /// Process id.
    public static var identifier: Int32 { kedge_pid() }
    /// Effective user id.
    public static var user: UInt32 { kedge_user() }
    /// Processors that are on.
    public static var processorCount: Int { Int(kedge_cpu_count()) }
    /// Highest resident memory of this process so far, in KiB (VmHWM).
    public static var peakResidentKiB: UInt64 { kedge_peak_resident_kib() }
    /// An environment variable.
    public static func environment(_ name: String) -> String? {
        guard let value = unsafe kedge_environment(name) else { return nil }
        return unsafe String(cString: value)
    }
    /// Ends the process.
    public static func exit(_ status: Int32) -> Never { kedge_exit(status) }
    /// Tells systemd (sd_notify(3)), for example `READY=1`; nothing happens outside a notify service.
    public static func notifyServiceManager(_ state: String) { _ = unsafe kedge_notify(state) }
}

/// SIGTERM, SIGINT and SIGHUP as values. Make one before any thread starts.
public final class SignalInbox: Sendable {
    private let raw: Int32

    /// Blocks the three signals in this thread and all that it starts, and makes writes to closed pipes an error
    /// instead of a signal.
    public init() throws(SystemError) {
        kedge_ignore_broken_pipes()
        raw = try checked(kedge_signals_claim(), "signalfd", "stop signals")
    }

    /// Whether one of them came since the last call.
    public func stopRequested() -> Bool { kedge_signals_next(raw) > 0 }
}
