import Foundation
import Platform
import StrictJSON
import Testing

/// `kedged run --agent stdio` with a test in the agent's place.
final class AgentProcess: KedgedProcess {
    private let input = Pipe()
    private var isOpen = true

    init(_ gateway: FieldGateway, _ more: [String] = []) throws {
        try super.init(gateway, ["run", "--agent", "stdio"] + more, input: input)
    }

    /// Writes one line to its input.
    func say(_ line: String) throws { try input.fileHandleForWriting.write(contentsOf: Data((line + "\n").utf8)) }

    /// A desired document for an attempt.
    func desire(_ attempt: String, _ url: String = "", action: String = "install", version: Int? = nil) throws {
        var members: [(String, JSONValue)] = [("attempt", .string(attempt)), ("action", .string(action))]
        if !url.isEmpty { members.append(("url", .string(url))) }
        var document: [(String, JSONValue)] = [("ota", .members(members))]
        if let version { document.append(("$version", .integer(Int64(version)))) }
        try say(JSONValue.members(document).compactText)
    }

    /// Closes its input.
    func endInput() {
        if isOpen { try? input.fileHandleForWriting.close() }
        isOpen = false
    }

    /// Every whole line so far; each must be one JSON object with an `ota` section.
    func reports() throws -> [JSONValue] {
        let text = String(decoding: try directory.bytes("output"), as: UTF8.self)
        let whole = text.hasSuffix("\n") ? text[...] : text[..<(text.lastIndex(of: "\n") ?? text.startIndex)]
        return try whole.split(separator: "\n").map { line in
            let value = try JSONValue.parse(String(line), limit: 1 << 20)
            return try #require(value["ota"], "\(line)")
        }
    }

    /// Phases in the order of the reports, each once.
    func phases() throws -> [String] {
        var phases: [String] = []
        for case let phase? in try reports().map({ $0["phase"]?.text }) where phases.last != phase {
            phases.append(phase)
        }
        return phases
    }

    /// Waits for a report that fits, at most a minute.
    @discardableResult
    func expect(_ what: String, _ fits: (JSONValue) -> Bool) throws -> JSONValue {
        for _ in 0..<6000 {
            let all = try reports()
            if let found = all.last(where: fits) { return found }
            if !process.isRunning { break }
            SystemTime().sleep(nanoseconds: 10_000_000)
        }
        let all = try reports()
        let said = try errors()
        let found = all.last(where: fits)
        return try #require(found, "no \(what) in \(all.map(\.compactText)); \(said)")
    }

    @discardableResult
    func expect(phase: String, of attempt: String? = nil) throws -> JSONValue {
        try expect("phase \(phase)") {
            $0["phase"]?.text == phase && (attempt == nil || $0["attempt"]?.text == attempt)
        }
    }
}
