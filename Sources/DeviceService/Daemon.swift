internal import DeviceTwin
internal import Platform
internal import StrictJSON
internal import UpdateEngine

/// `kedged run`: finishes a trial, resumes an interrupted attempt, and with `--agent stdio` lives by desired
/// documents on standard input and reported patches on standard output.
///
/// Two threads: this one waits for input and signals, the worker runs the engine.
final class Daemon: @unchecked Sendable {
    private let device: Device
    private let once: Bool
    private let agent: Bool
    private let monitor = Monitor()
    private var twin = TwinMachine()
    private var jobs: [DesiredUpdate] = []
    private var working = false
    private var stopping = false
    private var cancelSeen = false
    private var failure: Failure?
    private var engine: Engine?
    private let printer: ProgressPrinter

    /// First and longest pause before an attempt that the network stopped goes on.
    private static let retryFirst: UInt64 = 5_000_000_000
    private static let retryMost: UInt64 = 900_000_000_000

    init(_ device: Device, once: Bool, agent: Bool) {
        self.device = device
        self.once = once
        self.agent = agent
        printer = ProgressPrinter(.error, time: device.surroundings.time)
    }

    /// Runs until told to stop; the exit status.
    func run() throws(Failure) -> Int32 {
        let signals: SignalInbox
        do throws(SystemError) { signals = try SignalInbox() } catch { throw Failure(error) }
        let lock = try device.lock()
        defer { withExtendedLifetime(lock) {} }
        let engine = try Engine(device.surroundings, observer: self)
        self.engine = engine
        let worker: WorkerThread
        do throws(SystemError) {
            worker = try WorkerThread(name: "kedge-engine") { self.work(engine) }
        } catch {
            throw Failure(error)
        }
        ProcessInformation.notifyServiceManager("READY=1")
        do throws(SystemError) {
            try listen(signals)
        } catch {
            stop()
            worker.join()
            throw Failure(error)
        }
        ProcessInformation.notifyServiceManager("STOPPING=1")
        worker.join()
        // Each failure was told when it happened; one pass ends with the last one's status.
        return once ? failure?.category.rawValue ?? 0 : 0
    }

    // MARK: the listening thread

    private func listen(_ signals: SignalInbox) throws(SystemError) {
        let reader = agent ? LineReader(standardInputLimit: DesiredUpdate.limit) : nil
        var inputEnded = !agent
        while true {
            if signals.stopRequested() { return stop() }
            if monitor.locked({ stopping }) { return }
            watchCancelRequest()
            guard let reader, !inputEnded else {
                if once || agent, finished() { return stop() }
                device.surroundings.time.sleep(nanoseconds: 100_000_000)
                continue
            }
            switch try reader.next(milliseconds: 100) {
            case .line(let text): take(text)
            case .tooLong: take("")
            case .timedOut: break
            // An agent that closes our input wants what it asked for to be finished, and then us to leave.
            case .end: inputEnded = true
            }
        }
    }

    /// Another process may have asked to cancel: what works is woken, and so is what waits for the network.
    private func watchCancelRequest() {
        if !device.state.cancelRequested() { return }
        engine?.pollCancelRequest()
        monitor.locked {
            cancelSeen = true
            monitor.signal()
        }
    }

    private func take(_ text: String) {
        if text.utf8.allSatisfy({ $0 <= 0x20 }) && !text.isEmpty { return }
        perform(monitor.locked { twin.handle(.document(text)) })
    }

    /// Whether the worker has nothing left to do.
    private func finished() -> Bool { monitor.locked { started && !working && jobs.isEmpty } }
    private var started = false

    private func stop() {
        monitor.locked {
            stopping = true
            monitor.signal()
        }
        // A stop is no cancellation: the attempt stays and the next start resumes it.
        engine?.pauseForStop()
    }

    private func perform(_ effects: [TwinMachine.Effect]) {
        for effect in effects {
            switch effect {
            case .start(let update):
                monitor.locked {
                    jobs.append(update)
                    monitor.signal()
                }
            case .requestCancel(let attempt): engine?.requestCancel(attempt)
            case .report(let patch): StandardStream.output.line(patch.compactText)
            }
        }
    }

    // MARK: the engine's thread

    private func work(_ engine: Engine) {
        monitor.locked { working = true }
        note { () throws(Failure) in try engine.recover() }
        var pause = Self.retryFirst
        while true {
            if monitor.locked({ cancelSeen }) { note { () throws(Failure) in try serveCancelRequest(engine) } }
            if engine.canResume, monitor.locked({ !stopping && jobs.isEmpty }) {
                note { () throws(Failure) in try engine.resume() }
                if !engine.canResume { pause = Self.retryFirst }
            }
            guard let job = nextJob(retryIn: engine.canResume ? pause : nil) else {
                if monitor.locked({ stopping }) { return }
                if monitor.locked({ cancelSeen }) { continue }
                pause = min(pause * 2, Self.retryMost)
                continue
            }
            note { () throws(Failure) in try run(job, engine) }
            perform(monitor.locked { twin.handle(.idle) })
        }
    }

    /// Ends the paused attempt when the request is still there; an attempt that worked took it with its end.
    private func serveCancelRequest(_ engine: Engine) throws(Failure) {
        monitor.locked { cancelSeen = false }
        if !device.state.cancelRequested() { return }
        if engine.canResume { return try engine.cancel() }
        do throws(SystemError) {
            try device.state.setCancelRequest(false)
        } catch {
            throw Failure(ServiceError.dataDirectory(error))
        }
    }

    private func run(_ job: DesiredUpdate, _ engine: Engine) throws(Failure) {
        switch job.action {
        case .install: try engine.install(job.url, id: job.attempt, wanted: job.manifest)
        case .cancel: try engine.cancel(job.attempt)
        case .confirm: try engine.confirm(job.attempt)
        case .rollback: try engine.rollBack(job.attempt)
        }
    }

    /// Waits for a job; nil when it is time to retry the paused attempt, or to stop.
    private func nextJob(retryIn pause: UInt64?) -> DesiredUpdate? {
        monitor.locked {
            working = false
            started = true
            while jobs.isEmpty && !stopping && !cancelSeen {
                if once, pause != nil {
                    // One pass does not wait for the network to come back.
                    monitor.wait()
                } else if let pause {
                    if monitor.wait(nanoseconds: pause) { break }
                } else {
                    monitor.wait()
                }
            }
            working = !stopping
            return stopping || jobs.isEmpty ? nil : jobs.removeFirst()
        }
    }

    /// Runs a step; a failure is printed and kept, and never ends the daemon.
    private func note(_ body: () throws(Failure) -> Void) {
        do throws(Failure) {
            try body()
            failure = nil
        } catch {
            if monitor.locked({ stopping }) { return }
            failure = error
            StandardStream.error.line("kedged: " + error.line)
            if agent, error.category == .state || error.category == .usage {
                perform([.report(ReportedDocument.refusal(error))])
            }
        }
    }
}

extension Daemon: EngineObserver {
    func engineChanged(_ status: EngineStatus) {
        ProcessInformation.notifyServiceManager("WATCHDOG=1")
        if agent {
            let now = device.surroundings.time.monotonicNanoseconds()
            perform(monitor.locked { twin.handle(.status(status, at: now)) })
        } else {
            printer.engineChanged(status)
        }
    }
}
