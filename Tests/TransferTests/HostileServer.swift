import Foundation
import Platform
import Testing

@testable import Transfer

/// The object that the server serves under every path.
enum ServedObject {
    static let length: UInt64 = 300_000
    static let bytes: [UInt8] = (0..<Int(length)).map { byte(at: $0) }

    /// The same formula as in hostile-server.py.
    private static func byte(at i: Int) -> UInt8 { UInt8(truncatingIfNeeded: i * 31 + (i >> 8) * 17 + (i >> 16) * 7) }
}

/// The scripted server in its own process; one for all tests, ended by the end of its standard input.
final class HostileServer: Sendable {
    /// What the server saw of one request.
    struct Seen {
        let address: String
        let authorization: String?
        let ifRange: String?
        let range: String?
        let acceptEncoding: String?
    }

    static let isAvailable = FileManager.default.isExecutableFile(atPath: python)
    static let shared = try? HostileServer()

    let port: Int
    private let log: String
    private let input: Pipe
    private let process: Process
    private static let python = "/usr/bin/python3"

    private init() throws {
        let script = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "hostile-server.py")
        process = Process()
        process.executableURL = URL(filePath: Self.python)
        process.arguments = ["-B", script.path]
        input = Pipe()
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        var line = ""
        while !line.hasSuffix("\n") {
            let data = output.fileHandleForReading.availableData
            try #require(!data.isEmpty, "the hostile server did not start")
            line += String(decoding: data, as: UTF8.self)
        }
        let words = line.split(whereSeparator: \.isWhitespace)
        try #require(words.count == 2)
        port = try #require(Int(words[0]))
        log = String(words[1])
    }

    /// A URL of a scenario that no other test uses, and the key to find its requests.
    static func url(_ scenario: String, credentials: String = "") throws -> (text: String, key: String) {
        let server = try #require(shared)
        let key = UUID().uuidString
        return ("http://\(credentials)127.0.0.1:\(server.port)/\(scenario)/\(key)", key)
    }

    /// The requests with this key, in order.
    static func requests(_ key: String) throws -> [Seen] {
        let server = try #require(shared)
        let text = try String(contentsOfFile: server.log, encoding: .utf8)
        return text.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: "\t").map(String.init)
            guard fields[0].hasSuffix(key) else { return nil }
            let values = fields.map { $0 == "-" ? nil : $0 }
            return Seen(
                address: fields[1], authorization: values[2], ifRange: values[3], range: values[4],
                acceptEncoding: values[5])
        }
    }
}

extension Trait where Self == ConditionTrait {
    static var needsHostileServer: Self {
        .enabled(if: HostileServer.isAvailable, "needs python3 (apt: python3)")
    }
}
