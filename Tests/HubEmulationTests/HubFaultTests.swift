import Testing

@testable import HubEmulation

@Suite("Faults of a hub, asked for")
struct HubFaultTests {
    private let get = "$iothub/twin/GET/?$rid=1"

    private func bench(_ faults: String, on target: String = "gw/ota") -> HubBench {
        var bench = HubBench()
        _ = bench.connect()
        #expect(bench.call("PUT", "emulator/faults/\(target)", faults).responses.map(\.status) == [200])
        return bench
    }

    @Test("As many answers as asked for are lost, and the next one is not")
    func loses() {
        var bench = bench(#"{"lose":2}"#)
        #expect((0..<3).map { _ in bench.publish(get).messages.count } == [0, 0, 1])
    }

    @Test("An answer comes twice")
    func duplicates() {
        var bench = bench(#"{"duplicate":1}"#)
        #expect((0..<2).map { _ in bench.publish(get).messages.count } == [2, 1])
    }

    @Test("A message is overtaken by the next one")
    func reorders() {
        var bench = bench(#"{"reorder":1}"#)
        #expect(bench.publish("$iothub/twin/GET/?$rid=1").messages == [])
        let messages = bench.publish("$iothub/twin/GET/?$rid=2").messages
        #expect(messages.map { $0.contains("$rid=2") } == [true, false])
    }

    @Test("Everything waits")
    func delays() {
        var bench = bench(#"{"delay":300}"#)
        #expect(bench.publish(get).delays == [300, 300])
    }

    @Test("Twin requests are refused with the status that was asked for, and nothing is done")
    func refuses() {
        var bench = bench(#"{"refuse":1,"status":503}"#)
        let path = "$iothub/twin/PATCH/properties/reported/?$rid=2"
        #expect(bench.publish(path, #"{"a":1}"#).messages[0].hasPrefix("$iothub/twin/res/503/?$rid=2"))
        #expect(bench.publish(get).messages[0].contains(#""reported":{"$version":1}"#))
    }

    @Test("The connection is cut at the next packet, which does not count")
    func cuts() {
        var bench = bench(#"{"cut":1}"#)
        #expect(bench.publish("$iothub/twin/PATCH/properties/reported/?$rid=2", #"{"a":1}"#).closed == [1])
        _ = bench.connect(2)
        #expect(bench.publish(get, "", 2).messages[0].contains(#""reported":{"$version":1}"#))
    }

    @Test("CONNECT is refused as often as asked for", arguments: [("unavailable", UInt8(3)), ("unauthorized", 5)])
    func refusesConnections(name: String, code: UInt8) {
        var bench = bench("{\"\(name)\":1}")
        #expect(bench.connect(2).connectResults == [code])
        #expect(bench.connect(3).connectResults == [0])
    }

    @Test("A silent hub neither answers nor closes")
    func isSilent() {
        var bench = bench(#"{"silent":true}"#)
        #expect(bench.publish(get) == [])
        #expect(bench.pass(seconds: 1000).closed == [])
        _ = bench.call("PUT", "emulator/faults/gw/ota", "{}")
        #expect(bench.pass(seconds: 1).closed == [1])
    }

    @Test("The desired version starts again, is pushed again, and the connection is cut when asked for")
    func orders() {
        var bench = bench("{}")
        _ = bench.call("PATCH", "twins/gw/modules/ota", #"{"properties":{"desired":{"a":1}}}"#)
        _ = bench.call("POST", "emulator/restart-version/gw/ota")
        #expect(
            bench.call("POST", "emulator/push-again/gw/ota").messages == [
                #"$iothub/twin/PATCH/properties/desired/?$version=1 {"a":1,"$version":1}"#
            ])
        #expect(bench.call("POST", "emulator/disconnect/gw/ota").closed == [1])
    }

    @Test("Switches for all hold where an identity has none of its own")
    func all() {
        var bench = bench(#"{"lose":1}"#, on: "*")
        #expect(bench.publish(get).messages.isEmpty)
        #expect(bench.publish(get).messages.count == 1)
    }

    @Test("An unknown switch is refused", arguments: [#"{"explode":1}"#, #"{"lose":true}"#, #"{"lose":-1}"#])
    func unknown(text: String) {
        var bench = HubBench()
        #expect(bench.call("PUT", "emulator/faults/*", text).responses.map(\.status) == [400])
    }
}
