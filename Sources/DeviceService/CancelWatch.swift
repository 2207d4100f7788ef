internal import Platform
internal import UpdateEngine

/// Looks a few times a second whether another process asked to cancel, so that an attempt which waits for the
/// network hears of it too.
final class CancelWatch: @unchecked Sendable {
    private let monitor = Monitor()
    private var stopping = false
    private var thread: WorkerThread?

    private static let interval: UInt64 = 200_000_000

    init(_ engine: Engine) throws(Failure) {
        do throws(SystemError) {
            thread = try WorkerThread(name: "kedge-cancel") { self.watch(engine) }
        } catch {
            throw Failure(error)
        }
    }

    /// Ends the watch and waits for its thread.
    func stop() {
        monitor.locked {
            stopping = true
            monitor.signal()
        }
        thread?.join()
        thread = nil
    }

    private func watch(_ engine: Engine) {
        while true {
            let stop = monitor.locked { () -> Bool in
                if !stopping { _ = monitor.wait(nanoseconds: Self.interval) }
                return stopping
            }
            if stop { return }
            engine.pollCancelRequest()
        }
    }
}
