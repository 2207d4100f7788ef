internal import StrictJSON

extension EmulatedHub {
    /// `GET /`: who there is and what their `ota` sections say, made here without scripts. Nothing secret is on it, so
    /// that it needs no token.
    func page(_ request: HTTPRequest) -> HTTPResponse? {
        guard request.method == "GET", request.path.isEmpty else { return nil }
        var rows = ""
        for identity in identities.values.sorted(by: { $0.name < $1.name }) {
            let ota = identity.twin.reported["ota"]
            let isConnected = connection(of: identity.name) != nil
            let percent = ota?["progress"]?["percent"]?.number.map { " \($0) %" } ?? ""
            let cells = [
                identity.name.text, isConnected ? "connected" : "not connected",
                ota?["running"]?["release"]?.text ?? ota?["running"]?["version"]?.text ?? "",
                (ota?["phase"]?.text ?? "") + percent,
                ota?["result"]?["reason"]?.text ?? ota?["result"]?["phase"]?.text ?? "",
                identity.twin.desired["ota"]?["attempt"]?.text ?? "",
            ]
            rows += "<tr>" + cells.map { "<td>\(Self.escaped($0))</td>" }.joined() + "<td><details><summary>twin"
            rows += "</summary><pre>\(Self.escaped(twinText(identity)))</pre></details></td></tr>\n"
        }
        var plans = ""
        for configuration in configurations.values.sorted(by: { $0.id < $1.id }) {
            let states = identities.values.compactMap { $0.twin.configurations[configuration.id] }
            let text =
                "\(configuration.id): priority \(configuration.priority), for \(configuration.document["targetCondition"]?.text ?? ""), "
                + "\(states.count) targeted, \(states.count { $0 }) applied"
            plans += "<li>\(Self.escaped(text))</li>\n"
        }
        let body = """
            <!DOCTYPE html>
            <html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">
            <title>\(Self.escaped(settings.hostName))</title>
            <style>body{font:16px sans-serif;margin:2em}table{border-collapse:collapse}\
            td,th{border:1px solid #888;padding:.3em .6em;text-align:left;vertical-align:top}</style></head>
            <body><h1>\(Self.escaped(settings.hostName))</h1>
            <p>An emulated IoT Hub: \(identities.count) identities, \(links.count) connections.</p>
            <table><caption>Identities</caption><thead><tr><th scope="col">identity</th><th scope="col">connection</th>\
            <th scope="col">running</th><th scope="col">phase</th><th scope="col">last result</th>\
            <th scope="col">asked for</th><th scope="col">twin</th></tr></thead>
            <tbody>\(rows)</tbody></table>
            <h2>Automatic configurations</h2><ul>\(plans)</ul></body></html>

            """
        return HTTPResponse(status: 200, type: "text/html; charset=utf-8", body: Array(body.utf8))
    }

    private func twinText(_ identity: HubIdentity) -> String {
        JSONValue.members([
            ("tags", identity.twin.tags), ("desired", identity.twin.desiredWithVersion),
            ("reported", identity.twin.reportedWithVersion),
        ]).prettyText
    }

    private static func escaped(_ text: String) -> String {
        var out = ""
        for character in text {
            switch character {
            case "&": out += "&amp;"
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "\"": out += "&quot;"
            default: out.append(character)
            }
        }
        return out
    }
}
