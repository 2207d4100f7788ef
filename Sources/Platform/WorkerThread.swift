internal import CDevice

/// The body of a thread, boxed so that it can pass through C.
private final class ThreadBody {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Entry point on the new thread. A free function: a closure written in `@main` code would be main-actor isolated
/// and trap on a C thread.
private func runThreadBody(_ context: UnsafeMutableRawPointer?) {
    guard let context = unsafe context else { return }
    unsafe Unmanaged<ThreadBody>.fromOpaque(context).takeRetainedValue().run()
}

/// A named operating system thread that must be joined.
@safe public final class WorkerThread: @unchecked Sendable {
    private var handle: UnsafeMutableRawPointer?

    /// Starts `body`; `name` is cut to 15 bytes by Linux.
    public init(name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
        let context = unsafe Unmanaged.passRetained(ThreadBody(body))
        var error: Int32 = 0
        unsafe handle = kedge_thread_start(name, runThreadBody, context.toOpaque(), &error)
        if unsafe handle == nil {
            unsafe context.release()
            throw SystemError(number: -error, operation: "start thread", subject: name)
        }
    }

    /// Waits until the body returned. A second call does nothing.
    public func join() {
        if let thread = unsafe handle {
            unsafe kedge_thread_join(thread)
            unsafe handle = nil
        }
    }
}
