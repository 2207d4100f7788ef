internal import BundleFormat
internal import DeviceTwin
internal import Platform
internal import Transfer
internal import StrictJSON
internal import UpdateEngine

/// `kedged run`: finishes a trial, resumes an interrupted attempt, and with `--agent stdio` lives by desired
/// documents on standard input and reported patches on standard output.
///
/// Two threads: this one waits for input and signals, the worker runs the engine.
final class Daemon: @unchecked Sendable {
    private let device: Device
    private let once: Bool
    private let agent: RunAgent
    /// The hub's thread, with `--agent iothub`.
    private var hub: HubAgent?
    private let monitor = Monitor()
    private var twin = DeviceTwins()
    private var jobs: [DesiredUpdate] = []
    private var working = false
    private var stopping = false
    private var cancelSeen = false
    /// Something changed that the engine's thread should look at.
    private var woken = false
    private var failure: Failure?
    private var engine: Engine?
    private let printer: ProgressPrinter

    /// Pauses before an attempt that the network stopped goes on, and the runs in a row that brought nothing.
    private let pauses: PauseRule
    private var fruitless: UInt32 = 0
    /// The attempt that waits for this device's turn, and until when, monotonic nanoseconds.
    private var held: (attempt: String, until: UInt64)?

    /// What only somebody from outside can mend: a new address, another pipe.
    private static let waitsForWord: [String] = [
        NetworkFault.addressExpired.rawValue, NetworkFault.streamGone.rawValue,
    ]

    init(_ device: Device, once: Bool, agent: RunAgent) {
        self.device = device
        self.once = once
        self.agent = agent
        let network = device.configuration.network
        pauses = PauseRule(network.http, spreadSeconds: network.spread, random: device.surroundings.random)
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
        try openHub(engine)
        let worker: WorkerThread
        do throws(SystemError) {
            worker = try WorkerThread(name: "kedge-engine") { self.work(engine) }
        } catch {
            throw Failure(error)
        }
        ProcessInformation.notifyServiceManager("READY=1")
        do throws(SystemError) {
            try hub?.start(self)
            try listen(signals)
        } catch {
            stop()
            worker.join()
            hub?.stop()
            throw Failure(error)
        }
        ProcessInformation.notifyServiceManager("STOPPING=1")
        worker.join()
        hub?.stop()
        // Each failure was told when it happened; one pass ends with the last one's status.
        return once ? failure?.category.rawValue ?? 0 : 0
    }

    private func openHub(_ engine: Engine) throws(Failure) {
        guard agent == .iothub else { return }
        guard let configuration = device.configuration.hub else {
            throw Failure(ServiceError.usage("--agent iothub needs the section [azure] in device.ini"))
        }
        if let machine = try deviceUpdate(configuration) { twin = DeviceTwins(deviceUpdate: machine) }
        hub = try HubAgent(
            configuration, data: device.configuration.data, device.surroundings,
            timeFloor: engine.status.time.lowerBound)
    }

    /// The Device Update dialect, where the model id that is announced asks for it.
    private func deviceUpdate(_ configuration: HubConfiguration) throws(Failure) -> DeviceUpdateMachine? {
        guard let model = configuration.model, DeviceUpdateMachine.isModel(model) else { return nil }
        let identity = device.configuration.identity
        var machine = DeviceUpdateMachine(.init(manufacturer: identity.vendor, model: identity.deviceClass))
        if let path = configuration.rootKeys {
            let bytes: [UInt8]
            do throws(SystemError) {
                bytes = try FileSystem.read(path, limit: DeviceUpdateTrust.packageLimit)
            } catch { throw Failure(error) }
            do throws(DeviceUpdateError) {
                try machine.adopt(rootKeys: String(decoding: bytes, as: UTF8.self))
            } catch { throw Failure(error) }
        }
        return machine
    }

    // MARK: the listening thread

    private func listen(_ signals: SignalInbox) throws(SystemError) {
        let reader = agent == .stdio ? LineReader(standardInputLimit: DesiredUpdate.limit) : nil
        var inputEnded = agent != .stdio
        while true {
            if signals.stopRequested() { return stop() }
            if monitor.locked({ stopping }) { return }
            watchCancelRequest()
            if engine?.pollPauseRequest() == true { wake() }
            guard let reader, !inputEnded else {
                if once || agent == .stdio, finished() { return stop() }
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

    private func wake() {
        monitor.locked {
            woken = true
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
            case .requestCancel(let attempt):
                engine?.requestCancel(attempt)
                // What waits for its turn is canceled now and not then.
                monitor.locked {
                    if held?.attempt == attempt { held = (attempt, 0) }
                    monitor.signal()
                }
            case .requestPause(let attempt):
                ask { () throws(Failure) in try engine?.requestPause(attempt) }
            case .requestResume(let attempt):
                ask { () throws(Failure) in try engine?.requestResume(attempt) }
            case .report(let patch): report(patch)
            // Calls come over a hub only.
            case .respond(let id, let status, let payload): hub?.respond(id: id, status: status, payload: payload)
            case .reboot: rebootOnRequest()
            }
        }
    }

    private func report(_ patch: JSONValue) {
        if let hub { hub.report(patch) } else { StandardStream.output.line(patch.compactText) }
    }

    /// Somebody asked for it from outside; what the engine works on goes on after it.
    private func rebootOnRequest() {
        do throws(Failure) { _ = try device.surroundings.power.reboot() } catch {
            StandardStream.error.line("kedged: " + error.line)
        }
    }

    /// Notes a wish at once, and lets the engine's thread see it.
    private func ask(_ body: () throws(Failure) -> Void) {
        do throws(Failure) {
            try body()
        } catch {
            StandardStream.error.line("kedged: " + error.line)
            report(ReportedDocument.refusal(error))
        }
        wake()
    }

    // MARK: the engine's thread

    private func work(_ engine: Engine) {
        monitor.locked { working = true }
        note { () throws(Failure) in try engine.recover() }
        note(settling: true) { () throws(Failure) in try device.settleFirmware() }
        // A run that just failed is not followed by another one at once: every device of a fleet would do that.
        var isDue = true
        while true {
            if monitor.locked({ cancelSeen }) { note { () throws(Failure) in try serveCancelRequest(engine) } }
            if isDue, engine.canResume, monitor.locked({ !stopping && jobs.isEmpty }) {
                let before = engine.status.attempt?.counters.fetched ?? 0
                note { () throws(Failure) in try engine.resume() }
                let hasMoved = engine.status.attempt?.counters.fetched ?? 0 > before + Self.movement
                fruitless = engine.canResume && !hasMoved ? fruitless + 1 : 0
            }
            guard let job = nextJob(engine, retryIn: engine.canResume ? retryPause(engine) : nil) else {
                if monitor.locked({ stopping }) { return }
                engine.notify()
                isDue = monitor.locked { !cancelSeen }
                continue
            }
            isDue = false
            if holdBack(job, engine.status) { continue }
            note { () throws(Failure) in try run(job, engine) }
            fruitless = 0
            perform(monitor.locked { twin.handle(.idle) })
        }
    }

    /// More than a head: bytes with which an attempt came on.
    private static let movement: UInt64 = 1 << 20

    /// Nanoseconds until the paused attempt is tried again: full jitter, because a whole fleet may have lost the same
    /// server.
    private func retryPause(_ engine: Engine) -> UInt64 {
        if engine.waitsForSpace, engine.status.pause?.code == Self.lowSpace { return .max }
        if let pause = engine.status.pause, Self.waitsForWord.contains(pause.code) { return .max }
        do throws(SystemError) {
            return try pauses.nanoseconds(runs: fruitless + 1)
        } catch {
            return pauses.longest
        }
    }

    private static let lowSpace = EngineError.lowSpace(place: "", free: 0, reserve: 0).code
    /// How often room is looked for, nanoseconds.
    private static let spaceInterval: UInt64 = 2_000_000_000

    /// Ends the paused attempt when the request is still there; an attempt that worked took it with its end.
    private func serveCancelRequest(_ engine: Engine) throws(Failure) {
        monitor.locked { cancelSeen = false }
        if !device.state.cancelRequested() { return }
        if engine.isUnfinished { return try engine.cancel() }
        do throws(SystemError) {
            try device.state.setCancelRequest(false)
        } catch {
            throw Failure(ServiceError.dataDirectory(error))
        }
    }

    private func run(_ job: DesiredUpdate, _ engine: Engine) throws(Failure) {
        switch job.action {
        case .install:
            try engine.install(job.url, id: job.attempt, wanted: job.manifest, alternatives: job.sources)
        case .download:
            try engine.install(
                job.url, id: job.attempt, wanted: job.manifest, alternatives: job.sources, downloadOnly: true)
        // Its pause was taken back when the wish came; one that was given since then stands. A resume that names the place
        // also starts an attempt of which this device has not heard.
        case .resume where job.url.isEmpty: try engine.goOn(job.attempt)
        case .resume:
            try engine.install(
                job.url, id: job.attempt, wanted: job.manifest, alternatives: job.sources, downloadOnly: nil)
        case .pause: break
        case .cancel: try engine.cancel(job.attempt)
        case .confirm: try engine.confirm(job.attempt)
        case .rollback: try engine.rollBack(job.attempt)
        }
    }

    /// Waits for a job whose time has come; nil when it is time to retry the waiting attempt, to look for a request, or to
    /// stop.
    private func nextJob(_ engine: Engine, retryIn pause: UInt64?) -> DesiredUpdate? {
        monitor.locked {
            working = false
            started = true
            let time = device.surroundings.time
            let retryAt = pause.map { time.monotonicNanoseconds().addingReportingOverflow($0) }
            let watchesSpace = pause != nil && engine.waitsForSpace && !once
            defer { woken = false }
            while !stopping && !cancelSeen && !woken {
                let now = time.monotonicNanoseconds()
                var end: UInt64?
                if let next = jobs.first {
                    guard let held, held.attempt == next.attempt, now < held.until else { break }
                    end = held.until
                } else if let retryAt, !once, !retryAt.overflow {
                    // One pass does not wait for the network to come back.
                    if now >= retryAt.partialValue { break }
                    end = retryAt.partialValue
                }
                if watchesSpace, jobs.isEmpty {
                    if engine.spaceIsBack { break }
                    end = min(end ?? .max, now + Self.spaceInterval)
                }
                if let end { _ = monitor.wait(nanoseconds: end - now) } else { monitor.wait() }
            }
            working = !stopping
            if stopping || jobs.isEmpty { return nil }
            if let held, held.attempt == jobs[0].attempt, time.monotonicNanoseconds() < held.until { return nil }
            return jobs.removeFirst()
        }
    }

    /// Holds a new download back until this device's turn among those of its fleet, and says so; whether it does. Another
    /// word for an attempt that began already, and every other action, is served at once.
    private func holdBack(_ update: DesiredUpdate, _ status: EngineStatus) -> Bool {
        let window = device.configuration.network.spread
        let isKnown =
            status.attempt?.id == update.attempt || status.results.contains { $0.attempt == update.attempt }
            || monitor.locked { held?.attempt == update.attempt }
        let fetches = update.action == .install || update.action == .download
        if !fetches || window == 0 || isKnown { return false }
        let wait = StartSpread.nanoseconds(
            device: device.configuration.identity.id,
            rollout: update.manifest?.hex ?? BundleLocation.lastName(of: update.url), windowSeconds: window)
        monitor.locked {
            held = (update.attempt, device.surroundings.time.monotonicNanoseconds() + wait)
            jobs.insert(update, at: 0)
        }
        if agent != .none {
            perform([.report(ReportedDocument.waiting(update.attempt, seconds: wait / 1_000_000_000))])
        }
        return true
    }

    /// Runs a step; a failure is printed and kept, and never ends the daemon.
    private func note(settling: Bool = false, _ body: () throws(Failure) -> Void) {
        do throws(Failure) {
            try body()
            // What was put right beside an attempt says nothing of how the attempt went.
            if !settling { failure = nil }
        } catch {
            if monitor.locked({ stopping }) { return }
            StandardStream.error.line("kedged: " + error.line)
            // Somebody wanted it so: nothing failed.
            if error.code == EngineError.pausedCode || error.code == EngineError.stagedCode { return }
            failure = error
            if agent != .none, error.category == .state || error.category == .usage {
                perform([.report(ReportedDocument.refusal(error))])
            }
        }
    }
}

extension Daemon: EngineObserver {
    func engineChanged(_ status: EngineStatus) {
        ProcessInformation.notifyServiceManager("WATCHDOG=1")
        if agent != .none {
            let now = device.surroundings.time.monotonicNanoseconds()
            perform(monitor.locked { twin.handle(.status(status, at: now)) })
        } else {
            printer.engineChanged(status)
        }
    }
}

extension Daemon: HubReceiver {
    func hubBrought(_ event: TwinMachine.Event) { perform(monitor.locked { twin.handle(event) }) }
}
