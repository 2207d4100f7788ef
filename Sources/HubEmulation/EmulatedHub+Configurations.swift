internal import Platform
internal import StrictJSON

/// An automatic device configuration: content for all twins that meet a condition.
struct HubConfiguration: Equatable, Sendable {
    let id: String
    /// As it was sent; parts that the hub computes are put in when it is read.
    var document: JSONValue
    /// Whom it is for.
    var target: HubQuery
    var priority: Int64
    /// Paths in the twin with what is put there: `properties.desired.ota` and its object.
    var content: [HubContent]
    var revision: Int64
    var created: Int64
}

/// One part of a configuration's content.
struct HubContent: Equatable, Sendable {
    /// Below `properties.desired`; empty: the whole section.
    let path: [String]
    let value: JSONValue
}

extension EmulatedHub {
    /// `POST /devices/query` with continuation.
    func runQuery(_ request: HTTPRequest, _ body: JSONValue) -> HTTPResponse {
        guard let text = body["query"]?.text else { return .error(400, "ArgumentInvalid", "query is missing") }
        let rows: [JSONValue]
        switch Self.result(of: { () throws(HubQuery.Problem) in try HubQuery(text) }) {
        case .failure(let problem): return .error(400, "ArgumentInvalid", "the query: \(problem.text)")
        case .success(let query): rows = run(query)
        }
        let page = max(1, request.headers["x-ms-max-item-count"].flatMap { Int($0) } ?? 100)
        let start = request.headers["x-ms-continuation"].flatMap { Int($0) } ?? 0
        let end = min(rows.count, start + page)
        var response = HTTPResponse.json(.array(start < end ? Array(rows[start..<end]) : []))
        response.headers.append(("x-ms-item-type", "Twin"))
        if end < rows.count { response.headers.append(("x-ms-continuation", "\(end)")) }
        return response
    }

    private static func result<Value, Failure: Error>(
        of body: () throws(Failure) -> Value
    ) -> Result<Value, Failure> {
        do throws(Failure) { return .success(try body()) } catch { return .failure(error) }
    }

    private func run(_ query: HubQuery) -> [JSONValue] { query.run(twins(of: query.source).map { json(ofTwin: $0) }) }

    private func twins(of source: HubQuery.Source) -> [HubIdentity] {
        identities.values.filter { ($0.name.module != nil) == (source == .modules) }.sorted { $0.name < $1.name }
    }

    /// `/configurations…`
    mutating func configurations(
        _ request: HTTPRequest, _ body: JSONValue, _ now: HubTime, _ effects: inout [HubEffect]
    ) -> HTTPResponse {
        let path = request.path.dropFirst()
        if path.isEmpty, request.method == "GET" {
            let most = request.query["top"].flatMap { Int($0) } ?? 20
            let all = configurations.values.sorted { $0.id < $1.id }.prefix(most)
            return .json(.array(all.map { json(of: $0) }))
        }
        guard let id = path.first, path.count == 1 else { return Self.noSuchOperation }
        if id == "testQueries", request.method == "POST" { return testQueries(body) }
        let old = configurations[id]
        switch request.method {
        case "GET":
            guard let old else { return .error(404, "ConfigurationNotFound", "\(id) does not exist") }
            return .json(json(of: old))
        case "PUT":
            if let old {
                guard request.headers["if-match"] != nil else {
                    return .error(409, "ConfigurationAlreadyExists", "\(id) exists")
                }
                if Self.isStale(request, Self.etag(of: old)) { return Self.preconditionFailed }
            }
            switch Self.configuration(id, body, old, now) {
            case .failure(let problem): return .error(400, "ArgumentInvalid", problem.text)
            case .success(let configuration):
                configurations[id] = configuration
                effects.append(.save)
                applyConfigurations(now, &effects)
                return .json(json(of: configuration))
            }
        case "DELETE":
            guard old != nil else { return .error(404, "ConfigurationNotFound", "\(id) does not exist") }
            configurations[id] = nil
            for name in identities.keys { identities[name]?.twin.configurations[id] = nil }
            effects.append(.save)
            applyConfigurations(now, &effects)
            return .empty
        default: return Self.noSuchOperation
        }
    }

    static func configuration(
        _ id: String, _ body: JSONValue, _ old: HubConfiguration?, _ now: HubTime
    ) -> Result<HubConfiguration, HubQuery.Problem> {
        result { () throws(HubQuery.Problem) in
            let condition = body["targetCondition"]?.text ?? ""
            let target = try HubQuery(targetCondition: condition)
            let kinds = [("deviceContent", HubQuery.Source.devices), ("moduleContent", HubQuery.Source.modules)]
            var content: [HubContent] = []
            for (member, source) in kinds {
                for part in body["content"]?[member]?.objectMembers ?? [] {
                    let path = part.name.split(separator: ".").map { String($0) }
                    guard path.starts(with: ["properties", "desired"]), part.value.isObject, source == target.source
                    else { throw HubQuery.Problem(text: "\(member) \(part.name) does not fit") }
                    content.append(HubContent(path: Array(path.dropFirst(2)), value: part.value))
                }
            }
            // What was created with content keeps it: only condition, priority, labels and metrics can change.
            if let old, !content.isEmpty, content != old.content {
                throw HubQuery.Problem(text: "the content of a configuration cannot be changed")
            }
            for query in body["metrics"]?["queries"]?.objectMembers ?? [] { _ = try HubQuery(query.value.text ?? "") }
            return HubConfiguration(
                id: id, document: body, target: target,
                priority: body["priority"]?.number ?? 0,
                content: old?.content ?? content, revision: (old?.revision ?? 0) + 1,
                created: old?.created ?? now.seconds)
        }
    }

    private func testQueries(_ body: JSONValue) -> HTTPResponse {
        func message(_ check: () throws(HubQuery.Problem) -> HubQuery) -> JSONValue {
            switch Self.result(of: check) {
            case .success: .string("")
            case .failure(let problem): .string(problem.text)
            }
        }
        let target = body["targetCondition"]?.text ?? ""
        let queries = body["customMetricQueries"]?.objectMembers ?? []
        return .json(
            .members([
                (
                    "targetConditionError",
                    message { () throws(HubQuery.Problem) in try HubQuery(targetCondition: target) }
                ),
                (
                    "customMetricQueryErrors",
                    .members(
                        queries.map { query in
                            let text = query.value.text ?? ""
                            return (query.name, message { () throws(HubQuery.Problem) in try HubQuery(text) })
                        })
                ),
            ]))
    }

    /// Puts the content of configurations into the twins that they target: for each path the one with the highest
    /// priority, and of equal ones the newest. What a twin has already is left alone, so that nothing is sent twice.
    mutating func applyConfigurations(_ now: HubTime, _ effects: inout [HubEffect]) {
        let ranked = configurations.values.sorted {
            $0.priority != $1.priority ? $0.priority > $1.priority : $0.created > $1.created
        }
        for name in identities.keys.sorted() {
            guard let identity = identities[name] else { continue }
            let twin = json(ofTwin: identity)
            var states: [String: Bool] = [:]
            var taken: [[String]] = []
            var wanted = identity.twin.desired
            for configuration in ranked
            where (configuration.target.source == .modules) == (name.module != nil)
                && configuration.target.matches(twin)
            {
                var applied = true
                for part in configuration.content {
                    if taken.contains(where: { $0.starts(with: part.path) || part.path.starts(with: $0) }) {
                        applied = false
                        continue
                    }
                    taken.append(part.path)
                    wanted = wanted.setting(path: part.path[...], part.value)
                }
                states[configuration.id] = applied
            }
            if states != identity.twin.configurations {
                identities[name]?.twin.configurations = states
                effects.append(.save)
            }
            let patch = identity.twin.desired.mergePatch(to: wanted)
            if patch != .emptyObject { changeDesired(of: name, patch, replaces: false, now, &effects) }
        }
    }

    /// `POST /devices/{id}/applyConfigurationContent`: content for one device, at once.
    mutating func applyContent(
        _ body: JSONValue, to name: HubIdentityName, _ now: HubTime, _ effects: inout [HubEffect]
    ) -> HTTPResponse {
        guard identities[name] != nil else { return Self.notRegistered(name) }
        for part in body["deviceContent"]?.objectMembers ?? [] {
            let path = part.name.split(separator: ".").map { String($0) }
            guard path.starts(with: ["properties", "desired"]), let old = identities[name]?.twin.desired else {
                continue
            }
            let patch = old.mergePatch(to: old.setting(path: path[2...], part.value))
            if patch != .emptyObject { changeDesired(of: name, patch, replaces: false, now, &effects) }
        }
        for module in body["modulesContent"]?.objectMembers ?? [] {
            let inner = HubIdentityName(device: name.device, module: module.name)
            guard identities[inner] != nil, let desired = module.value["properties.desired"] else { continue }
            changeDesired(of: inner, desired, replaces: true, now, &effects)
        }
        return .empty
    }

    private static func etag(of configuration: HubConfiguration) -> String {
        Base64.encode(Array("c\(configuration.revision)".utf8))
    }

    /// The configuration with how many twins it targets, has reached, and what its own metrics count.
    private func json(of configuration: HubConfiguration) -> JSONValue {
        let states = identities.values.compactMap { $0.twin.configurations[configuration.id] }
        let system = JSONValue.members([
            ("targetedCount", .integer(Int64(states.count))),
            ("appliedCount", .integer(Int64(states.count { $0 }))),
        ])
        let metrics = configuration.document["metrics"] ?? .emptyObject
        let results = (metrics["queries"]?.objectMembers ?? []).map { query -> (String, JSONValue) in
            let text = query.value.text ?? ""
            guard case .success(let parsed) = Self.result(of: { () throws(HubQuery.Problem) in try HubQuery(text) })
            else { return (query.name, .integer(0)) }
            return (query.name, .integer(Int64(run(parsed).count)))
        }
        return configuration.document
            .setting("id", .string(configuration.id))
            .setting("schemaVersion", .string("2.0"))
            .setting("etag", .string(Self.etag(of: configuration)))
            .setting("createdTimeUtc", .string(HubTime.text(configuration.created)))
            .setting("priority", .integer(configuration.priority))
            .setting("systemMetrics", .members([("results", system), ("queries", .emptyObject)]))
            .setting("metrics", metrics.setting("results", .members(results)))
    }
}
