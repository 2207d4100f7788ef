import Foundation
import TestSupport
import Testing

/// The object that the server serves under every path.
enum ServedObject {
    static let length: UInt64 = 300_000
    static let bytes: [UInt8] = (0..<Int(length)).map { byte(at: $0) }

    /// The same formula as in hostile-server.py.
    private static func byte(at i: Int) -> UInt8 { UInt8(truncatingIfNeeded: i * 31 + (i >> 8) * 17 + (i >> 16) * 7) }
}

extension HostileServer {
    /// One for all tests here.
    static let shared = try? HostileServer()

    /// A URL of a scenario that no other test uses, and the key to find its requests.
    static func url(_ scenario: String, credentials: String = "") throws -> (text: String, key: String) {
        try #require(shared).url(scenario, credentials: credentials)
    }

    /// The requests with this key, in order.
    static func requests(_ key: String) throws -> [Seen] { try #require(shared).requests(key) }
}

extension Trait where Self == ConditionTrait {
    static var needsHostileServer: Self {
        .enabled(if: HostileServer.isAvailable, "needs python3 (apt: python3)")
    }
}
