internal import ArgumentParser
internal import BundleFormat
internal import Packaging
internal import Platform
internal import Signing
internal import StrictJSON
internal import Trust

/// The release that a statement is about.
struct StatementReleaseOptions: ParsableArguments {
    @Option(help: "The release's bundle.", completion: .file(extensions: ["kedge"]))
    var bundle: String

    /// Its manifest and the manifest's digest. Who signs sees what for; devices check the bundle's own signatures.
    func load() throws -> UnverifiedHead {
        let file = try Descriptor(open: bundle, [.read])
        let start = try file.readBytes(at: 0, count: BundleHeader.byteCount)
        let header = try BundleHeader.decode(start.rawBytes)
        return try UnverifiedHead(inspecting: file.readBytes(at: 0, count: header.tablesOffset))
    }
}

/// What commands do with a statement file of either type.
enum StatementFile {
    static func read<Document: ReadableStatement>(_ path: String) throws -> StatementSignatures<Document> {
        try StatementSignatures(inspecting: FileSystem.read(path, limit: StatementLimits.file))
    }

    /// Writes a draft, signed by whoever is named.
    static func create<Document: ReadableStatement>(
        _ draft: StatementSignatures<Document>, at path: String, signing keys: SigningKeyOptions, replacing: Bool
    ) throws {
        if try !replacing && FileSystem.kind(of: path) != nil { throw SigningError.exists(path: path) }
        var file = draft
        for key in try keys.load() { try file.sign(with: key) }
        try FileSystem.replace(path, with: file.bytes)
        tell(file, path)
    }

    static func sign<Document: ReadableStatement>(
        _ type: Document.Type, _ path: String, with keys: SigningKeyOptions
    ) throws {
        var file: StatementSignatures<Document> = try read(path)
        for line in file.statement.lines { StandardStream.output.line(line) }
        for key in try keys.load() { try file.sign(with: key) }
        try FileSystem.replace(path, with: file.bytes)
        tell(file, path)
    }

    static func add<Document: ReadableStatement>(_ type: Document.Type, _ path: String, from copies: [String]) throws {
        var file: StatementSignatures<Document> = try read(path)
        for copy in copies { try file.add(read(copy), path: copy) }
        try FileSystem.replace(path, with: file.bytes)
        tell(file, path)
    }

    /// Prints it; with a trust root also whether devices accept its signatures, which throws when they do not.
    static func show<Document: ReadableStatement>(
        _ type: Document.Type, _ path: String, root: String?, json: Bool
    ) throws {
        let file: StatementSignatures<Document> = try read(path)
        if json {
            StandardStream.output.line(file.statement.json.prettyText)
        } else {
            for line in file.statement.lines { StandardStream.output.line(line) }
            tell(file, path)
        }
        guard let root else { return }
        let verified = try TrustStore.load(path: root).verify(type, file.bytes)
        if json { return }
        StandardStream.output.line("devices accept its signatures: \(verified.signers.count) counted")
    }

    private static func tell<Document: ReadableStatement>(_ file: StatementSignatures<Document>, _ path: String) {
        if file.signers.isEmpty { StandardStream.output.line("\(path)  nobody has signed it") }
        for id in file.signers { StandardStream.output.line("\(path)  signed by \(id.hex)") }
    }
}

/// A statement that people read before they sign it.
protocol ReadableStatement: Statement {
    /// One line for each fact that they sign.
    var lines: [String] { get }
}

extension ChannelStatement: ReadableStatement {
    var lines: [String] {
        [
            "channel   \(channel)", "newest    \(releaseID), sequence \(sequence)", "manifest  \(manifest.hex)",
            "created   \(CalendarTime.text(created))", "expires   \(CalendarTime.text(expires))",
        ]
    }
}

extension OverrideStatement: ReadableStatement {
    var lines: [String] {
        var lines = devices.map { "device    \($0.id), nonce \(Hex.encode($0.nonce))" }
        lines += ["manifest  \(manifest.hex)", "created   \(CalendarTime.text(created))"]
        if let expires { lines.append("expires   \(CalendarTime.text(expires))") }
        if let boots { lines.append("expires   after \(boots) boots") }
        if let reason { lines.append("reason    \(reason)") }
        return lines
    }
}
