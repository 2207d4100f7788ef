extension BundleLocation {
    /// Where a file of that name is in the directory of the one at `location`. A URL keeps its query, because a
    /// server may have signed it for the whole directory; a fragment goes.
    public static func neighbor(of location: String, named name: String) -> String {
        let parts = Parts(location)
        return parts.replacingName(with: name)
    }

    /// Where a file of that name is inside the directory at `location`.
    public static func inside(_ location: String, named name: String) -> String {
        let parts = Parts(location)
        return parts.path.last == 0x2f
            ? parts.replacingName(with: name)
            : Parts(parts.head, parts.path + [0x2f], parts.tail).replacingName(with: name)
    }

    /// The last word of the path: `b.kedge` of `https://host/a/b.kedge?x=1`.
    public static func lastName(of location: String) -> String {
        let path = Parts(location).path
        let start = path.lastIndex(of: 0x2f).map { $0 + 1 } ?? 0
        return String(decoding: path[start...], as: UTF8.self)
    }
}

/// A location taken apart at the ends of its path.
private struct Parts {
    /// Scheme and host of a URL.
    let head: [UInt8]
    let path: [UInt8]
    /// The query of a URL with its question mark.
    let tail: [UInt8]

    init(_ head: [UInt8], _ path: [UInt8], _ tail: [UInt8]) {
        self.head = head
        self.path = path
        self.tail = tail
    }

    init(_ location: String) {
        let bytes = Array(location.utf8)
        guard let colon = bytes.firstIndex(of: 0x3a), bytes[(colon + 1)...].starts(with: "//".utf8),
            !bytes[..<colon].contains(0x2f)
        else {
            self.init([], bytes, [])
            return
        }
        let host = colon + 3
        let whole = bytes.firstIndex(of: 0x23) ?? bytes.count
        let query = bytes[host..<whole].firstIndex(of: 0x3f) ?? whole
        let path = bytes[host..<query].firstIndex(of: 0x2f) ?? query
        let text = path == query ? [0x2f] : Array(bytes[path..<query])
        self.init(Array(bytes[..<path]), text, Array(bytes[query..<whole]))
    }

    func replacingName(with name: String) -> String {
        let end = path.lastIndex(of: 0x2f).map { $0 + 1 } ?? 0
        return String(decoding: head + path[..<end] + Array(name.utf8) + tail, as: UTF8.self)
    }
}
