internal import BootControl
internal import BundleFormat
internal import DeviceTwin
internal import Platform
internal import StrictJSON
internal import Trust
internal import UpdateEngine

/// `kedged override request` and `kedged override forget`, and the file of `--override`.
enum OverrideCommand {
    /// Prints the device's id and the nonce of the request that waits; makes one when none does. Works beside a running
    /// daemon: a request is made only where none is, and used only where one is.
    static func request(_ device: Device, json: Bool) throws(Failure) {
        var book = try book(device)
        let surroundings = device.surroundings
        let request = try book.ask(bootID: surroundings.running.bootID ?? "", random: surroundings.random)
        let (id, nonce) = (surroundings.identity.id, Hex.encode(request.nonce))
        if json {
            let document = JSONValue.members([("device", .string(id)), ("nonce", .string(nonce))])
            StandardStream.output.line(document.compactText)
        } else {
            StandardStream.output.line("device  \(id)")
            StandardStream.output.line("nonce   \(nonce)")
        }
    }

    /// Gives the request up.
    static func forget(_ device: Device) throws(Failure) {
        var book = try book(device)
        try book.forget()
    }

    private static func book(_ device: Device) throws(Failure) -> OverrideBook {
        do throws(SystemError) { try device.state.prepare() } catch { throw Failure(ServiceError.dataDirectory(error)) }
        guard let document = device.surroundings.overrides else {
            throw Failure(ServiceError.usage("this device keeps no overrides"))
        }
        return try OverrideBook(document)
    }

    /// The bytes of a statement file.
    static func read(_ path: String) throws(Failure) -> [UInt8] {
        do throws(SystemError) {
            return try FileSystem.read(path, limit: StatementLimits.file)
        } catch {
            throw Failure(error)
        }
    }
}
