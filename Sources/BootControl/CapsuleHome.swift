internal import Platform

/// Another home on a machine whose firmware is updated by capsules: arming a release hands its capsules over.
///
/// Files come first, then the record, then the firmware is asked to look. A capsule that cannot be handed over arms
/// nothing; when the firmware cannot be asked after the record was written, the record is put back. A power cut between
/// the last two leaves a trial whose capsule is not installed, which fails and falls back (`CapsuleHandOver.judge`).
public final class CapsuleHome: BootHome {
    private let home: any BootHome
    private let capsules: [SlotSet: [CapsuleHandOver]]

    public var displayName: String { home.displayName }

    /// `capsules` are those of each slot set.
    public init(_ home: any BootHome, capsules: [SlotSet: [CapsuleHandOver]]) {
        self.home = home
        self.capsules = capsules
    }

    public func load() throws(BootError) -> BootRecord { try home.load() }

    public func store(_ record: BootRecord) throws(BootError) -> BootRecord {
        let former = try home.load()
        let begins = former.phase != .writing || former.attempt != record.attempt
        if record.phase == .writing, begins {
            for capsule in capsules[record.active.other] ?? [] {
                try changing(capsule) { () throws(SystemError) in try capsule.forget() }
            }
        }
        if record.phase != .trial || former.phase == .trial { return try home.store(record) }
        return try arm(record, former)
    }

    private func arm(_ record: BootRecord, _ former: BootRecord) throws(BootError) -> BootRecord {
        var due: [CapsuleHandOver] = []
        var armed: BootRecord?
        do throws(BootError) {
            for capsule in capsules[record.active] ?? [] {
                let isNew = try changing(capsule) { () throws(SystemError) in try capsule.isNew() }
                if isNew, try capsule.stage() { due.append(capsule) }
            }
            let next = try home.store(record)
            armed = next
            for capsule in due { try capsule.request() }
            return next
        } catch {
            if armed != nil { _ = try home.store(former) }
            for capsule in due {
                try changing(capsule) { () throws(SystemError) in try capsule.withdraw() }
            }
            throw error
        }
    }

    /// Takes back capsules that the firmware did not take, unless a release is on trial. For the start of the service.
    public func settle() throws(BootError) {
        if try home.load().phase == .trial { return }
        for set in SlotSet.allCases {
            for capsule in capsules[set] ?? [] {
                try changing(capsule) { () throws(SystemError) in try capsule.withdraw() }
            }
        }
    }

    public func examine() -> [BootFinding] { home.examine() }

    private func changing<Result>(
        _ capsule: CapsuleHandOver, _ body: () throws(SystemError) -> Result
    ) throws(BootError) -> Result {
        do { return try body() } catch { throw .system(home: "the capsule for \(capsule.target)", error) }
    }
}
