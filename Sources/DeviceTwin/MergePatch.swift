public import StrictJSON

/// Merge patches (RFC 7396), as twins use them.
public enum MergePatch {
    /// The document after the patch: what is null in it goes away.
    public static func apply(_ patch: JSONValue, to document: JSONValue) -> JSONValue {
        merge(patch, into: document, keepsNulls: false)
    }

    /// One patch that does what two do, one after the other. A null followed by an object becomes the object: who
    /// reports writes every member of a section, so nothing of the older object stays.
    public static func compose(_ first: JSONValue, then second: JSONValue) -> JSONValue {
        merge(second, into: first, keepsNulls: true)
    }

    private static func merge(_ patch: JSONValue, into document: JSONValue, keepsNulls: Bool) -> JSONValue {
        guard case .object(let changes) = patch else { return patch }
        var members: [JSONMember] = []
        if case .object(let old) = document { members = old }
        for change in changes {
            let place = members.firstIndex { $0.name == change.name }
            if change.value == .null, !keepsNulls {
                if let place { members.remove(at: place) }
                continue
            }
            let old = place.map { members[$0].value } ?? .null
            let new = JSONMember(
                name: change.name, value: merge(change.value, into: old, keepsNulls: keepsNulls))
            if let place { members[place] = new } else { members.append(new) }
        }
        return .object(members)
    }

    /// The patch that makes `document` agree with what `wanted` says, where null means absent; nil when it does already.
    public static func difference(_ wanted: JSONValue, from document: JSONValue?) -> JSONValue? {
        guard case .object(let members) = wanted else {
            guard let document else { return wanted == .null ? nil : wanted }
            return isSame(wanted, document) ? nil : wanted
        }
        var old: JSONValue?
        if case .object? = document { old = document }
        var changes: [JSONMember] = []
        for member in members {
            if let change = difference(member.value, from: old?[member.name]) {
                changes.append(JSONMember(name: member.name, value: change))
            }
        }
        if changes.isEmpty, old != nil { return nil }
        return .object(changes)
    }

    /// Equality that takes no order of members for a difference: hubs keep none.
    static func isSame(_ first: JSONValue, _ second: JSONValue) -> Bool {
        switch (first, second) {
        case (.object(let a), .object(let b)):
            return a.count == b.count
                && a.allSatisfy { member in second[member.name].map { isSame(member.value, $0) } ?? false }
        case (.array(let a), .array(let b)):
            return a.count == b.count && a.indices.allSatisfy { isSame(a[$0], b[$0]) }
        default: return first == second
        }
    }
}
