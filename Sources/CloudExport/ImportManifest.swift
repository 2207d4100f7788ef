public import BundleFormat
internal import Packaging
internal import Platform
public import StrictJSON

/// An import manifest of Azure Device Update, version 5, for one bundle: its file, its hash, and the step whose handler
/// on the device gives it to Kedge.
public struct ImportManifest: Equatable, Sendable {
    /// The handler's name; `kedged` answers to it.
    public static let handler = "kedge/bundle:1"
    /// Largest file that the service takes, bytes.
    static let largestFile: UInt64 = 2_147_483_648

    public var provider: String
    public var name: String
    /// Two to four numbers with dots between.
    public var version: String
    public var description: String?
    /// What a device must report to get it, by property name.
    public var compatibility: [(name: String, value: String)]
    public var fileName: String
    public var size: UInt64
    public var hash: Digest
    /// The digest of the bundle's manifest: what makes the device say that it has it.
    public var manifest: Digest
    /// Seconds since 1970.
    public var created: Int64

    public static func == (a: ImportManifest, b: ImportManifest) -> Bool { a.json == b.json }

    /// What is given instead of what the bundle says.
    public struct Choice: Sendable {
        public var provider: String?
        public var name: String?
        public var version: String?
        public var description: String?
        public var compatibility: [(name: String, value: String)] = []

        public init() {}
    }

    /// For the bundle at `path`. It is read whole for its hash; signatures are not checked.
    public init(bundle path: String, _ choice: Choice) throws {
        let report = try BundleReport(inspecting: path)
        let found = report.manifest
        provider = choice.provider ?? Self.plain(found.product.vendor)
        name = choice.name ?? Self.plain(found.product.deviceClass)
        version = choice.version ?? found.version
        description = choice.description ?? "\(found.releaseID), sequence \(found.sequence)"
        compatibility =
            choice.compatibility.isEmpty
            ? [("manufacturer", found.product.vendor), ("model", found.product.deviceClass)] : choice.compatibility
        fileName = String(path.split(separator: "/").last ?? "")
        (size, hash) = try Self.digest(path)
        manifest = report.manifestDigest
        created = found.created
        try check()
    }

    /// Size and SHA-256 of the file, which is read in pieces.
    private static func digest(_ path: String) throws(ExportError) -> (UInt64, Digest) {
        let piece: UInt64 = 1 << 20
        var hash = SHA256()
        let size: UInt64
        do throws(SystemError) {
            let file = try Descriptor(open: path, [.read])
            size = try file.size()
            var offset: UInt64 = 0
            while offset < size, size <= largestFile {
                let bytes = try file.readBytes(at: offset, count: Int(min(piece, size - offset)))
                hash.update(bytes.rawBytes)
                offset += UInt64(bytes.count)
            }
        } catch { throw .file(path: path, why: error.context) }
        if size > largestFile { throw .tooLarge(path: path, size: size, limit: largestFile) }
        return (size, hash.finish())
    }

    /// Other characters than the service allows become `-`.
    private static func plain(_ text: String) -> String {
        String(decoding: text.utf8.map { isPlain($0) ? $0 : 0x2d }, as: UTF8.self)
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e: true
        default: false
        }
    }

    /// The service's own limits, so that nobody hears of them only after the upload.
    private func check() throws(ExportError) {
        for (what, text) in [("provider", provider), ("name", name)]
        where !(1...64).contains(text.utf8.count) || !text.utf8.allSatisfy({ Self.isPlain($0) }) {
            throw .value(what: what, why: "must be 1 to 64 of letters, digits, . and -")
        }
        let parts = version.split(separator: ".", omittingEmptySubsequences: false)
        let areNumbers = parts.allSatisfy { part in
            !part.isEmpty && part.utf8.allSatisfy { (0x30...0x39).contains($0) } && Int32(part) != nil
        }
        if !(2...4).contains(parts.count) || !areNumbers {
            throw .value(what: "version", why: "'\(version)' must be 2 to 4 numbers with dots between")
        }
        if let description, !(1...512).contains(description.utf8.count) {
            throw .value(what: "description", why: "must have 1 to 512 bytes")
        }
        if compatibility.count > 5 { throw .value(what: "compatibility", why: "has at most 5 properties") }
        for (index, entry) in compatibility.enumerated() {
            if !(1...32).contains(entry.name.utf8.count) || !(1...64).contains(entry.value.utf8.count) {
                throw .value(what: "compatibility", why: "a name has 1 to 32 bytes, a value 1 to 64")
            }
            if compatibility[..<index].contains(where: { $0.name == entry.name }) {
                throw .value(what: "compatibility", why: "\(entry.name) is there twice")
            }
        }
        if !(1...255).contains(fileName.utf8.count) {
            throw .value(what: "file name", why: "must have 1 to 255 bytes")
        }
    }

    public var json: JSONValue {
        var members: [(String, JSONValue)] = [
            ("$schema", .string("https://json.schemastore.org/azure-deviceupdate-import-manifest-5.0.json")),
            (
                "updateId",
                .members([
                    ("provider", .string(provider)), ("name", .string(name)), ("version", .string(version)),
                ])
            ),
        ]
        if let description { members.append(("description", .string(description))) }
        let step = JSONValue.members([
            ("handler", .string(Self.handler)), ("files", .array([.string(fileName)])),
            ("handlerProperties", .members([("installedCriteria", .string(manifest.hex))])),
        ])
        let file = JSONValue.members([
            ("filename", .string(fileName)), ("sizeInBytes", .integer(Int64(clamping: size))),
            ("hashes", .members([("sha256", .string(Base64.encode(hash.bytes)))])),
        ])
        members += [
            ("compatibility", .array([.members(compatibility.map { ($0.name, .string($0.value)) })])),
            ("instructions", .members([("steps", .array([step]))])), ("files", .array([file])),
            ("manifestVersion", .string("5.0")), ("createdDateTime", .string(CalendarTime.text(created))),
        ]
        return .members(members)
    }
}
