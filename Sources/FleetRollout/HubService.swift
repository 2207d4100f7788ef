internal import BundleFormat
public import Platform
internal import StrictJSON

/// The service API of an IoT Hub, as far as a rollout needs it: configurations, queries and tags of twins.
public final class HubService {
    private static let version = "api-version=2021-04-12"
    /// Tries of a request that the hub was too busy for, or that did not reach it.
    private static let tries = 6
    /// A token is good for so many seconds, and renewed in the last minute of them.
    private static let tokenSeconds: Int64 = 3600

    private let opening: HubConnectionString
    private let call: HubCall
    private let time: any TimeSource
    private var token = (text: "", expiry: Int64(0))

    /// `authorities` is a PEM file of the certificate authorities to trust instead of the system's.
    public init(_ opening: HubConnectionString, authorities: String?, time: any TimeSource) throws(RolloutError) {
        self.opening = opening
        self.time = time
        call = try HubCall(host: opening.host, authorities: authorities)
    }

    var now: Int64 { time.realSeconds() }

    /// A configuration, or nil.
    func configuration(_ id: String) throws(RolloutError) -> JSONValue? {
        try request("GET", "configurations/\(PercentEncoding.encode(id))", missing: true)?.body
    }

    /// Makes a configuration; false when it is there already.
    func create(_ document: JSONValue) throws(RolloutError) -> Bool {
        let id = document["id"]?.text ?? ""
        return try request(
            "PUT", "configurations/\(PercentEncoding.encode(id))", document, missing: true) != nil
    }

    /// Removes a configuration; one that is not there is fine.
    func remove(_ id: String) throws(RolloutError) {
        _ = try request(
            "DELETE", "configurations/\(PercentEncoding.encode(id))", headers: ["If-Match: *"], missing: true)
    }

    /// What is wrong with a target condition and with queries, by the hub's own judgement.
    func problems(target: String, queries: JSONValue) throws(RolloutError) -> [String] {
        let body = JSONValue.members([("targetCondition", .string(target)), ("customMetricQueries", queries)])
        let answer = try request("POST", "configurations/testQueries", body)?.body
        var found: [String] = []
        if let text = answer?["targetConditionError"]?.text, !text.isEmpty { found.append(text) }
        if case .object(let members)? = answer?["customMetricQueryErrors"] {
            for member in members {
                if let text = member.value.text, !text.isEmpty { found.append("\(member.name): \(text)") }
            }
        }
        return found
    }

    /// All rows of a query.
    func rows(_ query: String) throws(RolloutError) -> [JSONValue] {
        var rows: [JSONValue] = []
        var continuation: String?
        repeat {
            var headers = ["x-ms-max-item-count: 500"]
            if let continuation { headers.append("x-ms-continuation: \(continuation)") }
            let answer = try request(
                "POST", "devices/query", .members([("query", .string(query))]), headers: headers)
            rows += answer?.body.elements ?? []
            continuation = answer?.continuation
        } while continuation != nil
        return rows
    }

    /// Merges tags into the twin of a device or module.
    func tag(device: String, module: String?, _ tags: JSONValue) throws(RolloutError) {
        var path = "twins/\(PercentEncoding.encode(device))"
        if let module { path += "/modules/\(PercentEncoding.encode(module))" }
        _ = try request("PATCH", path, .members([("tags", tags)]), headers: ["If-Match: *"])
    }

    /// One call. `missing`: nil for 404 and for 409 and 412, which say that a thing is not there, or is.
    private func request(
        _ method: String, _ path: String, _ body: JSONValue? = nil, headers: [String] = [], missing: Bool = false
    ) throws(RolloutError) -> (body: JSONValue, continuation: String?)? {
        let url = "https://\(opening.host)/\(path)?\(Self.version)"
        let operation = "\(method) \(path)"
        var failures = 0
        while true {
            let outcome: Result<HubAnswer, RolloutError>
            do throws(RolloutError) {
                let lines = headers + ["Authorization: \(currentToken())", "Content-Type: application/json"]
                outcome = .success(try call.send(method, url: url, headers: lines, body: body?.bytes ?? []))
            } catch { outcome = .failure(error) }
            failures += 1
            switch outcome {
            case .success(let answer) where answer.status < 300:
                return (try Self.decode(answer, operation), answer.headers["x-ms-continuation"])
            case .success(let answer) where missing && [404, 409, 412].contains(answer.status): return nil
            case .success(let answer) where answer.status == 401 || answer.status == 403:
                throw .unauthorized(policy: opening.policy)
            case .success(let answer) where answer.status == 429 || answer.status >= 500:
                if failures >= Self.tries {
                    throw .service(operation: operation, status: answer.status, why: Self.message(answer))
                }
                let asked = answer.headers["retry-after"].flatMap { UInt64($0) } ?? 0
                wait(failures, atLeast: min(asked, 60))
            case .success(let answer):
                throw .service(operation: operation, status: answer.status, why: Self.message(answer))
            case .failure(let error):
                if failures >= 3 { throw error }
                wait(failures, atLeast: 0)
            }
        }
    }

    private func wait(_ failures: Int, atLeast seconds: UInt64) {
        time.sleep(nanoseconds: max(seconds * 1000, 250 << UInt64(failures)) * 1_000_000)
    }

    private func currentToken() -> String {
        if now > token.expiry - 60 {
            let expiry = now + Self.tokenSeconds
            token = (opening.token(expiry: expiry), expiry)
        }
        return token.text
    }

    private static func decode(_ answer: HubAnswer, _ operation: String) throws(RolloutError) -> JSONValue {
        if answer.body.isEmpty { return .null }
        do throws(JSONError) { return try JSONValue.parse(answer.body, limit: answer.body.count) } catch {
            throw .service(operation: operation, status: answer.status, why: "no JSON: \(error.context)")
        }
    }

    /// The hub's own words: `{"Message": "ErrorCode:…;…"}`, or what came instead, cut short.
    private static func message(_ answer: HubAnswer) -> String {
        if case .success(let value) = Result(catching: { () throws(RolloutError) in try decode(answer, "") }) {
            if let text = (value["Message"] ?? value["message"])?.text, !text.isEmpty { return text }
        }
        return answer.body.isEmpty ? "no reason given" : String(decoding: answer.body.prefix(200), as: UTF8.self)
    }
}
