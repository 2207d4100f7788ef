internal import CDevice

/// A mutex with one condition variable: the only lock in the device graph (Embedded Swift has no `Mutex`).
@safe public final class Monitor: @unchecked Sendable {
    private let raw: UnsafeMutableRawPointer

    public init() { unsafe raw = kedge_monitor_create() }
    deinit { unsafe kedge_monitor_destroy(raw) }

    /// Runs `body` with the lock held.
    public func locked<Result, E: Error>(_ body: () throws(E) -> Result) throws(E) -> Result {
        unsafe kedge_monitor_lock(raw)
        defer { unsafe kedge_monitor_unlock(raw) }
        return try body()
    }

    /// Waits for `signal()`; only inside `locked`. May wake without one: callers loop on their condition.
    public func wait() { unsafe kedge_monitor_wait(raw) }

    /// Waits at most `nanoseconds`; true when the time ran out.
    public func wait(nanoseconds: UInt64) -> Bool { unsafe kedge_monitor_wait_for(raw, nanoseconds) == 1 }

    /// Wakes all waiters; inside `locked`.
    public func signal() { unsafe kedge_monitor_signal(raw) }
}
