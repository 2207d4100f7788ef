import FactoryImage
import Platform
import Testing

@Suite("What a gateway directory refuses")
struct GatewayRefusalTests {
    @Test("A directory that holds something is refused and stays as it is")
    func notEmpty() throws {
        let bench = try Workbench()
        try FileSystem.replace(bench.path + "/mine", with: [1, 2, 3])
        #expect(throws: GatewayError.notEmpty(path: bench.path)) {
            try Gateway.create(Workbench.order(), at: bench.path)
        }
        #expect(try FileSystem.list(bench.path) == ["mine"])
    }

    @Test("A file under the name is refused and stays as it is")
    func file() throws {
        let bench = try Workbench()
        let path = bench.path + "/gateway"
        try FileSystem.replace(path, with: [7])
        #expect(throws: GatewayError.notEmpty(path: path)) { try Gateway.create(Workbench.order(), at: path) }
        #expect(try FileSystem.read(path, limit: 10) == [7])
    }

    @Test("An error on the way leaves nothing behind")
    func nothingHalfMade() throws {
        let bench = try Workbench()
        var order = Workbench.order()
        order.trustRoot = bench.path + "/absent.json"
        #expect(throws: GatewayError.self) { try Gateway.create(order, at: bench.path + "/gateway") }
        #expect(try FileSystem.list(bench.path) == [])
    }

    @Test(
        "Sizes that the media cannot have are refused",
        arguments: [
            GatewayLayout.Sizes(rootfs: 0), GatewayLayout.Sizes(rootfs: (1 << 20) + 4096),
            GatewayLayout.Sizes(kernel: 1 << 50), GatewayLayout.Sizes(bios: 100_000),
        ])
    func sizes(_ sizes: GatewayLayout.Sizes) throws {
        #expect(throws: GatewayError.self) { try GatewayLayout(sizes) }
    }

    @Test("Paths that device.ini could not carry are refused", arguments: ["a b", "a;b", "a'b", "a\nb", "a#b"])
    func paths(_ name: String) throws {
        let bench = try Workbench()
        #expect(throws: GatewayError.path(bench.path + "/" + name)) {
            try Gateway.create(Workbench.order(), at: bench.path + "/" + name)
        }
        #expect(try FileSystem.list(bench.path) == [])
    }

    @Test("Identities that device.ini could not carry are refused", arguments: ["", "a b", "x;y", "é"])
    func identities(_ vendor: String) throws {
        let bench = try Workbench()
        var order = Workbench.order()
        order.vendor = vendor
        #expect(throws: GatewayError.self) { try Gateway.create(order, at: bench.path + "/gateway") }
        #expect(try FileSystem.list(bench.path) == [])
    }

    @Test(
        "Directories without a whole gateway.json are no gateways",
        arguments: [
            nil, "", "{}", #"{"type":"other","format":1}"#, #"{"type":"kedge.gateway","format":2}"#,
        ])
    func foreign(_ text: String?) throws {
        let bench = try Workbench()
        if let text { try FileSystem.replace(bench.path + "/gateway.json", with: Array(text.utf8)) }
        try FileSystem.replace(bench.path + "/precious", with: [1])
        #expect(throws: GatewayError.self) { try Gateway(at: bench.path).destroy() }
        #expect(try FileSystem.read(bench.path + "/precious", limit: 10) == [1])
    }

    @Test(
        "A gateway with somebody's file in it is not destroyed, not even in part",
        Workbench.needsPartitioner)
    func somebodysFile() throws {
        let bench = try Workbench()
        let gateway = try bench.gateway()
        let before = try FileSystem.list(gateway.directory)
        let notes = gateway.directory + "/notes.txt"
        try FileSystem.replace(notes, with: [1])
        #expect(throws: GatewayError.foreign(path: notes)) { try gateway.destroy() }
        try FileSystem.remove(notes)
        #expect(try FileSystem.list(gateway.directory) == before)
        try gateway.destroy()
        #expect(try FileSystem.kind(of: gateway.directory) == nil)
    }

    @Test(
        "Destroying removes links in the store and not what they name",
        Workbench.needsPartitioner)
    func linksAreNotFollowed() throws {
        let bench = try Workbench()
        let gateway = try bench.gateway()
        try FileSystem.makeDirectories(bench.path + "/outside")
        try FileSystem.replace(bench.path + "/outside/file", with: [1])
        try FileSystem.replaceLink(gateway.store + "/link", target: bench.path + "/outside")
        try gateway.destroy()
        #expect(try FileSystem.list(bench.path) == ["outside"])
        #expect(try FileSystem.list(bench.path + "/outside") == ["file"])
    }
}
