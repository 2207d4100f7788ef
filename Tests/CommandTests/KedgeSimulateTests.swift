import Foundation
import FoundationXML
import Platform
import StrictJSON
import Testing

/// `kedge simulate` as a release engineer and their CI run it.
@Suite("kedge simulate")
struct KedgeSimulateTests {
    private let workspace: KedgeWorkspace
    private static let device = """
        [device]
        id = gw-1
        vendor = acme
        class = edge-gateway
        hardware = 2
        [trust]
        root = /etc/kedge/root.json
        [boot]
        backend = simulated
        record = /var/lib/kedge/record
        [slot rootfs a]
        type = block
        path = /dev/kedge-a
        size = 8388608
        [slot rootfs b]
        type = block
        path = /dev/kedge-b
        size = 8388608

        """

    init() throws {
        workspace = try KedgeWorkspace(imageBytes: 5_000_000)
        try workspace.build()
        try device(Self.device)
    }

    private func device(_ text: String) throws {
        try FileSystem.replace(workspace.directory("device.ini"), with: Array(text.utf8))
    }

    private func simulate(_ more: [String], bundle: String = "out.kedge") throws -> BuiltCommand.Outcome {
        try workspace.run(
            [
                "simulate", bundle, "--device", "device.ini", "--root", "keys/root.json", "--states", "150", "--steps",
                "4",
            ]
                + more)
    }

    private func read(_ name: String) throws -> String {
        String(decoding: try FileSystem.read(workspace.directory(name), limit: 1 << 20), as: UTF8.self)
    }

    @Test("a good bundle holds in every scenario, and the report comes as text, JSON and JUnit")
    func holds() throws {
        let outcome = try simulate(["--json", "report.json", "--junit", "report.xml"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        // No bar where nobody looks.
        #expect(outcome.errors.isEmpty)
        #expect(outcome.output.contains("no rule broken in "))
        let report = try JSONValue.parse(try read("report.json"), limit: 1 << 20)
        #expect(report["result"]?.text == "held")
        let stories = try #require(report["stories"]?.elements)
        #expect(
            Set(stories.compactMap { $0["scenario"]?.text })
                == ["power", "network", "bad-release", "full-disk", "wear"])
        for story in stories { #expect(try #require(story["crashStates"]?.number) > 50) }
        let wear = try #require(report["wear"]?.elements)
        let places = wear.map { "\($0["place"]?.text ?? "") \($0["mostWrites"]?.number ?? -1)" }
        #expect(places.contains("rootfs a 0") && places.contains("rootfs b 1"), "\(places)")
        let xml = try XMLParserCheck(try read("report.xml"))
        #expect(xml.cases == stories.count && xml.failures == 0)
        #expect(!FileManager.default.fileExists(atPath: workspace.directory("kedge-trace.json")))
    }

    @Test("the same seed gives the same report, another seed another one")
    func repeatable() throws {
        let words = ["--scenario", "power", "--seconds", "0"]
        let first = try simulate(words + ["--seed", "7"])
        #expect(first.status == 0, "\(first.errors)")
        #expect(try simulate(words + ["--seed", "7"]).output == first.output)
        #expect(try simulate(words + ["--seed", "8"]).output != first.output)
    }

    /// Bugs of every kind of story, and the scenario that shows them.
    static let bugs = [
        ("recordNotFlushed", "power", "S1"), ("dataNotFlushed", "power", "S1"), ("runningSlotWritten", "wear", "S2"),
        ("tailLeft", "power", "S"), ("healthIgnored", "bad-release", "S6"), ("failedStaysGood", "bad-release", "S3"),
        ("triesNotCounted", "bad-release", ""),
    ]

    @Test(
        "a broken rule is exit status 12, in all reports, and its trace is replayed to the same rule", arguments: bugs)
    func broken(bug: String, scenario: String, rule: String) throws {
        let outcome = try simulate([
            "--scenario", scenario, "--seed-bug", bug, "--states", "3000", "--json", "report.json", "--junit",
            "report.xml", "--trace", "trace.json",
        ])
        #expect(outcome.status == 12, "\(outcome.output)\(outcome.errors)")
        #expect(outcome.errors.hasPrefix("kedge: simulate.broken: a rule is broken: \(rule)"), "\(outcome.errors)")
        let report = try JSONValue.parse(try read("report.json"), limit: 1 << 20)
        #expect(report["result"]?.text == "broken" && report["trace"]?.text == "trace.json")
        let found = try #require(report["rule"]?.text)
        #expect(try XMLParserCheck(try read("report.xml")).failures > 0)
        let steps = try #require(JSONValue.parse(try read("trace.json"), limit: 1 << 20)["steps"]?.elements)
        let replayed = try simulate(["--replay", "trace.json"])
        #expect(replayed.status == 12, "\(replayed.errors)")
        #expect(replayed.output.hasSuffix("rule    \(found)\n"), "\(replayed.output)")
        // A rule about ends may be broken from the first state on.
        #expect(steps.isEmpty || replayed.output.hasPrefix("1. "))
        #expect(replayed.output.split(separator: "\n").count == steps.count + 1)
    }

    @Test("a trace of an engine that was mended since says that no rule is broken, or where it leads elsewhere")
    func mended() throws {
        let outcome = try simulate(["--scenario", "power", "--seed-bug", "recordNotFlushed"])
        #expect(outcome.status == 12)
        let trace = try read("kedge-trace.json").replacing("\"recordNotFlushed\"", with: "null")
        try FileSystem.replace(workspace.directory("mended.json"), with: Array(trace.utf8))
        let replayed = try simulate(["--replay", "mended.json"])
        #expect(replayed.status == 0 && replayed.output.contains("no rule is broken any more"), "\(replayed.errors)")
    }

    @Test("a trace of another device, another bundle, or none at all is refused with its own code")
    func traces() throws {
        #expect(try simulate(["--scenario", "power", "--seed-bug", "dataNotFlushed"]).status == 12)
        try device(Self.device.replacing("hardware = 2", with: "hardware = 3"))
        let other = try simulate(["--replay", "kedge-trace.json"])
        #expect(other.status == 9 && other.errors.hasPrefix("kedge: simulate.other-trace: "), "\(other.errors)")
        for bad in ["", "{}", "[1]", "{\"kedgeTrace\": 1, \"steps\": [7]}"] {
            try FileSystem.replace(workspace.directory("bad.json"), with: Array(bad.utf8))
            let outcome = try simulate(["--replay", "bad.json"])
            #expect(outcome.status == 3 && outcome.errors.hasPrefix("kedge: simulate.trace: "), "\(outcome.errors)")
        }
        let missing = try simulate(["--replay", "nowhere.json"])
        #expect(missing.status == 6, "\(missing.errors)")
    }

    /// What is wrong with the device, the bundle or the trust, the exit status, and the code.
    static let refusals: [(from: String, to: String, status: Int32, code: String)] = [
        ("vendor = acme", "vendor = other", 5, "policy.wrong-product"),
        ("hardware = 2", "hardware = 9", 5, "policy.wrong-hardware"),
        ("8388608", "1048576", 6, "slot.too-small"),
        ("slot rootfs", "slot system", 6, "slot.missing"),
        ("backend = simulated", "backend = magic", 3, "config.invalid"),
    ]

    @Test("a device that the bundle is not for is told apart, by the engine's own words", arguments: refusals)
    func refused(from: String, to: String, status: Int32, code: String) throws {
        try device(Self.device.replacing(from, with: to))
        let outcome = try simulate([])
        #expect(outcome.status == status, "\(outcome.errors)")
        #expect(outcome.errors.hasPrefix("kedge: \(code): "), "\(outcome.errors)")
        #expect(outcome.output.isEmpty)
    }

    @Test("a bundle that is cut, changed or signed by nobody that the device trusts is refused")
    func bundles() throws {
        let whole = try FileSystem.read(workspace.directory("out.kedge"), limit: 1 << 24)
        try FileSystem.replace(workspace.directory("cut.kedge"), with: Array(whole.dropLast(9)))
        #expect(try simulate([], bundle: "cut.kedge").status == 4)
        var changed = whole
        changed[changed.count / 2] ^= 1
        try FileSystem.replace(workspace.directory("changed.kedge"), with: changed)
        #expect(try simulate([], bundle: "changed.kedge").status == 4)
        #expect(try workspace.run(["keys", "new", "others", "--environment", "dev"]).status == 0)
        let untrusted = try workspace.run(
            ["simulate", "out.kedge", "--device", "device.ini", "--root", "others/root.json"])
        #expect(untrusted.status == 4, "\(untrusted.errors)")
    }

    @Test("the release before is what the device runs, and an older bundle is refused on it")
    func former() throws {
        let recipe = KedgeWorkspace.recipe.replacing("sequence = 12", with: "sequence = 13")
            .replacing("2.1.0", with: "2.2.0")
        try FileSystem.replace(workspace.directory("next.toml"), with: Array(recipe.utf8))
        let built = try workspace.run(["build", "next.toml", "-o", "next.kedge", "--key", "keys/release.key"])
        try #require(built.status == 0, "\(built.errors)")
        let good = try simulate(["--from", "out.kedge", "--scenario", "power"], bundle: "next.kedge")
        #expect(good.status == 0 && good.output.contains("from acme-edge-2.1.0"), "\(good.errors)")
        let older = try simulate(["--from", "next.kedge", "--scenario", "power"])
        #expect(older.status == 5 && older.errors.hasPrefix("kedge: policy.older: "), "\(older.errors)")
    }

    @Test("the stories that Kedge is tested with need no bundle")
    func sample() throws {
        let outcome = try workspace.run(["simulate", "--sample", "--states", "40"])
        #expect(outcome.status == 0 && outcome.output.contains("no rule broken in "), "\(outcome.errors)")
    }
}

/// A JUnit file, read by Foundation's XML parser.
private final class XMLParserCheck: NSObject, XMLParserDelegate {
    private(set) var cases = 0
    private(set) var failures = 0

    init(_ text: String) throws {
        super.init()
        let parser = XMLParser(data: Data(text.utf8))
        parser.delegate = self
        try #require(parser.parse(), "not well-formed: \(text)")
    }

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
        attributes: [String: String]
    ) {
        if name == "testcase" { cases += 1 }
        if name == "failure" { failures += 1 }
    }
}
