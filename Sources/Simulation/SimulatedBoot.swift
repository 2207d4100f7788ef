public import BootControl

/// A machine's way from power-on to user space, with a boot loader that decides by `BootLoaderModel` and stores the
/// record as a real one does: before the kernel starts, and only when the model says so.
public struct SimulatedBoot {
    /// What goes wrong with a slot set on trial. A slot set that was confirmed is never failed.
    public enum Fault: String, Sendable, CaseIterable {
        /// The kernel panics before user space; the machine resets itself.
        case boot
        /// Nothing happens any more before user space; the watchdog resets the machine.
        case hang
    }

    /// One start of a kernel.
    public struct Start: Equatable, Sendable {
        /// Why this slot set was started.
        public enum Cause: Equatable, Sendable {
            /// It is the active one, and nothing is on trial.
            case steady
            /// It is on trial.
            case trial(triesLeft: UInt8)
            /// The trial of the other one ended with this start.
            case fellBack(RollbackReason)
        }
        /// Counts from 1.
        public let number: Int
        public let slot: SlotSet
        public let cause: Cause
        /// What kept it from user space; nil when it got there.
        public let fault: Fault?
    }

    private let home: any BootHome
    /// No record allows more starts before user space: 255 tries and the fallback.
    private static let mostStarts = 256

    public init(home: any BootHome) { self.home = home }

    /// Starts kernels until one reaches user space, and gives all starts in order. `fault` hits the first `times`
    /// starts of a slot set on trial; nil hits them all.
    public func powerOn(
        fault: Fault? = nil, times: Int? = nil, onStart: (Start) -> Void = { _ in }
    ) throws(BootError) -> [Start] {
        var starts: [Start] = []
        var faultsLeft = fault == nil ? 0 : times ?? Self.mostStarts
        while starts.count < Self.mostStarts {
            let record = try home.load()
            let choice = BootLoaderModel.choose(record)
            if let next = choice.write { _ = try home.store(next) }
            let cause = Self.cause(of: choice)
            var hit: Fault?
            if case .trial = cause, faultsLeft > 0 {
                faultsLeft -= 1
                hit = fault
            }
            let start = Start(number: starts.count + 1, slot: choice.slot, cause: cause, fault: hit)
            starts.append(start)
            onStart(start)
            if hit == nil { return starts }
        }
        throw .invalid(home: home.displayName, why: "\(Self.mostStarts) starts without a way to user space")
    }

    private static func cause(of choice: BootLoaderModel.Choice) -> Start.Cause {
        guard let next = choice.write else { return .steady }
        return next.phase == .trial ? .trial(triesLeft: next.triesLeft) : .fellBack(next.reason)
    }
}
