internal import BundleFormat
internal import Platform

extension Recipe {
    /// Reads a recipe. Nothing in it is guessed: an unknown key, a wrong type or a value out of bounds is a
    /// `PackagingError` with the key's path, and every file that it names must be there.
    public init(contentsOf path: String) throws(PackagingError) {
        let bytes: [UInt8]
        do throws(SystemError) {
            bytes = try FileSystem.read(path, limit: Self.byteLimit)
        } catch {
            throw .recipeUnreadable(path: path, why: error.text)
        }
        try self.init(parsing: bytes, path: path)
    }

    /// Parses a recipe's bytes; `path` says what its relative paths are relative to.
    public init(parsing bytes: [UInt8], path: String) throws(PackagingError) {
        let document = try TOMLNode.parse(bytes, path: path)
        var top = try RecipeTable(document, path: path, place: "")
        let release = try ReleaseTable(try top.table("release"))
        let product = try Self.product(try top.table("product"))
        let images = try Self.images(try top.optionalArray("component", most: BundleLimits.components), path: path)
        var level = Self.defaultLevel
        if var compression = try top.optionalTable("compression") {
            level = try compression.optionalInteger("level", in: Self.levels) ?? Self.defaultLevel
            try compression.finish()
        }
        let meta = try Self.notes(try top.optionalTable("meta"))
        try top.finish()
        if images.isEmpty { throw .recipeMissing(path: path, key: "component") }
        self.init(
            path: path, releaseID: release.id, version: release.version, sequence: release.sequence,
            securityVersion: release.securityVersion, update: release.update, advisories: release.advisories,
            billOfMaterials: release.billOfMaterials, reboot: release.reboot,
            healthDeadline: release.healthDeadline, minimumUpdater: release.minimumUpdater,
            notBefore: release.notBefore, expires: release.expires, product: product, images: images, level: level,
            meta: meta)
    }

    private static func product(_ table: RecipeTable) throws(PackagingError) -> Product {
        var table = table
        let vendor = try table.string("vendor", limit: 128)
        let deviceClass = try table.string("class", limit: 128)
        let node = try table.required("hardware")
        guard case .array(let range) = node else { throw table.wrongType("hardware", "an array", node) }
        if range.count != 2 { throw table.badValue("hardware", "must be the lowest and the highest revision") }
        let low = try table.number(range[0], "hardware[0]", in: 0...Int(UInt32.max))
        let high = try table.number(range[1], "hardware[1]", in: 0...Int(UInt32.max))
        if low > high { throw table.badValue("hardware", "must be the lowest and the highest revision") }
        try table.finish()
        return Product(vendor: vendor, deviceClass: deviceClass, hardware: UInt32(low)...UInt32(high))
    }

    private static func images(_ nodes: [TOMLNode], path: String) throws(PackagingError) -> [Image] {
        var images: [Image] = []
        for (index, node) in nodes.enumerated() {
            var table = try RecipeTable(node, path: path, place: "component[\(index)]")
            let id = try identifier(try table.required("id"), "id", table)
            let kind = try table.choice("kind", ComponentKind.self)
            let file = try inputFile("path", &table)
            var target = id
            if let node = table.optional("target") { target = try identifier(node, "target", table) }
            let version = try table.optionalString("version", limit: 64)
            var verityRoot: Digest?
            if let text = try table.optionalString("verity-root", limit: 64) {
                verityRoot = Digest(hex: text)
                if verityRoot == nil {
                    throw table.badValue("verity-root", "must be 64 lower-case hexadecimal digits")
                }
            }
            let bases = try inputFiles("base", &table)
            let solid = try table.optionalBool("solid") ?? false
            let blocks = try table.optionalBool("blocks") ?? false
            try table.finish()
            for other in images {
                if other.id == id { throw .recipeDuplicate(path: path, key: table.name("id"), value: id.text) }
                if other.target == target {
                    throw .recipeDuplicate(path: path, key: table.name("target"), value: target.text)
                }
            }
            images.append(
                Image(
                    id: id, kind: kind, path: file, target: target, version: version, verityRoot: verityRoot,
                    bases: bases, solid: solid, blocks: blocks))
        }
        return images
    }

    private static func identifier(
        _ node: TOMLNode, _ key: String, _ table: RecipeTable
    ) throws(PackagingError) -> Identifier {
        guard case .string(let text) = node else { throw table.wrongType(key, "a string", node) }
        guard let identifier = Identifier(text) else {
            throw table.badValue(key, "is \"\(text)\", must be 1 to 32 of a-z, 0-9 and -")
        }
        return identifier
    }

    /// A file that must be there: a regular one or a block device.
    static func inputFile(_ key: String, _ table: inout RecipeTable) throws(PackagingError) -> String {
        try inputFile(try table.string(key, limit: 4096), key, table)
    }

    /// Files that must be there, in an array.
    private static func inputFiles(_ key: String, _ table: inout RecipeTable) throws(PackagingError) -> [String] {
        var files: [String] = []
        for (index, node) in try table.optionalArray(key, most: BundleLimits.deltas).enumerated() {
            let place = "\(key)[\(index)]"
            files.append(try inputFile(try table.text(node, place, limit: 4096), place, table))
        }
        return files
    }

    private static func inputFile(
        _ name: String, _ key: String, _ table: RecipeTable
    ) throws(PackagingError) -> String {
        let directory = FileSystem.parent(of: table.path)
        let file = name.utf8.first == 0x2f || directory == "." ? name : "\(directory)/\(name)"
        var why = "it is neither a file nor a block device"
        do throws(SystemError) {
            switch try FileSystem.kind(of: file) {
            case .file, .blockDevice: return file
            case nil: why = "there is no such file"
            case .directory: why = "it is a directory"
            default: break
            }
        } catch {
            why = error.text
        }
        throw .recipeFile(path: table.path, key: table.name(key), file: file, why: why)
    }

    private static func notes(_ table: RecipeTable?) throws(PackagingError) -> [Note] {
        guard var table else { return [] }
        var notes: [Note] = []
        for member in table.all() {
            if !(1...64).contains(member.key.utf8.count) {
                throw table.badValue("\"\(member.key)\"", "is not a name of 1 to 64 bytes")
            }
            for byte in member.key.utf8 where byte < 0x20 || byte == 0x7f {
                throw table.badValue("a name", "must not have control characters")
            }
            notes.append(Note(name: member.key, value: try table.text(member.value, member.key, limit: 1024)))
        }
        if notes.count > 64 {
            throw .recipeValue(path: table.path, key: table.place, why: "has more than 64 texts")
        }
        return notes
    }
}

/// The `[release]` table.
private struct ReleaseTable {
    let id: String
    let version: String
    let sequence: UInt64
    let securityVersion: UInt32
    let update: UpdateKind
    let advisories: [String]
    let billOfMaterials: Recipe.BillOfMaterials?
    let reboot: RebootPolicy
    let healthDeadline: UInt32
    let minimumUpdater: DottedVersion
    let notBefore: Int64?
    let expires: Int64?

    init(_ table: RecipeTable) throws(PackagingError) {
        var table = table
        id = try table.string("id", limit: 128)
        version = try table.string("version", limit: 64)
        // Integers that every JSON reader keeps exactly (RFC 8259 section 6).
        sequence = UInt64(try table.integer("sequence", in: 0...9_007_199_254_740_991))
        securityVersion = UInt32(try table.integer("security-version", in: 0...Int(UInt32.max)))
        update = try table.choice("update", UpdateKind.self)
        var advisories: [String] = []
        for (index, node) in try table.optionalArray("advisories", most: 256).enumerated() {
            advisories.append(try table.text(node, "advisories[\(index)]", limit: 256))
        }
        self.advisories = advisories
        if var sbom = try table.optionalTable("sbom") {
            let file = try Recipe.inputFile("path", &sbom)
            billOfMaterials = Recipe.BillOfMaterials(path: file, format: try sbom.string("format", limit: 64))
            try sbom.finish()
        } else {
            billOfMaterials = nil
        }
        reboot = try table.choice("reboot", RebootPolicy.self, default: .automatic)
        healthDeadline = UInt32(try table.optionalInteger("health-deadline", in: 1...86400) ?? 300)
        let updater = try table.optionalString("minimum-updater", limit: 32) ?? Recipe.firstUpdater
        guard let minimum = DottedVersion(updater) else {
            throw table.badValue("minimum-updater", "must be a dotted version, such as 0.1.0")
        }
        minimumUpdater = minimum
        notBefore = try table.optionalTime("not-before")
        expires = try table.optionalTime("expires")
        try table.finish()
        if let notBefore, let expires, notBefore >= expires {
            throw table.badValue("expires", "must be later than not-before")
        }
    }
}
