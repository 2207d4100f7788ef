/// A topic of IoT Hub or its provisioning service behind a known beginning: `NAME/?$rid=4&$version=6`.
struct HubTopic: Equatable, Sendable {
    /// What stands before the next slash: a status, or a method's name.
    let name: String
    private let properties: [UInt8]

    /// Nil when the topic begins otherwise.
    init?(_ topic: String, behind prefix: String) {
        guard topic.utf8.starts(with: prefix.utf8) else { return nil }
        let rest = Array(topic.utf8.dropFirst(prefix.utf8.count))
        name = String(decoding: rest.prefix { $0 != 0x2f }, as: UTF8.self)
        properties = rest.firstIndex(of: 0x3f).map { Array(rest[($0 + 1)...]) } ?? []
    }

    /// The value of `name=` behind the `?`.
    func property(_ name: String) -> String? {
        for part in properties.split(separator: 0x26) where part.starts(with: (name + "=").utf8) {
            return String(decoding: part.dropFirst(name.utf8.count + 1), as: UTF8.self)
        }
        return nil
    }
}
