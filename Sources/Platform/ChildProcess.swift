internal import CDevice

/// Runs a program without a shell.
public enum ChildProcess {
    /// How it ended.
    public struct Outcome: Equatable, Sendable {
        /// Exit status; nil when a signal or the deadline ended it.
        public let status: Int32?
        /// The signal that ended it, or 0.
        public let signal: Int32
        /// Whether it was killed at the deadline, with all its process group.
        public let timedOut: Bool
        /// The last bytes it printed (standard output and error together), at most 4096.
        public let output: String
        /// Exit status 0 in time.
        public var succeeded: Bool { status == 0 && !timedOut }
    }

    /// Runs `arguments[0]` (looked up in PATH) with standard input empty, and only the environment given here
    /// besides PATH. The process group is killed at the deadline.
    public static func run(
        _ arguments: [String], environment: [(name: String, value: String)] = [], milliseconds: UInt64
    ) throws(SystemError) -> Outcome {
        guard let program = arguments.first else {
            throw SystemError(number: SystemError.invalid, operation: "exec", subject: "empty command")
        }
        var variables = environment.map { "\($0.name)=\($0.value)" }
        variables.append("PATH=" + (ProcessInformation.environment("PATH") ?? "/usr/sbin:/usr/bin:/sbin:/bin"))
        var tail = [UInt8](repeating: 0, count: 4096)
        var raw = kedge_process_result()
        let result = unsafe withCStrings(arguments) { argv in
            unsafe withCStrings(variables) { envp in
                unsafe tail.withUnsafeMutableBytes { memory in
                    unsafe kedge_run(
                        argv, envp, milliseconds, memory.baseAddress?.assumingMemoryBound(to: CChar.self),
                        memory.count, &raw)
                }
            }
        }
        try checked(result, "exec", program)
        let kept = min(tail.count, Int(raw.output))
        return Outcome(
            status: raw.timed_out == 0 && raw.status >= 0 ? raw.status : nil, signal: raw.signal,
            timedOut: raw.timed_out == 1, output: String(decoding: tail[0..<kept], as: UTF8.self))
    }
}

/// Calls `body` with a NULL-terminated vector of C strings that live for the call.
@unsafe private func withCStrings<R>(
    _ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> R
) -> R {
    var flat: [CChar] = []
    var starts: [Int] = []
    for string in strings {
        starts.append(flat.count)
        for byte in string.utf8 { flat.append(CChar(bitPattern: byte)) }
        flat.append(0)
    }
    return unsafe withUnsafeTemporaryAllocation(of: Optional<UnsafePointer<CChar>>.self, capacity: strings.count + 1) {
        vector in
        unsafe flat.withUnsafeBufferPointer { bytes in
            for (index, start) in starts.enumerated() {
                unsafe vector.initializeElement(at: index, to: bytes.baseAddress.map { unsafe $0 + start })
            }
            unsafe vector.initializeElement(at: strings.count, to: nil)
            let base = unsafe UnsafePointer(vector.baseAddress.unsafelyUnwrapped)
            return unsafe body(base)
        }
    }
}
