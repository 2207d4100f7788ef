internal import BundleFormat

/// U-Boot's own boot counter, kept in the environment (CONFIG_BOOTCOUNT_LIMIT with CONFIG_BOOTCOUNT_ENV).
///
/// At each start, before any command runs, and only while `upgrade_available` is not 0, U-Boot raises `bootcount` and
/// saves the environment (drivers/bootcount/bootcount_env.c). When it is then above `bootlimit`, `altbootcmd` runs
/// instead of `bootcmd` (common/autoboot.c). So `bootlimit` is the number of tries, and outside of a trial nothing is
/// written. What `altbootcmd` has to do is in bootloader/uboot/bootcount.env; without it U-Boot stops at its prompt.
///
/// Counters in a register (RAM, RTC, I2C) start from 1 again at a power-up: a release that makes the power fail would
/// be tried for ever, so they are not taken.
enum UBootBootcount {
    private static let counter = "bootcount"
    private static let limit = "bootlimit"
    private static let counting = "upgrade_available"

    /// The tries that the counter leaves; as the record has them when nothing is on trial.
    static func read(_ environment: UBootEnvironment, into record: inout BootRecord) {
        if record.phase != .trial { return }
        let left = Int(number(environment, limit)) - Int(number(environment, counter))
        record.triesLeft = UInt8(clamping: left)
    }

    /// Sets the counter for a record that takes the place of `former`: from zero when it arms a trial, off in any
    /// phase but that. A trial that goes on keeps what was counted.
    static func write(
        _ record: BootRecord, after former: BootRecord?, to environment: inout UBootEnvironment
    ) throws(FormatError) {
        if record.phase == .trial {
            if former?.phase == .trial { return }
            try environment.set(limit, to: String(record.triesLeft))
        }
        // A count that stays behind would be counted against the next trial.
        try environment.set(counter, to: "0")
        try environment.set(counting, to: record.phase == .trial ? "1" : "0")
    }

    /// What would keep U-Boot from counting, or from coming back.
    static func examine(_ environment: UBootEnvironment, _ record: BootRecord?, home: String) -> [BootFinding] {
        var findings: [BootFinding] = []
        for (name, what) in [("bootcmd", "starts nothing"), ("altbootcmd", "stops at its prompt after the last try")]
        where environment[name] == nil {
            findings.append(
                BootFinding(
                    .error, code: "doctor.no-fallback", context: "\(home) has no \(name): U-Boot then \(what)",
                    remedy: "Put the variables of bootloader/uboot/bootcount.env into the board's environment"))
        }
        let isCounting = !["", "0"].contains(environment[counting] ?? "")
        if let record, isCounting != (record.phase == .trial) {
            findings.append(
                BootFinding(
                    .error, code: "doctor.stale-counter",
                    context: "upgrade_available is \(environment[counting] ?? "absent") although "
                        + (isCounting ? "nothing is on trial" : "a release is on trial"),
                    remedy: "Run kedged doctor --repair, and look who else writes the environment"))
        }
        return findings
    }

    /// As U-Boot reads it: the digits that the text starts with, else 0.
    private static func number(_ environment: UBootEnvironment, _ name: String) -> UInt32 {
        var value: UInt32 = 0
        for digit in (environment[name] ?? "").utf8 {
            guard (0x30...0x39).contains(digit), value < 100_000_000 else { break }
            value = value * 10 + UInt32(digit - 0x30)
        }
        return value
    }
}
