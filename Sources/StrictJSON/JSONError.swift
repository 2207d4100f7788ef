public import Platform

/// Why a JSON text or document was refused.
public struct JSONError: StableError, Equatable, Sendable {
    /// What is wrong.
    public enum Kind: Equatable, Sendable {
        case syntax, duplicate, tooLarge, tooDeep, missing, wrongType, outOfBounds, unknownMember
    }
    public let kind: Kind
    /// Where: a member path such as `manifest.components[0].size`, or line and column.
    public let place: String
    /// What was expected.
    public let detail: String

    public init(_ kind: Kind, at place: String, _ detail: String) {
        self.kind = kind
        self.place = place
        self.detail = detail
    }

    public var code: String {
        switch kind {
        case .syntax: "json.syntax"
        case .duplicate: "json.duplicate"
        case .tooLarge: "json.too-large"
        case .tooDeep: "json.too-deep"
        case .missing: "json.missing"
        case .wrongType: "json.type"
        case .outOfBounds: "json.bounds"
        case .unknownMember: "json.unknown"
        }
    }
    public var category: ErrorCategory { .configuration }
    /// With control characters shown as `?`: names and pieces of a stranger's text go to terminals and logs.
    public var context: String {
        var shown: [UInt8] = []
        for byte in "\(place): \(detail)".utf8 { shown.append(byte < 0x20 || byte == 0x7f ? 0x3f : byte) }
        return String(decoding: shown, as: UTF8.self)
    }
    public var remedy: String { "Correct the document, or use a Kedge that knows it" }
}
