public import BundleFormat
public import StrictJSON

/// A deployment manifest of Azure IoT Edge with the containers of a release as its modules.
public struct EdgeManifest: Sendable {
    /// Whether the gateway asks a registry for the image, or has it already (kedged brought it).
    public enum Pull: String, Sendable, CaseIterable {
        case onCreate = "on-create", never
    }

    /// What a release does not say of itself.
    public struct Choice: Sendable {
        /// Image names by target, `registry/name:tag`.
        public var images: [String: String] = [:]
        /// Where images are that have no name of their own: `REGISTRY/TARGET:VERSION`.
        public var registry: String?
        /// Container create options by target, a JSON text.
        public var createOptions: [String: String] = [:]
        public var pull = Pull.onCreate
        /// The runtime's own images.
        public var agentImage = "mcr.microsoft.com/azureiotedge-agent:1.5"
        public var hubImage = "mcr.microsoft.com/azureiotedge-hub:1.5"

        public init() {}
    }

    /// A whole manifest, or one that was given with the containers put into it.
    public let json: JSONValue

    /// What one create-options member may hold; longer ones are cut into `createOptions01` and so on.
    private static let optionsLimit = 512
    private static let schema = "1.1"

    /// `base` is a manifest whose other modules, routes and settings stay; its text is for errors.
    public init(_ manifest: Manifest, _ choice: Choice, base: (path: String, value: JSONValue)? = nil)
        throws(ExportError)
    {
        let containers = manifest.components.filter { $0.kind == .container }
        if containers.isEmpty { throw .noContainers(release: manifest.releaseID) }
        for name in choice.images.keys.sorted() + choice.createOptions.keys.sorted()
        where !containers.contains(where: { $0.target.text == name }) {
            throw .value(what: "image", why: "the release has no container \(name)")
        }
        var modules: [(String, JSONValue)] = []
        for container in containers {
            let target = container.target.text
            if modules.contains(where: { $0.0 == target }) {
                throw .value(what: "container", why: "\(target) is there twice")
            }
            modules.append((target, try Self.module(container, manifest, choice)))
        }
        guard let base else {
            json = Self.whole(modules, choice)
            return
        }
        let desired = ["modulesContent", "$edgeAgent", "properties.desired"]
        guard let agent = Self.value(base.value, at: desired), case .object = agent else {
            throw .base(path: base.path, why: "modulesContent.$edgeAgent.properties.desired is missing")
        }
        var present: [(String, JSONValue)] = []
        if case .object(let members)? = agent["modules"] {
            present = members.map { ($0.name, $0.value) }.filter { name, _ in !modules.contains { $0.0 == name } }
        }
        json = Self.setting(base.value, at: (desired + ["modules"])[...], .members(present + modules))
    }

    private static func module(
        _ container: Component, _ manifest: Manifest, _ choice: Choice
    ) throws(ExportError) -> JSONValue {
        let target = container.target.text
        let version = container.version ?? manifest.version
        var image = choice.images[target]
        if image == nil, let registry = choice.registry {
            let tag = String(decoding: version.utf8.map { isTag($0) ? $0 : 0x2d }, as: UTF8.self)
            image = "\(registry)/\(target):\(tag)"
        }
        guard let image else { throw .noImage(target: target) }
        if image.isEmpty || image.utf8.contains(where: { $0 <= 0x20 || $0 >= 0x7f }) {
            throw .value(what: "image", why: "'\(image)' is no image name")
        }
        var settings: [(String, JSONValue)] = [("image", .string(image))]
        // The service cuts and joins by bytes; a JSON text of a container's options is ASCII or is refused.
        let options = Array((choice.createOptions[target] ?? "{}").utf8)
        do throws(JSONError) { _ = try JSONValue.parse(options, limit: 64 * 1024) } catch {
            throw .value(what: "create options of \(target)", why: error.context)
        }
        if options.contains(where: { $0 >= 0x80 }) || options.count > 8 * optionsLimit {
            throw .value(what: "create options of \(target)", why: "must be ASCII of at most 4096 bytes")
        }
        var start = 0
        repeat {
            let end = min(options.count, start + optionsLimit)
            let name = start == 0 ? "createOptions" : "createOptions0\(start / optionsLimit)"
            settings.append((name, .string(String(decoding: options[start..<end], as: UTF8.self))))
            start = end
        } while start < options.count
        return .members([
            ("version", .string(version)), ("type", .string("docker")), ("status", .string("running")),
            ("restartPolicy", .string("always")), ("imagePullPolicy", .string(choice.pull.rawValue)),
            (
                "env",
                .members([
                    ("KEDGE_RELEASE", .members([("value", .string(manifest.releaseID))])),
                    ("KEDGE_DIGEST", .members([("value", .string(container.digest.hex))])),
                ])
            ),
            ("settings", .members(settings)),
        ])
    }

    private static func isTag(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f: true
        default: false
        }
    }

    private static func whole(_ modules: [(String, JSONValue)], _ choice: Choice) -> JSONValue {
        func system(_ image: String, _ more: [(String, JSONValue)] = []) -> JSONValue {
            let settings = JSONValue.members([("image", .string(image)), ("createOptions", .string("{}"))])
            return .members([("type", .string("docker"))] + more + [("settings", settings)])
        }
        let hub = system(
            choice.hubImage, [("status", .string("running")), ("restartPolicy", .string("always"))])
        let agent = JSONValue.members([
            ("schemaVersion", .string(schema)),
            (
                "runtime",
                .members([
                    ("type", .string("docker")), ("settings", .members([("minDockerVersion", .string("v1.25"))])),
                ])
            ),
            ("systemModules", .members([("edgeAgent", system(choice.agentImage)), ("edgeHub", hub)])),
            ("modules", .members(modules)),
        ])
        let routes = JSONValue.members([
            ("schemaVersion", .string(schema)),
            ("routes", .members([("upstream", .string("FROM /messages/* INTO $upstream"))])),
            ("storeAndForwardConfiguration", .members([("timeToLiveSecs", .integer(7200))])),
        ])
        return .members([
            (
                "modulesContent",
                .members([
                    ("$edgeAgent", .members([("properties.desired", agent)])),
                    ("$edgeHub", .members([("properties.desired", routes)])),
                ])
            )
        ])
    }

    private static func value(_ json: JSONValue, at path: [String]) -> JSONValue? {
        var value = json
        for name in path {
            guard let next = value[name] else { return nil }
            value = next
        }
        return value
    }

    /// The object with a value put at a path; members keep their order.
    private static func setting(_ json: JSONValue, at path: ArraySlice<String>, _ value: JSONValue) -> JSONValue {
        guard let name = path.first, case .object(var members) = json else { return value }
        let inner = setting(json[name] ?? .object([]), at: path.dropFirst(), value)
        if let index = members.firstIndex(where: { $0.name == name }) {
            members[index] = JSONMember(name: name, value: inner)
        } else {
            members.append(JSONMember(name: name, value: inner))
        }
        return .object(members)
    }
}
