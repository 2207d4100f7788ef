import BundleFormat
import Foundation
import Platform
import StrictJSON
import Testing

/// `tools/verify-bundle.py` was written from the format's page and shares no code with Kedge: where it and
/// `kedge verify` disagree, the page, the reader or Kedge is wrong.
@Suite(
    "Two readers of one format",
    .enabled(if: SecondReader.isUsable, "needs python3 with cryptography (apt: python3-cryptography)"))
struct SecondReaderTests {
    private let work: KedgeWorkspace

    init() throws { work = try KedgeWorkspace(imageBytes: 200_000) }

    /// The exit status that both readers gave; records an issue when they differ.
    private func verdict(_ bundle: String, root: String = "keys/root.json", _ what: String) throws -> Int32 {
        let first = try work.run(["verify", bundle, "--root", root])
        let second = try SecondReader.run([bundle, "--root", root], in: work.directory.path)
        #expect(first.status == second.status, "\(what): \(first.errors) and \(second.errors)")
        return first.status
    }

    @Test("Both accept the whole golden bundle and refuse the one whose last window is no frame")
    func golden() throws {
        let root = SecondReader.fixture("trust/root.json")
        #expect(try verdict(SecondReader.fixture("bundle/release.kedge"), root: root, "release") == 0)
        #expect(try verdict(SecondReader.fixture("bundle/bundle.kedge"), root: root, "bundle") == 4)
    }

    @Test("Both accept what kedge builds, and refuse it unsigned or under another root")
    func built() throws {
        try work.build()
        #expect(try verdict("out.kedge", "built") == 0)
        #expect(try verdict("out.kedge", root: SecondReader.fixture("trust/root.json"), "another root") == 4)
        try work.build([])
        #expect(try verdict("out.kedge", "unsigned") == 4)
    }

    @Test("Both accept a bundle that an ECDSA key signed, and refuse the other s of the same signature")
    func ecdsa() throws {
        #expect(try work.run(["keys", "new", "p256", "--algorithm", "ecdsa-p256"]).status == 0)
        try work.build(["--key", "p256/release.key"])
        #expect(try verdict("out.kedge", root: "p256/root.json", "ECDSA") == 0)
        #expect(try verdict("out.kedge", "another root") == 4)
        var bytes = try work.directory.bytes("out.kedge")
        let header = try BundleHeader.decode(bytes.rawBytes)
        // Count, the fields before the signature, and r.
        let place = header.envelopeOffset + 2 + 36 + 32
        let order = try #require(Hex.decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"))
        var borrow = 0
        for index in (0..<32).reversed() {
            let difference = Int(order[index]) - Int(bytes[place + index]) - borrow
            borrow = difference < 0 ? 1 : 0
            bytes[place + index] = UInt8(difference & 0xff)
        }
        try FileSystem.replace(work.directory("high.kedge"), with: bytes)
        #expect(try verdict("high.kedge", root: "p256/root.json", "high s") == 4)
    }

    @Test(
        "Both refuse damage in every section of a bundle",
        arguments: ["header", "signatures", "manifest", "tables", "payload", "end"])
    func damaged(section: String) throws {
        try work.build()
        let bytes = try work.directory.bytes("out.kedge")
        let header = try BundleHeader.decode(bytes.rawBytes)
        let range =
            switch section {
            case "header": 0..<header.envelopeOffset
            case "signatures": header.envelopeOffset..<header.manifestOffset
            case "manifest": header.manifestOffset..<header.tablesOffset
            case "tables": header.tablesOffset..<Int(header.payloadOffset)
            case "payload": Int(header.payloadOffset)..<Int(header.endOffset)
            default: Int(header.endOffset)..<bytes.count
            }
        for step in 0..<5 {
            let place = range.lowerBound + (range.count - 1) * step / 4
            var changed = bytes
            changed[place] ^= 1 << UInt8(step)
            try FileSystem.replace(work.directory("damaged.kedge"), with: changed)
            #expect(try verdict("damaged.kedge", "byte \(place)") == 4, "byte \(place)")
        }
    }

    @Test("Both refuse a bundle that is cut off or has a byte too many", arguments: [-4096, -16, -1, 1])
    func length(change: Int) throws {
        try work.build()
        let bytes = try work.directory.bytes("out.kedge")
        let changed = change < 0 ? Array(bytes.dropLast(-change)) : bytes + [UInt8](repeating: 0, count: change)
        try FileSystem.replace(work.directory("changed.kedge"), with: changed)
        #expect(try verdict("changed.kedge", "\(change) bytes") == 4)
    }

    @Test(
        "Both read a root file alike",
        arguments: [
            ("as it is", "", "", 0), ("an extension", "{\"payloadType\"", "{\"x-note\":[1.5],\"payloadType\"", 0),
            ("an unknown member", "{\"payloadType\"", "{\"note\":1,\"payloadType\"", 4),
            ("a name twice", "{\"payloadType\"", "{\"x-a\":1,\"x-a\":1,\"payloadType\"", 4),
            ("a lone surrogate", "{\"payloadType\"", "{\"x-a\":\"\\ud800\",\"payloadType\"", 4),
            ("an integer past 63 bits", "{\"payloadType\"", "{\"x-a\":9223372036854775808,\"payloadType\"", 4),
            ("an integer of 63 bits", "{\"payloadType\"", "{\"x-a\":9223372036854775807,\"payloadType\"", 0),
            ("not a number", "{\"payloadType\"", "{\"x-a\":NaN,\"payloadType\"", 4),
            ("another type", "root.v1", "root.v2", 4),
            ("a changed document", "\"payload\":\"ey", "\"payload\":\"ez", 4),
            ("unpadded Base64", "=\"", "\"", 4),
        ])
    func rootFile(what: String, old: String, new: String, status: Int32) throws {
        let text = String(
            decoding: try FileSystem.read(SecondReader.fixture("trust/root.json"), limit: 65536), as: UTF8.self)
        let changed = old.isEmpty ? text : text.replacingOccurrences(of: old, with: new)
        #expect(old.isEmpty || changed != text)
        try FileSystem.replace(work.directory("root.json"), with: Array(changed.utf8))
        #expect(try verdict(SecondReader.fixture("bundle/release.kedge"), root: "root.json", what) == status)
    }
}

/// The second reader, run with the system's Python.
enum SecondReader {
    static let repository = FileSystem.parent(of: FileSystem.parent(of: FileSystem.parent(of: #filePath)))

    static var isUsable: Bool {
        guard
            let python = try? BuiltCommand("kedge").run(
                program: ["python3", "-c", "import cryptography"], in: repository)
        else { return false }
        return python.status == 0
    }

    static func fixture(_ name: String) -> String { "\(repository)/Fixtures/\(name)" }

    static func run(
        _ arguments: [String], in directory: String, environment: [String: String] = [:]
    ) throws -> BuiltCommand.Outcome {
        try BuiltCommand("kedge").run(
            program: ["python3", "\(repository)/tools/verify-bundle.py"] + arguments, in: directory,
            environment: environment)
    }
}
