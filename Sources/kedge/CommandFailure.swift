internal import ArgumentParser
internal import Platform
internal import StrictJSON

/// A command that can print one JSON object on standard output instead of text.
protocol JSONPrinting: ParsableCommand {
    var json: Bool { get }
}

/// How a command ends that did not do what was asked.
enum CommandFailure {
    /// Reports the error and ends the process with the exit status of its category.
    static func end(_ error: any Error, of command: (any ParsableCommand)?) -> Never {
        if let error = error as? any StableError {
            let failure = Failure(
                code: error.code, category: error.category, context: error.context, remedy: error.remedy)
            StandardStream.error.line("kedge: \(failure.line)")
            if let command = command as? any JSONPrinting, command.json {
                StandardStream.output.line(json(failure).prettyText)
            }
            ProcessInformation.exit(failure.category.rawValue)
        }
        let status = Kedge.exitCode(for: error)
        let text = Kedge.fullMessage(for: error)
        if status.isSuccess {
            StandardStream.output.line(text)
            ProcessInformation.exit(0)
        }
        // sysexits.h has 64 for usage; Kedge follows its own table of categories.
        if status == .validationFailure {
            StandardStream.error.line("kedge: command.usage: " + withoutPrefix(text))
            ProcessInformation.exit(ErrorCategory.usage.rawValue)
        }
        StandardStream.error.line("kedge: command.unexpected: \(error). Report it with the command line")
        ProcessInformation.exit(ErrorCategory.unexpected.rawValue)
    }

    private static func withoutPrefix(_ text: String) -> String {
        let prefix = "Error: "
        return text.hasPrefix(prefix) ? String(text.dropFirst(prefix.count)) : text
    }

    private static func json(_ failure: Failure) -> JSONValue {
        .members([
            (
                "error",
                .members([
                    ("code", .string(failure.code)), ("status", .integer(Int64(failure.category.rawValue))),
                    ("context", .string(failure.context)), ("remedy", .string(failure.remedy)),
                ])
            )
        ])
    }
}
