public import StrictJSON

extension Manifest {
    /// The document type and format number in every manifest.
    static let documentType = "kedge.manifest"
    static let format: Int64 = 1
    /// JSON integers that every reader keeps exactly (RFC 8259 section 6).
    private static let exactIntegers: ClosedRange<Int64> = 0...9_007_199_254_740_991
    private static let times: ClosedRange<Int64> = 0...253_402_300_799

    /// The document.
    public var json: JSONValue {
        var members: [(String, JSONValue)] = [
            ("type", .string(Self.documentType)),
            ("format", .integer(Self.format)),
            ("release", .members([("id", .string(releaseID)), ("version", .string(version))])),
            ("sequence", .integer(Int64(clamping: sequence))),
            ("securityVersion", .integer(Int64(securityVersion))),
            (
                "product",
                .members([
                    ("vendor", .string(product.vendor)), ("class", .string(product.deviceClass)),
                    (
                        "hardware",
                        .array([
                            .integer(Int64(product.hardware.lowerBound)), .integer(Int64(product.hardware.upperBound)),
                        ])
                    ),
                ])
            ),
            ("minimumUpdater", .string(minimumUpdater.description)),
            ("created", .integer(created)),
        ]
        if let notBefore { members.append(("notBefore", .integer(notBefore))) }
        if let expires { members.append(("expires", .integer(expires))) }
        members.append(("update", .string(update.rawValue)))
        if !advisories.isEmpty { members.append(("advisories", .array(advisories.map { .string($0) }))) }
        if let sbomDigest, let sbomFormat {
            members.append(
                ("sbom", .members([("sha256", .string(sbomDigest.hex)), ("format", .string(sbomFormat))])))
        }
        members.append(("components", .array(components.map { $0.json })))
        members.append(("reboot", .string(reboot.rawValue)))
        members.append(("health", .members([("deadline", .integer(Int64(healthDeadline)))])))
        members.append(
            (
                "layout",
                .members([
                    ("tables", .integer(Int64(tablesLength))), ("payload", .integer(Int64(clamping: payloadLength))),
                ])
            ))
        if !meta.isEmpty {
            members.append(("meta", .object(meta.map { JSONMember(name: $0.name, value: .string($0.value)) })))
        }
        return .members(members)
    }

    /// The bytes that are signed.
    public var bytes: [UInt8] { json.bytes }

    /// Decodes strictly. What comes back is not verified: devices use `Trust`.
    public static func decode(_ bytes: [UInt8]) throws(FormatError) -> Manifest {
        do throws(JSONError) {
            let document = try JSONValue.parse(bytes, limit: BundleLimits.manifest)
            return try decode(document)
        } catch {
            throw .manifest(error)
        }
    }

    private static func decode(_ document: JSONValue) throws(JSONError) -> Manifest {
        var top = try JSONObjectReader(document, at: "manifest")
        if try top.string("type", limit: 64) != documentType {
            throw JSONError(.outOfBounds, at: "manifest.type", "must be \(documentType)")
        }
        _ = try top.integer("format", in: format...format)
        var release = try top.object("release")
        let releaseID = try release.string("id", limit: 128)
        let version = try release.string("version", limit: 64)
        try release.finish()
        let sequence = UInt64(try top.integer("sequence", in: exactIntegers))
        let securityVersion = UInt32(try top.integer("securityVersion", in: 0...Int64(UInt32.max)))
        let product = try Product.decode(try top.object("product"))
        let updater = try top.string("minimumUpdater", limit: 32)
        guard let minimumUpdater = DottedVersion(updater) else {
            throw JSONError(.outOfBounds, at: "manifest.minimumUpdater", "must be a dotted version")
        }
        let created = try top.integer("created", in: times)
        let notBefore = try top.optionalInteger("notBefore", in: times)
        let expires = try top.optionalInteger("expires", in: times)
        let update = try enumeration(UpdateKind.self, try top.string("update", limit: 32), at: "manifest.update")
        var advisories: [String] = []
        for value in try top.optionalArray("advisories", most: 256) {
            advisories.append(try JSONObjectReader.string(value, at: "manifest.advisories", limit: 256))
        }
        var sbomDigest: Digest?
        var sbomFormat: String?
        if var sbom = try top.optionalObject("sbom") {
            sbomDigest = try sbom.digest("sha256")
            sbomFormat = try sbom.string("format", limit: 64)
            try sbom.finish()
        }
        let components = try Component.decodeAll(try top.array("components", count: 1...BundleLimits.components))
        let reboot = try enumeration(RebootPolicy.self, try top.string("reboot", limit: 32), at: "manifest.reboot")
        var health = try top.object("health")
        let deadline = UInt32(try health.integer("deadline", in: 1...86400))
        try health.finish()
        var layout = try top.object("layout")
        let tables = Int(try layout.integer("tables", in: 0...Int64(BundleLimits.tables)))
        let payload = UInt64(try layout.integer("payload", in: 0...Int64(BundleLimits.bundle)))
        try layout.finish()
        let meta = try decodeMeta(top.optional("meta"))
        try top.finish()
        let manifest = Manifest(
            releaseID: releaseID, version: version, sequence: sequence, securityVersion: securityVersion,
            product: product, minimumUpdater: minimumUpdater, created: created, notBefore: notBefore,
            expires: expires, update: update, advisories: advisories, sbomDigest: sbomDigest,
            sbomFormat: sbomFormat, components: components, reboot: reboot, healthDeadline: deadline,
            tablesLength: tables, payloadLength: payload, meta: meta)
        try manifest.checkTables()
        for component in components { try component.checkForms(payloadLength: payload) }
        return manifest
    }

    /// Chunk tables lie one behind the other and fill their part of the bundle: no gap and no overlap.
    private func checkTables() throws(JSONError) {
        var next = 0
        for component in components {
            if component.table.offset != next {
                throw JSONError(.outOfBounds, at: "manifest.components", "table of \(component.id) is misplaced")
            }
            next += component.table.length
        }
        if next != tablesLength {
            throw JSONError(.outOfBounds, at: "manifest.layout.tables", "does not match the components' tables")
        }
    }

    private static func decodeMeta(_ value: JSONValue?) throws(JSONError) -> [(name: String, value: String)] {
        guard let value else { return [] }
        guard case .object(let members) = value, members.count <= 64 else {
            throw JSONError(.wrongType, at: "manifest.meta", "must be an object of at most 64 texts")
        }
        var meta: [(name: String, value: String)] = []
        for member in members {
            // A name is shown to people too, so it has the rules of a text.
            let name = try JSONObjectReader.string(.string(member.name), at: "manifest.meta", limit: 64)
            let text = try JSONObjectReader.string(member.value, at: "manifest.meta.\(name)", limit: 1024)
            meta.append((name: name, value: text))
        }
        return meta
    }
}

/// A text that must be one of an enumeration's.
private func enumeration<E: RawRepresentable<String> & CaseIterable>(
    _ type: E.Type, _ text: String, at place: String
) throws(JSONError) -> E {
    if let value = E(rawValue: text) { return value }
    var known = ""
    for value in E.allCases { known += (known.isEmpty ? "" : ", ") + value.rawValue }
    throw JSONError(.outOfBounds, at: place, "is \"\(text)\", must be one of \(known)")
}

extension JSONObjectReader {
    /// A digest as 64 lower-case hexadecimal digits.
    public mutating func digest(_ name: String) throws(JSONError) -> Digest {
        guard let digest = Digest(hex: try string(name, limit: 64)) else {
            throw JSONError(.outOfBounds, at: path(name), "must be 64 lower-case hexadecimal digits")
        }
        return digest
    }

    /// The same, or nil when absent.
    public mutating func optionalDigest(_ name: String) throws(JSONError) -> Digest? {
        guard let text = try optionalString(name, limit: 64) else { return nil }
        guard let digest = Digest(hex: text) else {
            throw JSONError(.outOfBounds, at: path(name), "must be 64 lower-case hexadecimal digits")
        }
        return digest
    }

    /// An identifier.
    public mutating func identifier(_ name: String) throws(JSONError) -> Identifier {
        guard let identifier = Identifier(try string(name, limit: 32)) else {
            throw JSONError(.outOfBounds, at: path(name), "must be 1 to 32 of a-z, 0-9 and -")
        }
        return identifier
    }
}

extension Product {
    static func decode(_ reader: JSONObjectReader) throws(JSONError) -> Product {
        var reader = reader
        let vendor = try reader.string("vendor", limit: 128)
        let deviceClass = try reader.string("class", limit: 128)
        let range = try reader.array("hardware", count: 2...2)
        try reader.finish()
        guard let low = range[0].number, let high = range[1].number, low >= 0, low <= high,
            high <= Int64(UInt32.max)
        else {
            throw JSONError(.outOfBounds, at: reader.path("hardware"), "must be lowest and highest revision")
        }
        return Product(vendor: vendor, deviceClass: deviceClass, hardware: UInt32(low)...UInt32(high))
    }
}

extension Component {
    var json: JSONValue {
        var members: [(String, JSONValue)] = [
            ("id", .string(id.text)), ("kind", .string(kind.rawValue)), ("target", .string(target.text)),
        ]
        if let version { members.append(("version", .string(version))) }
        members.append(("size", .integer(Int64(clamping: size))))
        members.append(("sha256", .string(digest.hex)))
        members.append(("window", .integer(Int64(windowSize))))
        members.append(
            (
                "table",
                .members([
                    ("offset", .integer(Int64(table.offset))), ("length", .integer(Int64(table.length))),
                    ("sha256", .string(table.digest.hex)),
                ])
            ))
        if let verityRoot { members.append(("verity", .string(verityRoot.hex))) }
        members += formMembers
        return .members(members)
    }

    static func decodeAll(_ values: [JSONValue]) throws(JSONError) -> [Component] {
        var components: [Component] = []
        for (index, value) in values.enumerated() {
            let component = try decode(try JSONObjectReader(value, at: "manifest.components[\(index)]"))
            for other in components where other.id == component.id || other.target == component.target {
                throw JSONError(
                    .duplicate, at: "manifest.components[\(index)]", "the id or target is another component's")
            }
            components.append(component)
        }
        return components
    }

    private static func decode(_ reader: JSONObjectReader) throws(JSONError) -> Component {
        var reader = reader
        let id = try reader.identifier("id")
        let kind = try enumeration(ComponentKind.self, try reader.string("kind", limit: 32), at: reader.path("kind"))
        let target = try reader.identifier("target")
        let version = try reader.optionalString("version", limit: 64)
        let size = UInt64(try reader.integer("size", in: 1...Int64(BundleLimits.image)))
        let digest = try reader.digest("sha256")
        let window = Int(
            try reader.integer("window", in: Int64(BundleLimits.smallestWindow)...Int64(BundleLimits.window)))
        var table = try reader.object("table")
        let reference = TableReference(
            offset: Int(try table.integer("offset", in: 0...Int64(BundleLimits.tables))),
            length: Int(try table.integer("length", in: 1...Int64(BundleLimits.tables))),
            digest: try table.digest("sha256"))
        try table.finish()
        let verity = try reader.optionalDigest("verity")
        let deltas = try decodeDeltas(&reader)
        var solid: SolidForm?
        if let form = try reader.optionalObject("solid") { solid = try SolidForm.decode(form) }
        var blocks: BlocksForm?
        if let form = try reader.optionalObject("blocks") { blocks = try BlocksForm.decode(form) }
        try reader.finish()
        return Component(
            id: id, kind: kind, target: target, version: version, size: size, digest: digest, windowSize: window,
            table: reference, verityRoot: verity, deltas: deltas, solid: solid, blocks: blocks)
    }
}
