import BundleFormat
import Platform
import StrictJSON
import Testing

/// Golden vectors that were written without Kedge code (Fixtures/README.md).
enum Fixture {
    static func bytes(_ name: String) throws -> [UInt8] {
        let tests = FileSystem.parent(of: FileSystem.parent(of: #filePath))
        return try FileSystem.read("\(FileSystem.parent(of: tests))/Fixtures/bundle/\(name)", limit: 1 << 20)
    }

    static func manifest() throws -> Manifest { try Manifest.decode(bytes("manifest.json")) }

    /// The golden manifest's document with one change.
    static func manifest(_ change: (inout JSONValue) throws -> Void) throws -> [UInt8] {
        var document = try JSONValue.parse(bytes("manifest.json"), limit: 1 << 20)
        try change(&document)
        return document.bytes
    }
}

extension JSONValue {
    /// Replaces, adds or (with nil) removes the member at a path such as `components/0/size`.
    mutating func set(_ path: String, _ value: JSONValue?) throws {
        let steps = path.split(separator: "/", maxSplits: 1).map(String.init)
        let first = try #require(steps.first)
        switch self {
        case .array(var elements):
            let index = try #require(Int(first))
            if steps.count > 1 {
                try elements[index].set(steps[1], value)
            } else if let value {
                if index < elements.count { elements[index] = value } else { elements.append(value) }
            } else {
                elements.remove(at: index)
            }
            self = .array(elements)
        case .object(var members):
            let index = members.firstIndex { $0.name == first }
            if steps.count > 1 {
                let place = try #require(index)
                var inner = members[place].value
                try inner.set(steps[1], value)
                members[place] = JSONMember(name: first, value: inner)
            } else if let value {
                let member = JSONMember(name: first, value: value)
                if let index { members[index] = member } else { members.append(member) }
            } else {
                members.remove(at: try #require(index))
            }
            self = .object(members)
        default: try #require(Bool(false), "nothing is below \(path)")
        }
    }
}
