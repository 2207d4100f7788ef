import BootControl
import BundleFormat
import Foundation
import Platform
import Signing
import Testing
import Trust

@testable import UpdateEngine

/// Does something once when the attempt reaches a phase.
private final class Moment: EngineObserver, @unchecked Sendable {
    private let phase: Phase
    private let action: () -> Void
    private var done = false

    init(_ phase: Phase, _ action: @escaping () -> Void) {
        self.phase = phase
        self.action = action
    }

    func engineChanged(_ status: EngineStatus) {
        if status.phase != phase || done { return }
        done = true
        action()
    }
}

// MARK: - Ways in that are not the front door

extension AttackTests {
    @Test("rpm-ostree CVE-2017-2623: what the device kept of a bundle is verified again when it is used")
    func sidePath() throws {
        let attack = Attack("CVE-2017-2623", "rpm-ostree: unsigned content by a side path")
        let good = Forgery(image: image)
        let path = device.directory + "/good.kedge"
        try FileSystem.replace(path, with: try good.bundle(by: device.key))
        #expect(try installing(path) == "installed")
        // The same manifest without signatures, and one by a stranger: both are in the data directory, not in a bundle.
        let stranger = try SigningKey.generate()
        for signatures in [[], [try good.signature(by: stranger)]] {
            device.state.heads[.b] = try good.head(signatures)
            try device.powerOn()
            let failure = #expect(throws: Failure.self) { try device.engine().recover() }
            #expect(failure?.code == "health.wrong-image")
            #expect(try device.boot.load().phase == .fellBack)
            device.boot.records = [BootRecord()]
            device.running = .a
            #expect(try installing(path) == "installed")
        }
        try attack.record("refused health.wrong-image")
    }

    @Test("RAUC casync: the index is covered too, when an attempt goes on after a break")
    func indexSwapped() throws {
        let attack = Attack("RAUC casync", "index checked, another one used later")
        try resizeSlots(6 << 20)
        let path = try device.bundle("r", images: [("rootfs", TestDevice.image(seed: 7, megabytes: 4))])
        device.breakAfter = 1_500_000
        #expect(try installing(path) != "installed")
        device.breakAfter = nil
        let bytes = try FileSystem.read(path, limit: 1 << 26)
        let header = try BundleHeader.decode(bytes.rawBytes)
        for place in [header.tablesOffset, header.tablesOffset + 40, Int(header.payloadOffset) - 1] {
            var changed = bytes
            changed[place] ^= 1
            try FileSystem.replace(path, with: changed)
            #expect(try installing(path) == "bundle.damaged", "byte \(place)")
            #expect(try device.boot.load().active == .a)
        }
        try attack.record("refused bundle.damaged")
    }

    @Test("Notepad++ CVE-2025-15556: a package is not trusted for the place it came from")
    func place() throws {
        let attack = Attack("CVE-2025-15556", "Notepad++: updates installed without verification")
        try FileManager.default.createDirectory(
            atPath: device.directory + "/releases", withIntermediateDirectories: true)
        let trusted = device.directory + "/releases/acme-edge-1.kedge"
        let stranger = try SigningKey.generate()
        for (signatures, code) in [
            ([], "trust.unsigned"), ([try Forgery(image: image).signature(by: stranger)], "trust.unknown-key"),
        ] {
            try FileSystem.replace(trusted, with: try Forgery(image: image).bundle(signatures))
            #expect(try installing(trusted) == code)
        }
        try attack.record("refused trust.unsigned, trust.unknown-key")
    }

    @Test(
        "Notepad++ CVE-2026-85995, Sparkle 2551: another good bundle in the place of the checked one is not mixed with it"
    )
    func renamedOver() throws {
        try resizeSlots(6 << 20)
        let content = TestDevice.image(seed: 7, megabytes: 4)
        let path = try device.bundle("r", sequence: 2, images: [("rootfs", content)])
        let other = try device.bundle("o", sequence: 1, images: [("rootfs", TestDevice.image(seed: 8, megabytes: 4))])
        let swap = Moment(.fetching) {
            do { try FileSystem.rename(other, to: path) } catch { Issue.record(error) }
        }
        // The file that was opened is the one that is read, so the checked release goes in, whole.
        #expect(try installing(path, observer: swap) == "installed")
        #expect(Array(try device.contents("rootfs", .b).prefix(content.count)) == content)
        for (id, title) in [
            ("CVE-2026-85995", "Notepad++: package swapped after its check"),
            ("Sparkle 2551", "Sparkle: archive swapped after its check"),
        ] { try Attack(id, title).record("the checked release, exact image") }
    }

    @Test("electron-updater CVE-2024-39698: names reach no shell")
    func shell() throws {
        let attack = Attack("CVE-2024-39698", "electron-updater: name in a command line")
        let mark = "\(device.directory)/pwned"
        for name in [
            "$(touch pwned)", "`touch pwned`", "; touch pwned;", "a\" && touch pwned \"", "-o pwned", "|touch pwned",
        ] {
            var forgery = Forgery(image: image)
            forgery.release = name.replacingOccurrences(of: "\"", with: "\\\"")
            let path = "\(device.directory)/\(name).kedge"
            try FileSystem.replace(path, with: try forgery.bundle(by: device.key))
            #expect(try installing(path) == "installed", "\(name)")
            try device.powerOn()
            try device.engine().recover()
            #expect(try device.boot.load().phase == .confirmed)
            #expect(!FileManager.default.fileExists(atPath: mark) && !FileManager.default.fileExists(atPath: "pwned"))
            device.boot.records = [BootRecord()]
            device.running = .a
        }
        try attack.record("installed as a name, nothing was run")
    }
}
