import BootControl
import Foundation
import Platform
import TestSupport
import Testing
import Transfer

@testable import UpdateEngine

/// What a server or network did, what came of it, and what it may cost.
struct HostileCase: CustomTestStringConvertible, Sendable {
    enum Outcome: Equatable, Sendable {
        /// The attempt reaches its end by itself.
        case installs
        /// The attempt waits, and goes on when the place is good again.
        case waits(String)
        /// The attempt is refused.
        case refused(String)

        var code: String {
            switch self {
            case .installs: "-"
            case .waits(let code), .refused(let code): code
            }
        }
        var text: String {
            switch self {
            case .installs: "slot right"
            case .waits: "waits, then slot right"
            case .refused: "refused, slot not selected"
            }
        }
    }

    let title: String
    let scenario: String
    let outcome: Outcome
    /// Bytes that may be fetched on top of what a plain install fetches.
    var bound: UInt64 = headBytes + discarded
    var host = "127.0.0.1"
    var isSecure = false
    var query = ""
    var change: @Sendable (inout HTTPOptions) -> Void = { _ in }

    var testDescription: String { title }

    /// What the first request for a bundle asks for: an attempt that goes on in another run fetches it again.
    static let headBytes = BundleHead.firstRequest
    /// Body bytes of a refused answer that are read.
    static let discarded: UInt64 = 64 * 1024
    static let window: UInt64 = 1 << 20
    /// How long a silent server is waited for in these tests, milliseconds.
    static let stall: @Sendable (inout HTTPOptions) -> Void = { $0.stallMilliseconds = 150 }

    static let all: [HostileCase] = [
        HostileCase(title: "good server", scenario: "plain", outcome: .installs, bound: 0),
        HostileCase(
            title: "connection reset once in the body", scenario: "reset", outcome: .installs, bound: discarded),
        HostileCase(title: "connection reset before the answer", scenario: "reset-first", outcome: .installs, bound: 0),
        HostileCase(
            title: "connection reset always", scenario: "reset-always", outcome: .waits("transfer.interrupted")),
        HostileCase(title: "every connection breaks after 40 kB", scenario: "cut-always", outcome: .installs, bound: 0),
        HostileCase(
            title: "one byte with each connection", scenario: "crumbs", outcome: .waits("transfer.interrupted"),
            change: { $0.retryBudget = 20 }),
        HostileCase(title: "silence in the body", scenario: "silence", outcome: .installs, bound: 0, change: stall),
        HostileCase(
            title: "silence always", scenario: "mute", outcome: .waits("transfer.stalled"), change: stall),
        HostileCase(
            title: "1 byte per second", scenario: "drip", outcome: .waits("transfer.stalled"),
            change: {
                stall(&$0)
                $0.retryBudget = 4
            }),
        HostileCase(
            title: "slow headers", scenario: "slow-head", outcome: .waits("transfer.stalled"), change: stall),
        HostileCase(
            title: "headers without end", scenario: "endless-head", outcome: .waits("transfer.unexpected-response")),
        HostileCase(
            title: "body without end", scenario: "endless", outcome: .waits("transfer.wrong-length"),
            bound: 2 * headBytes),
        HostileCase(
            title: "200 for a range", scenario: "range-ignored", outcome: .waits("transfer.ranges-ignored"),
            bound: headBytes + 2 * discarded),
        HostileCase(
            title: "Content-Range off by one", scenario: "starts-late", outcome: .waits("transfer.wrong-range"),
            bound: headBytes + 2 * discarded),
        HostileCase(
            title: "Content-Range ends early", scenario: "ends-early", outcome: .waits("transfer.wrong-range"),
            bound: headBytes + 2 * discarded),
        HostileCase(
            title: "206 without Content-Range", scenario: "no-content-range", outcome: .waits("transfer.wrong-range"),
            bound: headBytes + 2 * discarded),
        HostileCase(
            title: "several ranges for one", scenario: "multipart", outcome: .waits("transfer.wrong-range"),
            bound: headBytes + 2 * discarded),
        HostileCase(
            title: "Content-Length too long", scenario: "wrong-length", outcome: .waits("transfer.wrong-length"),
            bound: headBytes + 2 * discarded),
        HostileCase(
            title: "ETag changes midway", scenario: "changed-tag", outcome: .waits("transfer.changed"),
            bound: headBytes + 3 * discarded),
        HostileCase(title: "weak ETag", scenario: "weak", outcome: .installs, bound: 0),
        HostileCase(
            title: "same size, other object midway", scenario: "swapped", outcome: .waits("transfer.changed"),
            bound: headBytes + 3 * discarded),
        HostileCase(
            title: "same, and no ETag tells", scenario: "swapped-silently", outcome: .refused("payload.damaged"),
            bound: headBytes + 5 * window + 8 * discarded),
        HostileCase(
            title: "length changes midway", scenario: "changed-total", outcome: .waits("transfer.changed"),
            bound: headBytes + 3 * discarded),
        HostileCase(
            title: "one bit flipped once", scenario: "flipped", outcome: .installs, bound: window + 8 * discarded),
        HostileCase(
            title: "one bit flipped three times", scenario: "flipped-often", outcome: .installs,
            bound: 3 * window + 8 * discarded),
        HostileCase(
            title: "damaged copy in a cache on the way", scenario: "broken-cache", outcome: .installs,
            bound: window + 8 * discarded),
        HostileCase(
            title: "other object in a cache on the way", scenario: "old-cache", outcome: .installs),
        HostileCase(
            title: "one bit flipped always", scenario: "flipped-always", outcome: .refused("payload.damaged"),
            bound: headBytes + 5 * window + 8 * discarded),
        HostileCase(
            title: "416 for a range inside", scenario: "status/416", outcome: .waits("transfer.unexpected-response")),
        HostileCase(
            title: "gzip that nobody asked for", scenario: "gzip", outcome: .waits("transfer.encoded"),
            bound: headBytes + 2 * discarded),
        HostileCase(title: "HTML with 200", scenario: "page", outcome: .waits("transfer.not-a-bundle")),
        HostileCase(
            title: "captive portal, redirect to its login", scenario: "portal",
            outcome: .waits("transfer.not-a-bundle")),
        HostileCase(
            title: "captive portal, status 511", scenario: "status/511", outcome: .waits("transfer.not-a-bundle")),
        HostileCase(title: "redirect loop", scenario: "loop", outcome: .waits("transfer.redirect")),
        HostileCase(title: "redirect to another host", scenario: "to/127.0.0.2", outcome: .installs, bound: 0),
        HostileCase(
            title: "redirect from https to http", scenario: "down/PORT", outcome: .waits("transfer.redirect"),
            isSecure: true),
        HostileCase(title: "redirect to a file", scenario: "to-file", outcome: .waits("transfer.redirect")),
        HostileCase(
            title: "certificate of nobody", scenario: "plain", outcome: .waits("transfer.tls"), isSecure: true,
            change: { $0.certificateAuthorities = nil }),
        HostileCase(
            title: "TLS, certificate of the authority", scenario: "plain", outcome: .installs, bound: 0,
            isSecure: true),
        HostileCase(
            title: "403 on an expired URL", scenario: "expired/1000000", outcome: .waits("transfer.address-expired"),
            bound: headBytes + window + discarded, query: "?sig=x"),
        HostileCase(title: "403", scenario: "status/403", outcome: .waits("transfer.denied")),
        HostileCase(title: "404", scenario: "status/404", outcome: .waits("transfer.not-found")),
        HostileCase(title: "429 with Retry-After", scenario: "slow-down", outcome: .installs, bound: discarded),
        HostileCase(title: "500 three times", scenario: "storm", outcome: .installs, bound: discarded),
        HostileCase(title: "503 always", scenario: "busy", outcome: .waits("transfer.server-failed")),
        HostileCase(title: "no HTTP at all", scenario: "no-http", outcome: .waits("transfer.unexpected-response")),
        HostileCase(title: "close-delimited body", scenario: "close-delimited", outcome: .installs, bound: 0),
        HostileCase(title: "chunked body with trailers", scenario: "chunked", outcome: .installs, bound: 0),
        HostileCase(
            title: "another object of that size", scenario: "foreign", outcome: .refused("bundle.not-a-bundle"),
            bound: 2 * headBytes),
        HostileCase(title: "IPv6 only", scenario: "plain", outcome: .installs, bound: 0, host: "[::1]"),
        HostileCase(
            title: "DNS failure", scenario: "plain", outcome: .waits("transfer.unresolved"),
            host: "bundles.invalid"),
        HostileCase(
            title: "nobody listens", scenario: "plain", outcome: .waits("transfer.unreachable"),
            host: "127.0.0.9"),
    ]
}

/// One bundle of three windows that do not compress, and a hostile server for it, for all tests here.
final class HostileBundle: @unchecked Sendable {
    static let shared = try? HostileBundle()

    let device: TestDevice
    let path: String
    let bytes: [UInt8]
    let image: [UInt8]
    let server: HostileServer
    let certificates: TestCertificates

    private init() throws {
        device = try TestDevice()
        image = noise(3 << 20)
        path = try device.bundle("hostile", images: [("rootfs", image)])
        bytes = try FileSystem.read(path, limit: 1 << 24)
        certificates = try TestCertificates(in: device.directory)
        server = try HostileServer(object: path, certificate: certificates.server)
    }

    /// What a plain install fetches: every byte once.
    var useful: UInt64 { UInt64(bytes.count) }

    /// Another device that trusts the same key.
    func another() throws -> TestDevice {
        let other = try TestDevice()
        other.key = device.key
        other.trust = device.trust
        return other
    }

    /// Limits that keep a test short.
    var options: HTTPOptions {
        var options = HTTPOptions()
        options.proxy = ""
        options.backOffBaseMilliseconds = 1
        options.backOffCapMilliseconds = 4
        options.retryAfterCapMilliseconds = 100
        options.attemptsWithoutProgress = 4
        options.stallMilliseconds = 60_000
        options.certificateAuthorities = certificates.authority
        return options
    }

    func source(_ url: String, _ options: HTTPOptions) throws(TransferError) -> any BundleSource {
        try BundleLocation.parse(url).open(options: options)
    }
}

@Suite("Hostile servers and networks", .serialized, .needsHostileServer, .timeLimit(.minutes(2)))
struct HostileNetworkTests {
    private let bundle: HostileBundle
    private let device: TestDevice

    init() throws {
        bundle = try #require(HostileBundle.shared)
        device = try bundle.another()
    }

    /// Installs, as attempt `id`; the code of the failure, and the bytes that were fetched.
    private func install(_ url: String, id: String, _ options: HTTPOptions) throws -> (code: String?, fetched: UInt64) {
        var opened: (any BundleSource)?
        device.opener = { (location, _) throws(TransferError) in
            let source = try bundle.source(location, options)
            opened = source
            return source
        }
        let engine = try device.engine()
        var code: String?
        do { try engine.install(url, id: id) } catch { code = error.code }
        return (code, opened?.bytesReceived ?? 0)
    }

    private func slotIsRight() throws -> Bool {
        Array(try device.contents("rootfs", .b).prefix(bundle.image.count)) == bundle.image
    }

    @Test("Whatever a server does, the slot ends right or there is one clear code", arguments: HostileCase.all)
    func outcome(entry: HostileCase) throws {
        if entry.host == "[::1]", !Self.hasIPv6 {
            try OutcomeTable.transfers.add([entry.title, "skipped: this machine has no IPv6", "-", "-", "-"])
            return
        }
        var options = bundle.options
        entry.change(&options)
        let scenario = entry.scenario.replacingOccurrences(of: "PORT", with: "\(bundle.server.port)")
        let url = bundle.server.url(scenario, host: entry.host, isSecure: entry.isSecure).text + entry.query
        let (code, first) = try install(url, id: "attempt", options)
        var fetched = first
        let useful: UInt64
        switch entry.outcome {
        case .installs:
            #expect(code == nil)
            useful = bundle.useful
        case .waits(let wanted):
            #expect(code == wanted)
            #expect(try device.boot.load().active == .a)
            // The same attempt goes on at a good place, with what the bad one gave.
            let (again, more) = try install(bundle.server.url("plain").text, id: "attempt", bundle.options)
            #expect(again == nil)
            fetched += more
            useful = bundle.useful
        case .refused(let wanted):
            #expect(code == wanted)
            #expect(try device.boot.load().active == .a)
            #expect(try device.engine().status.result?.phase == .failed)
            useful = 0
        }
        if useful > 0 {
            #expect(try slotIsRight())
            #expect(try device.boot.load().active == .b)
        }
        try #require(fetched >= useful)
        let wasted = fetched - useful
        #expect(wasted <= entry.bound, "\(wasted) bytes wasted")
        try OutcomeTable.transfers.add([
            entry.title, entry.outcome.text, entry.outcome.code, "\(wasted)", "\(entry.bound)",
        ])
    }

    private static var hasIPv6: Bool { (try? FileSystem.read("/proc/net/if_inet6", limit: 65_536))?.isEmpty == false }

    @Test("A renewed address goes on with what the expired one gave")
    func renewed() throws {
        let (code, first) = try install(
            bundle.server.url("expired/2000000").text + "?sig=x", id: "attempt", bundle.options)
        #expect(code == "transfer.address-expired")
        #expect(try device.engine().status.phase == .fetching)
        let (again, second) = try install(
            bundle.server.url("plain").text + "?sig=y", id: "attempt", bundle.options)
        #expect(again == nil)
        #expect(try slotIsRight())
        // The head again, and the part of a window that had come when the address ran out.
        #expect(first + second <= bundle.useful + HostileCase.headBytes + HostileCase.window + 16)
    }

    @Test(
        "A first place that is bad in any way costs little, and the second one gives the bundle",
        arguments: [
            "foreign", "flipped-always", "swapped-silently", "status/404", "page", "reset-always", "gzip", "mute",
        ])
    func secondPlace(scenario: String) throws {
        var options = bundle.options
        options.stallMilliseconds = 150
        options.attemptsWithoutProgress = 2
        let places = [bundle.server.url(scenario).text, bundle.server.url("plain").text]
        var opened: MirroredSource?
        let settings = options
        device.opener = { (location, alternatives) throws(TransferError) in
            let source = MirroredSource(
                ([location] + alternatives).map { url in
                    BundlePlace(displayName: url) { () throws(TransferError) -> any BundleSource in
                        try bundle.source(url, settings)
                    }
                }, options: settings)
            opened = source
            return source
        }
        try device.engine().install(places[0], id: "attempt", alternatives: [places[1]])
        #expect(try slotIsRight())
        let fetched = try #require(opened).bytesReceived
        try #require(fetched >= bundle.useful)
        let wasted = fetched - bundle.useful
        let bound = HostileCase.headBytes + HostileCase.window + 8 * HostileCase.discarded
        #expect(wasted <= bound, "\(wasted)")
        try OutcomeTable.transfers.add([
            "bad first place (\(scenario)), good second", "slot right", "-", "\(wasted)", "\(bound)",
        ])
    }

    @Test("A malicious mirror cannot keep a device from a bundle that another place has")
    func maliciousMirror() throws {
        try secondPlace(scenario: "foreign")
        try Attack("A10", "malicious mirror").record("installed from the next place")
    }
}

@Suite("A bundle that is cut off", .serialized, .needsHostileServer, .timeLimit(.minutes(5)))
struct TruncationTests {
    /// A device with small slots, a small bundle for it, and a server that has it.
    private struct SmallBundle {
        let device: TestDevice
        let image = Array(TestDevice.image(seed: 5, megabytes: 1).prefix(2048))
        let size: UInt64
        let server: HostileServer

        init() throws {
            device = try TestDevice()
            for set in SlotSet.allCases {
                try Descriptor(open: device.slotPath("rootfs", set), [.read, .write]).truncate(to: 65_536)
            }
            let path = try device.bundle("small", images: [("rootfs", image)])
            size = try FileSystem.size(of: path)
            server = try HostileServer(object: path)
        }

        /// An engine on what the factory made, and the source that it opens.
        func engine() throws -> (Engine, () -> (any BundleSource)?) {
            var options = HTTPOptions()
            options.proxy = ""
            options.backOffBaseMilliseconds = 1
            options.backOffCapMilliseconds = 1
            let settings = options
            var opened: (any BundleSource)?
            device.opener = { (url, _) throws(TransferError) in
                let source = try BundleLocation.parse(url).open(options: settings)
                opened = source
                return source
            }
            return (try device.bootedAnew(), { opened })
        }
    }

    @Test("At every byte of a small bundle: an object that ends there is refused")
    func shorterObject() throws {
        let small = try SmallBundle()
        var codes: Set<String> = []
        var fetched: UInt64 = 0
        for length in 0..<Int(small.size) {
            let (engine, source) = try small.engine()
            let failure = #expect(throws: Failure.self) {
                try engine.install(small.server.url("truncated/\(length)").text)
            }
            if let failure { codes.insert(failure.code) }
            #expect(try small.device.boot.load().active == .a)
            fetched = max(fetched, source()?.bytesReceived ?? 0)
        }
        #expect(codes == ["bundle.not-a-bundle", "bundle.truncated", "transfer.out-of-range"])
        #expect(fetched <= 2 * small.size)
        try OutcomeTable.transfers.add([
            "object cut off at every byte of \(small.size)", "refused, slot not selected",
            codes.sorted().joined(separator: " "), "\(fetched)", "\(2 * small.size)",
        ])
    }

    @Test("At every byte of a small bundle: a connection that breaks there is made again, and nothing comes twice")
    func brokenConnection() throws {
        let small = try SmallBundle()
        var wasted: UInt64 = 0
        for length in 0..<Int(small.size) {
            let (engine, source) = try small.engine()
            try engine.install(small.server.url("broken-off/\(length)").text)
            let slot = Array(try small.device.contents("rootfs", .b).prefix(small.image.count))
            #expect(slot == small.image, "byte \(length)")
            let fetched = try #require(source()).bytesReceived
            try #require(fetched >= small.size)
            wasted = max(wasted, fetched - small.size)
        }
        #expect(wasted == 0)
        try OutcomeTable.transfers.add([
            "connection cut at every byte of \(small.size)", "slot right", "-", "\(wasted)", "0",
        ])
    }
}

extension TestDevice {
    /// An engine on the factory's boot record, with an old slot.
    fileprivate func bootedAnew() throws -> Engine {
        forget()
        return try engine()
    }

    /// Sets the device back to what the factory made.
    fileprivate func forget() {
        boot.records = [BootRecord()]
        state.journal = [nil, nil]
        state.heads = [:]
    }
}

extension Trait where Self == ConditionTrait {
    static var needsHostileServer: Self {
        .enabled(if: HostileServer.isAvailable, "needs python3 (apt: python3)")
    }
}
