import Foundation
import Platform
import Testing

/// The command lines of the key ceremony page, run as they stand there.
@Suite("The key ceremony page, command by command")
struct KeyCeremonyTests {
    /// One command of the page, and how it ends.
    struct Command: Equatable {
        /// As a shell takes it, on one line.
        let line: String
        let status: Int32
        /// The code of the refusal, where it is one.
        let code: String?
    }

    private let page: CeremonyPage
    private let directory: CommandDirectory

    init() throws {
        page = try CeremonyPage()
        directory = try CommandDirectory()
        try FileSystem.replace(directory("recipe.toml"), with: Array(KedgeWorkspace.recipe.utf8))
        try FileSystem.replace(directory("rootfs.img"), with: [UInt8](repeating: 0x6b, count: 100_000))
    }

    /// Runs the commands of a section; programs of Kedge are started by `prefix`.
    private func run(_ section: String, startedBy prefix: [String] = []) throws {
        let commands = try page.commands(of: section)
        #expect(commands.count > 5, "\(section)")
        let kedge = try BuiltCommand("kedge", startedBy: prefix)
        // What a PATH is for a person: programs called kedge and kedged.
        try FileSystem.makeDirectories(directory("bin"))
        for program in ["kedge", "kedged"] {
            let path = FileSystem.parent(of: kedge.path) + "/" + program
            let words = (prefix + [path]).map { "'\($0)'" }.joined(separator: " ")
            try FileSystem.replace(
                directory("bin/\(program)"), with: Array("#!/bin/sh\nexec \(words) \"$@\"\n".utf8), mode: 0o755)
        }
        let environment = [
            "PATH": "\(directory("bin")):/usr/sbin:/usr/bin:/sbin:/bin", "KEDGE_PASSPHRASE": "a passphrase",
            "KEDGE_PIN": "1234", "SOFTHSM2_CONF": directory("softhsm.conf"),
        ]
        for command in commands {
            let outcome = try kedge.run(
                program: ["sh", "-c", command.line], in: directory.path, environment: environment)
            #expect(outcome.status == command.status, "\(command.line): \(outcome.errors)")
            if let code = command.code { #expect(outcome.errors.contains(": \(code): "), "\(outcome.errors)") }
        }
    }

    @Test("The first keys, a release, and what is done after a theft")
    func theft() throws {
        try run("The first keys, and a release")
        try run("After a theft")
    }

    @Test(
        "A hybrid",
        .enabled(if: NewerOpenSSL.prefix != nil, "needs OpenSSL 3.5 (tools/newer-openssl, KEDGE_NEWER_OPENSSL)"))
    func hybrid() throws { try run("A hybrid", startedBy: try #require(NewerOpenSSL.prefix)) }

    @Test(
        "A release key in a security module",
        .enabled(
            if: SoftToken.isUsable,
            "needs SoftHSM and OpenSSL's engine pkcs11 (apt: softhsm2 opensc libengine-pkcs11-openssl)"))
    func token() throws {
        try FileSystem.makeDirectories(directory("tokens"))
        let settings = "directories.tokendir = \(directory("tokens"))\nobjectstore.backend = file\n"
        try FileSystem.replace(directory("softhsm.conf"), with: Array(settings.utf8))
        try run("A release key in a security module")
    }

    @Test("Every command block of the page belongs to a section that is run here")
    func complete() throws {
        #expect(
            try page.sections() == [
                "The first keys, and a release", "After a theft", "A hybrid", "A release key in a security module",
            ])
    }
}

/// The page, read for its commands: blocks that start with three back quotes and `sh`.
private struct CeremonyPage {
    private let lines: [String]

    init() throws {
        let path = "\(SecondReader.repository)/Sources/Signing/Signing.docc/KeyCeremony.md"
        lines = String(decoding: try FileSystem.read(path, limit: 1 << 20), as: UTF8.self)
            .split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
    }

    /// The sections that have commands, in order.
    func sections() throws -> [String] {
        var out: [String] = []
        for (section, _) in blocks() where out.last != section { out.append(section) }
        return out
    }

    func commands(of section: String) throws -> [KeyCeremonyTests.Command] {
        try blocks().filter { $0.section == section }.flatMap { try Self.commands(in: $0.text) }
    }

    private func blocks() -> [(section: String, text: [String])] {
        var out: [(section: String, text: [String])] = []
        var section = ""
        var block: [String]?
        for line in lines {
            if line.hasPrefix("```") {
                if let text = block { out.append((section, text)) }
                block = block == nil && line == "```sh" ? [] : nil
            } else if block != nil {
                block?.append(line)
            } else if line.hasPrefix("## ") {
                section = String(line.dropFirst(3))
            }
        }
        return out
    }

    /// Lines that end with a backslash go on; `# exit N: code` at the end says what is expected.
    private static func commands(in block: [String]) throws -> [KeyCeremonyTests.Command] {
        var out: [KeyCeremonyTests.Command] = []
        var pending = ""
        for line in block {
            if line.hasSuffix("\\") {
                pending += line.dropLast() + " "
                continue
            }
            let parts = (pending + line).components(separatedBy: "  # exit ")
            pending = ""
            let words = parts.count > 1 ? parts[1].components(separatedBy: ": ") : []
            out.append(
                .init(
                    line: parts[0], status: try words.first.map { try #require(Int32($0)) } ?? 0,
                    code: words.count > 1 ? words[1] : nil))
        }
        return out
    }
}
