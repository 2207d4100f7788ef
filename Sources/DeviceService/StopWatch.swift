internal import Platform
internal import UpdateEngine

/// Looks a few times a second whether somebody wants the work of this process to end: a signal stops it, and keeps
/// the attempt; a request of another process cancels or pauses the attempt. All of it also reaches an attempt that waits
/// for the network.
final class StopWatch: @unchecked Sendable {
    private let monitor = Monitor()
    private let signals: SignalInbox
    private var stopping = false
    private var thread: WorkerThread?

    private static let interval: UInt64 = 200_000_000

    /// Made before any other thread starts, as `SignalInbox` asks for.
    init() throws(Failure) {
        do throws(SystemError) { signals = try SignalInbox() } catch { throw Failure(error) }
    }

    /// Starts to watch for this engine.
    func start(_ engine: Engine) throws(Failure) {
        do throws(SystemError) {
            thread = try WorkerThread(name: "kedge-stop") { self.watch(engine) }
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
            if signals.stopRequested() { engine.pauseForStop() }
            engine.pollCancelRequest()
            _ = engine.pollPauseRequest()
        }
    }
}
