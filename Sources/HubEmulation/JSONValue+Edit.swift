internal import StrictJSON

extension JSONValue {
    static let emptyObject = JSONValue.object([])

    /// The members of an object; none for anything else.
    var objectMembers: [JSONMember] {
        guard case .object(let members) = self else { return [] }
        return members
    }

    var isObject: Bool {
        guard case .object = self else { return false }
        return true
    }

    var flag: Bool? {
        guard case .bool(let flag) = self else { return nil }
        return flag
    }

    /// The object with one member put in or replaced at its place; `nil` takes it out.
    func setting(_ name: String, _ value: JSONValue?) -> JSONValue {
        var members = objectMembers
        let index = members.firstIndex { $0.name == name }
        switch (index, value) {
        case (let index?, let value?): members[index] = JSONMember(name: name, value: value)
        case (let index?, nil): members.remove(at: index)
        case (nil, let value?): members.append(JSONMember(name: name, value: value))
        case (nil, nil): break
        }
        return .object(members)
    }

    /// The object with the value put at a path of member names; objects on the way are made.
    func setting(path: ArraySlice<String>, _ value: JSONValue) -> JSONValue {
        guard let first = path.first else { return value }
        let inner = self[first].flatMap { $0.isObject ? $0 : nil } ?? .emptyObject
        return setting(first, inner.setting(path: path.dropFirst(), value))
    }

    /// The value at a path of member names.
    func value(at path: some Sequence<String>) -> JSONValue? {
        var value = self
        for name in path {
            guard let next = value[name] else { return nil }
            value = next
        }
        return value
    }

    /// The object with the patch merged in (RFC 7396): objects merge member by member, null takes out, anything else
    /// replaces.
    func merging(_ patch: JSONValue) -> JSONValue {
        guard case .object(let changes) = patch else { return patch }
        var result: JSONValue = isObject ? self : .emptyObject
        for change in changes {
            switch change.value {
            case .null: result = result.setting(change.name, nil)
            default: result = result.setting(change.name, (result[change.name] ?? .null).merging(change.value))
            }
        }
        return result
    }

    /// The smallest merge patch that makes `target` of this value: what a twin's replacement sends to the device.
    func mergePatch(to target: JSONValue) -> JSONValue {
        var patch: [JSONMember] = []
        for member in objectMembers where target[member.name] == nil {
            patch.append(JSONMember(name: member.name, value: .null))
        }
        for member in target.objectMembers {
            let old = self[member.name]
            if old == member.value { continue }
            let both = member.value.isObject && old?.isObject == true
            patch.append(
                JSONMember(name: member.name, value: both ? (old ?? .null).mergePatch(to: member.value) : member.value))
        }
        return .object(patch)
    }
}
