import StrictJSON
import Testing

@testable import HubEmulation

@Suite("The query language")
struct HubQueryTests {
    private let twins: [JSONValue] = (0..<4).map { number in
        .members([
            ("deviceId", .string("gw\(number)")),
            ("tags", .members([("ring", .integer(Int64(number % 2))), ("plant-id", .string("p\(number)"))])),
            (
                "properties",
                .members([
                    (
                        "reported",
                        .members(
                            number == 3
                                ? [] : [("ota", .members([("phase", .string(number == 0 ? "idle" : "confirmed"))]))])
                    )
                ])
            ),
        ])
    }

    @Test(
        "Conditions choose twins",
        arguments: [
            ("", "0123"), ("WHERE tags.ring = 1", "13"), ("WHERE tags.ring <> 1", "02"),
            ("where tags.ring >= 0", "0123"),
            ("WHERE tags.ring < 1 AND deviceId != 'gw0'", "2"), ("WHERE deviceId = 'gw0' OR deviceId = 'gw3'", "03"),
            ("WHERE NOT (deviceId = 'gw0' OR deviceId = 'gw3')", "12"), ("WHERE deviceId IN ['gw1', 'gw2', 'x']", "12"),
            ("WHERE deviceId NOT IN ['gw1']", "023"), ("WHERE IS_DEFINED(properties.reported.ota)", "012"),
            ("WHERE properties.reported.ota.phase = 'confirmed'", "12"),
            ("WHERE properties.reported.ota.phase != 'confirmed'", "03"), ("WHERE tags.[[plant-id]] = 'p2'", "2"),
            ("WHERE STARTSWITH(deviceId, 'gw')", "0123"), ("WHERE tags.ring > 'a'", ""), ("WHERE tags.none = 1", ""),
            ("WHERE tags.ring = 0 OR tags.ring = 1 AND deviceId = 'gw1'", "012"),
        ])
    func conditions(text: String, found: String) throws {
        let rows = try HubQuery("SELECT * FROM devices \(text)").run(twins)
        #expect(rows.compactMap { $0["deviceId"]?.text?.last }.map(String.init).joined() == found)
    }

    @Test("Columns have the names that they are given")
    func columns() throws {
        let rows = try HubQuery("SELECT deviceId, properties.reported.ota.phase AS phase FROM devices").run(twins)
        #expect(rows[1].compactText == #"{"deviceId":"gw1","phase":"confirmed"}"#)
        #expect(rows[3].compactText == #"{"deviceId":"gw3"}"#)
    }

    @Test("Twins are counted, also by groups, and none is counted as 0")
    func counts() throws {
        let groups = try HubQuery("SELECT tags.ring AS ring, COUNT() AS n FROM devices GROUP BY tags.ring").run(twins)
        #expect(groups.map(\.compactText) == [#"{"ring":0,"n":2}"#, #"{"ring":1,"n":2}"#])
        let none = try HubQuery("SELECT COUNT() AS n FROM devices WHERE tags.ring = 9").run(twins)
        #expect(none.map(\.compactText) == [#"{"n":0}"#])
    }

    @Test(
        "What is no query says where it stops being one",
        arguments: [
            ("", "SELECT"), ("SELECT * FRM devices", "FROM"), ("SELECT * FROM users", "devices"),
            ("SELECT * FROM devices WHERE", "name"), ("SELECT * FROM devices WHERE a", "comparison"),
            ("SELECT * FROM devices WHERE a = ", "value"), ("SELECT * FROM devices WHERE a = 'b", "end"),
            ("SELECT * FROM devices WHERE (a = 1", ")"), ("SELECT * FROM devices WHERE a IN [1", "]"),
            ("SELECT * FROM devices WHERE f(a)", "function"), ("SELECT * FROM devices extra", "extra"),
        ])
    func problems(text: String, part: String) {
        do throws(HubQuery.Problem) {
            _ = try HubQuery(text)
            Issue.record("\(text) was taken")
        } catch {
            #expect(error.text.contains(part), "\(error.text)")
        }
    }

    @Test(
        "Target conditions are for devices, or for modules when they say so",
        arguments: [
            ("*", HubQuery.Source.devices), ("tags.ring = 1", .devices),
            ("FROM devices.modules WHERE moduleId = 'ota'", .modules), ("FROM devices.modules", .modules),
        ])
    func targets(text: String, source: HubQuery.Source) throws {
        #expect(try HubQuery(targetCondition: text).source == source)
    }
}
