internal import Platform

/// Runs the programs that a factory needs.
enum Tool {
    /// Runs a program to its end and returns what it printed; a failure carries its last line. A program started by
    /// `sh -c` is named by the shell's `$0`.
    @discardableResult
    static func run(_ arguments: [String]) throws(GatewayError) -> String {
        let name = arguments.first == "sh" && arguments.count > 3 ? arguments[3] : arguments.first ?? ""
        let outcome: ChildProcess.Outcome
        do {
            outcome = try ChildProcess.run(arguments, milliseconds: 60_000)
        } catch {
            if error.number == SystemError.notFound { throw .tool(name: name, why: "is not installed") }
            throw .system(error)
        }
        if outcome.succeeded { return outcome.output }
        // 127 is the shell's status for a program that it cannot find (POSIX).
        if outcome.status == 127 { throw .tool(name: name, why: "is not installed") }
        let last = outcome.output.split(whereSeparator: \.isNewline).last.map(String.init) ?? "no output"
        let how = outcome.timedOut ? "took more than 60 s" : outcome.status.map { "exit status \($0)" } ?? "killed"
        throw .tool(name: name, why: "\(how): \(last)")
    }
}
