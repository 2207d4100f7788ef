/// A name of a component or slot: 1 to 32 of `a-z`, `0-9` and `-`. It can never be a path.
public struct Identifier: Hashable, Sendable, CustomStringConvertible {
    public let text: String

    /// Nil when the text is not an identifier.
    public init?(_ text: String) {
        let bytes = text.utf8
        guard (1...32).contains(bytes.count) else { return nil }
        for byte in bytes {
            switch byte {
            case 0x61...0x7a, 0x30...0x39, 0x2d: continue
            default: return nil
            }
        }
        self.text = text
    }

    public var description: String { text }
}

/// A dotted version of one to four numbers, compared number by number.
public struct DottedVersion: Equatable, Comparable, Sendable, CustomStringConvertible {
    private let parts: [UInt32]

    init(parts: [UInt32]) { self.parts = parts }

    /// Nil when the text is not `1`, `1.2`, `1.2.3` or `1.2.3.4`: digits only, no leading zeros, each number at
    /// most 4294967295.
    public init?(_ text: String) {
        var parts: [UInt32] = []
        for piece in text.utf8.split(separator: 0x2e, omittingEmptySubsequences: false) {
            let digits = String(decoding: piece, as: UTF8.self)
            // The integer's own initializer would take a sign and leading zeros; one version has one spelling.
            guard let part = UInt32(digits), String(part) == digits else { return nil }
            parts.append(part)
        }
        guard (1...4).contains(parts.count) else { return nil }
        self.parts = parts
    }

    public static func < (a: DottedVersion, b: DottedVersion) -> Bool {
        for index in 0..<4 {
            let left = index < a.parts.count ? a.parts[index] : 0
            let right = index < b.parts.count ? b.parts[index] : 0
            if left != right { return left < right }
        }
        return false
    }

    public static func == (a: DottedVersion, b: DottedVersion) -> Bool { !(a < b) && !(b < a) }

    public var description: String {
        var text = ""
        for (index, part) in parts.enumerated() { text += (index == 0 ? "" : ".") + String(part) }
        return text
    }
}

/// This program's version; bundles can ask for a minimum.
public enum KedgeVersion {
    /// As text.
    public static let text = "0.1.0"
    /// For comparison.
    public static let current = DottedVersion(parts: [0, 1, 0])
    /// When this version was made, seconds since 1970 (1 November 2026): the time is not before that. It is written
    /// here and raised with the version, so that the same source gives the same program.
    public static let made: Int64 = 1_793_491_200
}
