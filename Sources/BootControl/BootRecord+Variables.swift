internal import BundleFormat
internal import Platform

extension BootRecord {
    /// Most tries that a boot script can count: `setexpr` reads and prints hexadecimal, and builds without it count
    /// with a chain of comparisons, so one decimal digit is what all of them understand.
    static let scriptTries: UInt8 = 9

    /// Puts the record into `kedge_` variables; all others stay as they are.
    func write(to environment: inout UBootEnvironment) throws(FormatError) {
        guard BootRecord.accepts(attempt: attempt) else {
            throw .malformed(what: "a boot record", "the attempt id must be at most 64 printable ASCII characters")
        }
        guard triesLeft <= Self.scriptTries else {
            throw .malformed(what: "a boot record", "a boot script counts at most \(Self.scriptTries) tries")
        }
        try environment.set("kedge_record", to: "1")
        try environment.set("kedge_revision", to: String(revision))
        try environment.set("kedge_active", to: active.letter)
        try environment.set("kedge_phase", to: phase.name)
        try environment.set("kedge_tries", to: String(triesLeft))
        try environment.set("kedge_user_boots", to: String(userSpaceBoots))
        try environment.set("kedge_reason", to: reason.name)
        try environment.set("kedge_attempt", to: attempt.isEmpty ? nil : attempt)
        try environment.set("kedge_floor", to: String(floor))
        try environment.set("kedge_accepted", to: String(acceptedSequence))
        for set in SlotSet.allCases {
            let prefix = "kedge_\(set.letter)_"
            try environment.set(prefix + "state", to: self[set].state.name)
            try environment.set(prefix + "manifest", to: self[set].manifest?.hex)
            try environment.set(prefix + "sequence", to: String(self[set].sequence))
            try environment.set(prefix + "security", to: String(self[set].securityVersion))
        }
    }

    /// The record in the variables; nil when there is none, and an error when one of its variables is not what
    /// `write` or a boot script puts there.
    static func read(from environment: UBootEnvironment) throws(FormatError) -> BootRecord? {
        guard let format = environment["kedge_record"] else { return nil }
        guard format == "1" else { throw .malformed(what: "kedge_record", "is \(format), this program knows 1") }
        let values = Variables(environment: environment)
        var record = BootRecord()
        record.revision = try values.number("kedge_revision")
        record.active = try values.value("kedge_active", SlotSet.init(letter:))
        record.phase = try values.value("kedge_phase", Phase.init(name:))
        record.triesLeft = try values.number("kedge_tries")
        record.userSpaceBoots = try values.number("kedge_user_boots")
        record.reason = try values.value("kedge_reason", RollbackReason.init(name:))
        record.attempt = environment["kedge_attempt"] ?? ""
        guard BootRecord.accepts(attempt: record.attempt) else { throw .malformed(what: "kedge_attempt", "no id") }
        record.floor = try values.number("kedge_floor")
        record.acceptedSequence = try values.number("kedge_accepted")
        for set in SlotSet.allCases {
            let prefix = "kedge_\(set.letter)_"
            var slot = SlotRecord(state: try values.value(prefix + "state", SlotRecord.State.init(name:)))
            if environment[prefix + "manifest"] != nil {
                slot.manifest = try values.value(prefix + "manifest", Digest.init(hex:))
            }
            slot.sequence = try values.number(prefix + "sequence")
            slot.securityVersion = try values.number(prefix + "security")
            record[set] = slot
        }
        return record
    }

    /// Reads single variables and names the one that is wrong.
    private struct Variables {
        let environment: UBootEnvironment

        func value<T>(_ name: String, _ read: (String) -> T?) throws(FormatError) -> T {
            guard let text = environment[name] else { throw .malformed(what: name, "is missing") }
            guard let value = read(text) else { throw .malformed(what: name, "cannot be \(text)") }
            return value
        }

        /// Decimal digits only: one number has one spelling.
        func number<T: FixedWidthInteger & UnsignedInteger>(_ name: String) throws(FormatError) -> T {
            try value(name) { (text) -> T? in
                guard let number = T(text), String(number) == text else { return nil }
                return number
            }
        }
    }
}
