public import BundleFormat
internal import Platform
public import StrictJSON

/// What is to be rolled out, to whom, in which order, and when to stop: one JSON file that people review and keep.
public struct RolloutPlan: Equatable, Sendable {
    /// A part of the fleet that gets the release at one time.
    public struct Ring: Equatable, Sendable {
        public enum Selection: Equatable, Sendable {
            /// So many percent of those targeted that no condition picks, 1 to 99; chosen by a hash, marked by a tag.
            case share(Int64)
            /// Who meets a condition of the IoT Hub query language.
            case condition(String)
            /// Everybody whom the plan targets, also who joins later; only as the last ring.
            case rest
        }
        public let name: String
        public let selection: Selection

        public init(name: String, selection: Selection) {
            self.name = name
            self.selection = selection
        }
    }

    /// Of the rollout, 1 to 32 of a-z, 0-9 and -.
    public var name: String
    /// The attempt id that devices get; another one makes them try again.
    public var attempt: String
    /// Where the bundle is, and more places of it.
    public var url: String
    public var sources: [String]
    /// The manifest that the bundle must have, and what people call the release.
    public var manifest: Digest
    public var release: String
    public var version: String
    /// Whom it is for: a condition of the IoT Hub query language; `*`: all.
    public var target: String
    /// The module identity that kedged has; nil: the device's own.
    public var module: String?
    public var rings: [Ring]
    /// A ring must have this share of its devices confirmed before the next one opens, percent.
    public var successPercent: Int64
    /// More failed devices than this in a ring halt the rollout, percent.
    public var failurePercent: Int64
    /// A ring is open at least so long before the next one, seconds.
    public var soakSeconds: Int64
    /// Of the hub's configurations; the highest wins where several are for one device.
    public var priority: Int64

    /// Longest plan file, bytes.
    public static let limit = 64 * 1024
    private static let format: Int64 = 1
    private static let ringLimit = 20
    /// The hub's configurations have these names for other things.
    private static let reserved = ["halt", "cancel", "resume"]

    public init(
        name: String, attempt: String, url: String, sources: [String] = [], manifest: Digest, release: String,
        version: String, target: String = "*", module: String? = nil, rings: [Ring], successPercent: Int64 = 95,
        failurePercent: Int64 = 5, soakSeconds: Int64 = 0, priority: Int64 = 10
    ) throws(RolloutError) {
        self.name = name
        self.attempt = attempt
        self.url = url
        self.sources = sources
        self.manifest = manifest
        self.release = release
        self.version = version
        self.target = target
        self.module = module
        self.rings = rings
        self.successPercent = successPercent
        self.failurePercent = failurePercent
        self.soakSeconds = soakSeconds
        self.priority = priority
        if let why = problem { throw .plan(why: why) }
    }

    /// What is wrong with it; nil when it is good.
    private var problem: String? {
        if !Self.isName(name) { return "name must be 1 to 32 of a-z, 0-9 and -" }
        // It stands in queries between quotes.
        let isPlain = attempt.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x27 && $0 != 0x22 && $0 != 0x5c }
        if attempt.isEmpty || attempt.utf8.count > 64 || !isPlain {
            return "attempt must be 1 to 64 printable characters without spaces, quotes and \\"
        }
        for url in [url] + sources where !url.hasPrefix("https://") && !url.hasPrefix("http://") {
            return "url must begin with https:// or http://"
        }
        if target.isEmpty || target.utf8.count > 1024 { return "target must be * or a condition of at most 1024 bytes" }
        if let module, !Self.isIdentityPart(module) { return "module is no name of a module" }
        if rings.isEmpty || rings.count > Self.ringLimit { return "there must be 1 to \(Self.ringLimit) rings" }
        var shares: Int64 = 0
        for (index, ring) in rings.enumerated() {
            if !Self.isName(ring.name) || Self.reserved.contains(ring.name) {
                return "ring \(ring.name): a name is 1 to 32 of a-z, 0-9 and -, and not halt, cancel or resume"
            }
            if rings[..<index].contains(where: { $0.name == ring.name }) { return "ring \(ring.name) is there twice" }
            switch ring.selection {
            case .share(let percent):
                if !(1...99).contains(percent) { return "ring \(ring.name): a share is 1% to 99%; the last is rest" }
                shares += percent
            case .condition(let text):
                if text.isEmpty || text.utf8.count > 1024 { return "ring \(ring.name): the condition has no text" }
            case .rest:
                if index != rings.count - 1 { return "ring \(ring.name): rest must be the last ring" }
            }
        }
        if shares > 100 { return "the shares of the rings are \(shares)% together" }
        if !(1...100).contains(successPercent) { return "success must be 1 to 100 percent" }
        if !(0...100).contains(failurePercent) { return "failures must be 0 to 100 percent" }
        if !(0...31_536_000).contains(soakSeconds) { return "soak must be 0 to a year of seconds" }
        if !(1...1_000_000).contains(priority) { return "priority must be 1 to 1000000" }
        return nil
    }

    private static func isName(_ text: String) -> Bool {
        (1...32).contains(text.utf8.count)
            && text.utf8.allSatisfy { (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d }
    }

    /// What IoT Hub allows in identities, without the quote, which would end a text in a query.
    private static func isIdentityPart(_ text: String) -> Bool {
        let signs = Array("-:.+%_#*?!(),=@;$".utf8)
        return (1...128).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                (0x61...0x7a).contains($0) || (0x41...0x5a).contains($0) || (0x30...0x39).contains($0)
                    || signs.contains($0)
            }
    }
}

// MARK: As a file

extension RolloutPlan {
    public var json: JSONValue {
        var members: [(String, JSONValue)] = [
            ("format", .integer(Self.format)), ("name", .string(name)), ("attempt", .string(attempt)),
            (
                "release",
                .members([
                    ("id", .string(release)), ("version", .string(version)), ("manifest", .string(manifest.hex)),
                ])
            ),
            ("url", .string(url)),
        ]
        if !sources.isEmpty { members.append(("sources", .array(sources.map { .string($0) }))) }
        members.append(("target", .string(target)))
        if let module { members.append(("module", .string(module))) }
        members += [
            ("rings", .array(rings.map { $0.json })), ("success", .integer(successPercent)),
            ("failures", .integer(failurePercent)), ("soak", .integer(soakSeconds)), ("priority", .integer(priority)),
        ]
        return .members(members)
    }

    /// Reads a plan; every member is known and checked.
    public init(_ bytes: [UInt8]) throws(RolloutError) {
        let decoded: RolloutPlan
        do throws(JSONError) {
            let value = try JSONValue.parse(bytes, limit: Self.limit)
            var reader = try JSONObjectReader(value, at: "")
            _ = try reader.integer("format", in: Self.format...Self.format)
            let name = try reader.string("name", limit: 32)
            let attempt = try reader.string("attempt", limit: 64)
            var release = try reader.object("release")
            let id = try release.string("id", limit: 256)
            let version = try release.string("version", limit: 256)
            guard let manifest = Digest(hex: try release.string("manifest", limit: 64)) else {
                throw JSONError(.outOfBounds, at: "release.manifest", "must be 64 hexadecimal digits")
            }
            try release.finish()
            let url = try reader.string("url", limit: 4096)
            var sources: [String] = []
            for value in try reader.optionalArray("sources", most: 8) {
                sources.append(try JSONObjectReader.string(value, at: "sources", limit: 4096))
            }
            let target = try reader.string("target", limit: 1024)
            let module = try reader.optionalString("module", limit: 128)
            var rings: [Ring] = []
            for value in try reader.array("rings", count: 1...Self.ringLimit) { rings.append(try Ring(value)) }
            let (success, failures) = (
                try reader.integer("success", in: 1...100), try reader.integer("failures", in: 0...100)
            )
            let soak = try reader.integer("soak", in: 0...31_536_000)
            let priority = try reader.integer("priority", in: 1...1_000_000)
            try reader.finish()
            do throws(RolloutError) {
                decoded = try RolloutPlan(
                    name: name, attempt: attempt, url: url, sources: sources, manifest: manifest, release: id,
                    version: version, target: target, module: module, rings: rings, successPercent: success,
                    failurePercent: failures, soakSeconds: soak, priority: priority)
            } catch { throw JSONError(.outOfBounds, at: "plan", error.context) }
        } catch { throw .plan(why: error.context) }
        self = decoded
    }

    /// Names what was planned: 16 bytes of SHA-256 of the plan, hexadecimal.
    var fingerprint: String { String(SHA256.digest(of: json.bytes).hex.prefix(32)) }
}

extension RolloutPlan.Ring {
    var json: JSONValue {
        let selection: (String, JSONValue) =
            switch selection {
            case .share(let percent): ("share", .integer(percent))
            case .condition(let text): ("condition", .string(text))
            case .rest: ("rest", .bool(true))
            }
        return .members([("name", .string(name)), selection])
    }

    init(_ value: JSONValue) throws(JSONError) {
        var reader = try JSONObjectReader(value, at: "rings")
        name = try reader.string("name", limit: 32)
        let share = try reader.optionalInteger("share", in: 1...99)
        let condition = try reader.optionalString("condition", limit: 1024)
        let isRest = try reader.optionalBool("rest") ?? false
        try reader.finish()
        switch (share, condition, isRest) {
        case (let share?, nil, false): selection = .share(share)
        case (nil, let condition?, false): selection = .condition(condition)
        case (nil, nil, true): selection = .rest
        default: throw JSONError(.outOfBounds, at: "rings.\(name)", "needs one of share, condition and rest")
        }
    }

    /// `name=5%`, `name=rest` or `name=CONDITION`.
    public init(argument: String) throws(RolloutError) {
        let halves = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard halves.count == 2, !halves[1].isEmpty else {
            throw .plan(why: "ring '\(argument)' must be NAME=5%, NAME=rest or NAME=CONDITION")
        }
        name = String(halves[0])
        if halves[1] == "rest" {
            selection = .rest
        } else if halves[1].hasSuffix("%"), let percent = Int64(halves[1].dropLast()) {
            selection = .share(percent)
        } else {
            selection = .condition(String(halves[1]))
        }
    }
}
