internal import BootControl
internal import DeviceTwin
internal import Floors
internal import Platform
internal import StrictJSON
internal import UpdateEngine

/// `kedged floor show` and `kedged floor init`.
enum FloorCommand {
    /// Longest owner password, bytes: a TPM takes as many as its longest digest has.
    private static let passwordLimit = 64

    /// Each place's floor, and the one in force.
    static func show(_ status: EngineStatus, json: Bool) {
        if json { return StandardStream.output.line(ReportedFloor.json(status).compactText) }
        for line in lines(status) { StandardStream.output.line(line) }
    }

    static func lines(_ status: EngineStatus) -> [String] {
        var lines = [
            "in force      \(status.floor)", "boot record   \(status.record.floor)",
            "trust root    \(status.floors.root)",
        ]
        if let kind = status.floors.store {
            let name = kind == .tpm ? "TPM           " : "file          "
            lines.append(name + (status.floors.stored.map { "\($0)" } ?? "not known"))
        }
        if let failure = status.floors.failure {
            lines += ["  \(failure.code): \(failure.context)", "  \(failure.remedy)"]
        }
        return lines
    }

    /// Defines the TPM's counter. The owner's password is the first line of a file, so that no list of processes
    /// shows it.
    static func initialize(_ place: FloorPlace, ownerPassword path: String?) throws(Failure) {
        guard case .tpm(let tcti, let index) = place else {
            throw Failure(ServiceError.usage("floor init is for [floor] store = tpm; other stores need none"))
        }
        var password: [UInt8] = []
        if let path {
            do throws(SystemError) {
                password = try FileSystem.read(path, limit: 4096)
            } catch {
                throw Failure(error)
            }
            password = Array(password.prefix { $0 != 0x0a })
            if password.last == 0x0d { password.removeLast() }
            if password.isEmpty || password.count > passwordLimit {
                throw Failure(
                    ServiceError.usage("the first line of \(path) must have 1 to \(passwordLimit) bytes"))
            }
        }
        let counter = TPMFloor(tcti: tcti, index: index)
        do throws(FloorError) {
            try counter.define(owner: password)
            StandardStream.output.line("\(counter.displayName): floor \(try counter.read())")
        } catch {
            throw Failure(error)
        }
    }
}
