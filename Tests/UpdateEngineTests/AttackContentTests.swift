import BootControl
import BundleFormat
import Foundation
import Platform
import Signing
import Testing
import Trust

@testable import UpdateEngine

/// Overwrites a file when the attempt reaches a phase: the attacker between check and use.
private final class Swapper: EngineObserver, @unchecked Sendable {
    let phase: Phase
    let swap: () -> Void
    private var done = false
    init(at phase: Phase, _ swap: @escaping () -> Void) {
        self.phase = phase
        self.swap = swap
    }
    func engineChanged(_ status: EngineStatus) {
        if status.phase != phase || done { return }
        done = true
        swap()
    }
}

private func overwrite(_ path: String, at offset: UInt64, _ bytes: [UInt8]) {
    do { try Descriptor(open: path, [.read, .write]).write(bytes.rawBytes, at: offset) } catch { Issue.record(error) }
}

// MARK: - What is covered

extension AttackTests {
    @Test("Mender CVE-2025-67903: no digest, an empty one and a wrong form of one are not \"nothing to check\"")
    func emptyDigest() throws {
        let attack = Attack("CVE-2025-67903", "Mender: empty digest")
        let hex = SHA256.digest(of: image).hex
        let forms = ["\"\"", "null", "0", "\"\(hex.uppercased())\"", "\"\(hex.dropLast(2))\""]
        for new in forms.map({ "\"sha256\":\($0)" }) + ["\"x-sha256\":\"\(hex)\""] {
            var forgery = Forgery(image: image)
            forgery.edits = [("\"sha256\":\"\(hex)\"", new)]
            try expect(attack, forgery, "bundle.manifest", new)
        }
        try attack.record("refused bundle.manifest")
    }

    @Test("A7: what no manifest lists, and what it lists twice, has no way in")
    func unlisted() throws {
        let attack = Attack("A7", "unlisted or repeated component")
        let forgery = Forgery(image: image)
        let table = "\"tables\":\(forgery.table.count)"
        var extra = forgery
        extra.edits = [(table, "\"tables\":\(forgery.table.count + 33)")]
        let signatures = [try extra.signature(by: device.key)]
        let header = try BundleHeader(
            envelopeLength: try SignatureSection(signatures).encode().count, manifestLength: extra.manifest.count,
            tablesLength: forgery.table.count + 33, payloadLength: forgery.payloadLength)
        var bundle = header.encode() + (try SignatureSection(signatures).encode()) + extra.manifest
        bundle += forgery.table + [UInt8](repeating: 0, count: 33) + forgery.payload + header.encodeEnd()
        #expect(try refusal(bundle, "a table that no component has") == "bundle.manifest")
        let text = String(decoding: forgery.manifest, as: UTF8.self)
        let start = try #require(text.range(of: "{\"id\":\"rootfs\""))
        let end = try #require(text.range(of: "}}],\"reboot\""))
        let component = String(text[start.lowerBound..<end.lowerBound]) + "}}"
        var twice = forgery
        twice.edits = [(component, component + "," + component)]
        try expect(attack, twice, "bundle.manifest", "the component twice")
        var script = forgery
        script.edits = [("\"reboot\"", "\"preinstall\":\"sh\",\"reboot\"")]
        try expect(attack, script, "bundle.manifest", "an unknown member")
        try attack.record("refused bundle.manifest")
    }

    @Test(
        "SWUpdate CVE-2023-7216: a component is never a path",
        arguments: ["../x", "..", "/etc", "a/b", "", "a\\u0000b", "\u{e9}", "Rootfs", "a b", "$(id)"])
    func path(name: String) throws {
        var forgery = Forgery(image: image)
        forgery.edits = [("\"target\":\"rootfs\"", "\"target\":\"\(name)\"")]
        try expect(Attack("CVE-2023-7216", ""), forgery, "bundle.manifest", name)
        if name == ".." {
            try Attack("CVE-2023-7216", "SWUpdate: names that are paths").record("refused bundle.manifest")
        }
    }

    @Test("Android recovery 31914369: nothing hides between, inside or behind the signed parts")
    func trailing() throws {
        let attack = Attack("Android 31914369", "bytes behind the signed part")
        let forgery = Forgery(image: image)
        let good = try forgery.bundle(by: device.key)
        #expect(try refusal(good + [0]) == "bundle.trailing")
        #expect(try refusal(Array(good.dropLast())) == "bundle.truncated")
        // One byte more in the signature section, with a header that tells so.
        let section = try SignatureSection([forgery.signature(by: device.key)]).encode() + [0]
        let header = try BundleHeader(
            envelopeLength: section.count, manifestLength: forgery.manifest.count,
            tablesLength: forgery.table.count, payloadLength: forgery.payloadLength)
        let longer = header.encode() + section + forgery.manifest + forgery.table + forgery.payload + header.encodeEnd()
        #expect(try refusal(longer) == "bundle.malformed")
        try attack.record("refused bundle.trailing, bundle.truncated, bundle.malformed")
    }

    @Test("U-Boot CVE-2026-46728: the list of what is checked is itself checked")
    func listOfDigests() throws {
        let attack = Attack("CVE-2026-46728", "U-Boot: list of digests outside the signature")
        let forgery = Forgery(image: image)
        let good = try forgery.bundle(by: device.key)
        let start = try BundleHeader.decode(good.rawBytes).tablesOffset
        for place in forgery.table.indices {
            var changed = good
            changed[start + place] ^= 0x80
            #expect(try refusal(changed, "byte \(place)") == "bundle.damaged")
        }
        try attack.record("refused bundle.damaged")
    }
}

// MARK: - Check and use

extension AttackTests {
    @Test("RAUC CVE-2020-25860: a bundle that is swapped after its check is not installed")
    func swappedBundle() throws {
        let attack = Attack("CVE-2020-25860", "RAUC: bundle swapped between check and use")
        try resizeSlots(6 << 20)
        let path = try device.bundle("r", images: [("rootfs", TestDevice.image(seed: 7, megabytes: 4))])
        let size = try Descriptor(open: path, [.read]).size()
        let swapper = Swapper(at: .fetching) { overwrite(path, at: size / 2, noise(Int(size / 2))) }
        #expect(try installing(path, observer: swapper) == "payload.damaged")
        #expect(try device.boot.load().active == .a)
        try attack.record("refused payload.damaged")
    }

    @Test("THREAT.IMG.REPLACE: an image that changes on the medium before it is armed is not armed")
    func swappedSlot() throws {
        let attack = Attack("THREAT.IMG.REPLACE", "image changed in the slot after writing (RFC 9124)")
        try resizeSlots(6 << 20)
        let path = try device.bundle("r", images: [("rootfs", TestDevice.image(seed: 7, megabytes: 2))])
        let slot = device.slotPath("rootfs", .b)
        let swapper = Swapper(at: .written) { overwrite(slot, at: 4096, [1, 2, 3]) }
        #expect(try installing(path, observer: swapper) == "slot.read-back")
        #expect(try device.boot.load().active == .a)
        try attack.record("refused slot.read-back")
    }

    @Test("Windows CVE-2024-43491: what is reported is what runs, not what was installed")
    func reportedVersion() throws {
        let attack = Attack("CVE-2024-43491", "Windows: reported as patched while old code ran")
        try resizeSlots(6 << 20)
        let path = try device.bundle("r", images: [("rootfs", TestDevice.image(seed: 7, megabytes: 2))])
        #expect(try installing(path) == "installed")
        overwrite(device.slotPath("rootfs", .b), at: 1 << 20, [1, 2, 3])
        try device.powerOn()
        do {
            try device.engine().recover()
            Issue.record("an image that nobody signed was confirmed")
        } catch { #expect(error.code == "health.wrong-image") }
        #expect(try device.boot.load().active == .a)
        try attack.record("refused health.wrong-image")
    }

    @Test("sigstore-ruby CVE-2026-31830: a good signature does not excuse other content")
    func otherContent() throws {
        let attack = Attack("CVE-2026-31830", "sigstore-ruby: signature right, content another")
        let forgery = Forgery(image: image)
        let signatures = [try forgery.signature(by: device.key)]
        let end = try forgery.header(signatures).encodeEnd()
        let other = try forgery.head(signatures) + noise(image.count, seed: 3) + end
        #expect(try refusal(other) == "payload.damaged")
        try attack.record("refused payload.damaged")
    }

    @Test("desync 37: what a former attempt left in the slot is believed only after hashing it")
    func staleContent() throws {
        let attack = Attack("desync 37", "wrong bytes in what was fetched before")
        try resizeSlots(6 << 20)
        let content = TestDevice.image(seed: 7, megabytes: 4)
        let path = try device.bundle("r", images: [("rootfs", content)])
        device.breakAfter = 1_500_000
        #expect(try installing(path) != "installed")
        overwrite(device.slotPath("rootfs", .b), at: 0, noise(8192))
        device.breakAfter = nil
        #expect(try installing(path) == "installed")
        #expect(Array(try device.contents("rootfs", .b).prefix(content.count)) == content)
        try attack.record("repaired, exact image")
    }

    @Test("A12: when the second component is missing, the first is not activated")
    func partial() throws {
        let attack = Attack("A12", "partial bundle")
        try resizeSlots(6 << 20)
        let path = try device.bundle(
            "r",
            images: [
                ("rootfs", TestDevice.image(seed: 7, megabytes: 2)), ("bios", TestDevice.image(seed: 9, megabytes: 1)),
            ])
        let size = Int(try Descriptor(open: path, [.read]).size())
        overwrite(path, at: UInt64(size - 4096), noise(2048))
        #expect(try installing(path) == "payload.damaged")
        #expect(try device.boot.load().active == .a)
        #expect(try device.boot.load().slotB.state == .writing)
        try attack.record("refused payload.damaged, nothing armed")
    }
}

// MARK: - Sizes

extension AttackTests {
    /// Where 32 bits, signed or not, end.
    static let edges: [UInt64] = [
        1 << 31 - 1, 1 << 31, 1 << 31 + 1, 1 << 32 - 1, 1 << 32, 1 << 32 + 1,
    ]

    @Test("RAUC CVE-2026-34155: no byte of a bundle over 2 and 4 GiB escapes its digest", arguments: edges)
    func large(edge: UInt64) throws {
        var forgery = Forgery(image: image)
        forgery.payloadStart = edge - 1
        forgery.payloadLength = edge - 1 + UInt64(image.count)
        for index in forgery.windows.indices { forgery.windows[index].offset += edge - 1 }
        let path = device.directory + "/large.kedge"
        try forgery.write(to: path, by: device.key)
        let start = try forgery.header([forgery.signature(by: device.key)]).payloadOffset
        let size = try Descriptor(open: path, [.read]).size()
        overwrite(path, at: start + edge, [image[1] ^ 1])
        #expect(try installing(path) == "payload.damaged")
        overwrite(path, at: start + edge, [image[1]])
        // Cut and mended in place: a copy would fill the holes.
        let end = try Descriptor(open: path, [.read]).readBytes(at: size - 1, count: 1)
        try Descriptor(open: path, [.read, .write]).truncate(to: size - 1)
        #expect(try installing(path) == "bundle.truncated")
        overwrite(path, at: size - 1, end)
        #expect(try installing(path) == "installed")
        #expect(Array(try device.contents("rootfs", .b).prefix(image.count)) == image)
        if edge == 1 << 32 + 1 {
            try Attack("CVE-2026-34155", "RAUC: bytes over 2 and 4 GiB unchecked")
                .record("refused payload.damaged, bundle.truncated")
        }
    }

    @Test("U-Boot May 2026: offsets near the ends of 32, 63 and 64 bits point nowhere")
    func offsets() throws {
        let attack = Attack("U-Boot 2026-05", "offsets that wrap")
        let near = Self.edges + [1 << 46, 1 << 46 + 1, 1 << 53, 1 << 63 - 1, 1 << 63, UInt64.max - 4095, UInt64.max]
        for offset in near {
            var forgery = Forgery(image: image)
            forgery.windows[1].offset = offset
            try expect(attack, forgery, "bundle.malformed", "\(offset)")
        }
        for length: UInt32 in [4095, 4097, 1 << 20 + 1, 1 << 31 - 1, 1 << 31, UInt32.max] {
            var forgery = Forgery(image: image)
            forgery.windows[1].length = length
            try expect(attack, forgery, "bundle.malformed", "length \(length)")
        }
        try attack.record("refused bundle.malformed")
    }

    @Test("A5: endless parts are refused by their claim alone, before anything is read or allocated")
    func endless() throws {
        let attack = Attack("A5", "endless data")
        let good = try Forgery(image: image).bundle(by: device.key)
        for (offset, width) in [(12, 4), (16, 4), (24, 8), (32, 8)] {
            for claim in Self.edges + [1 << 46 + 1, 1 << 53, 1 << 63 - 1, 1 << 63, UInt64.max] {
                if width == 4 && claim > UInt64(UInt32.max) { continue }
                var changed = good
                for index in 0..<width {
                    changed[offset + index] = UInt8(truncatingIfNeeded: claim >> UInt64(8 * index))
                }
                let code = try refusal(changed, "\(claim) at \(offset)")
                #expect(code == "bundle.too-large" || code == "bundle.malformed" && offset == 32, "\(claim) \(offset)")
            }
        }
        try attack.record("refused bundle.too-large")
    }

    @Test("Integer edges: numbers of a signed manifest past their bounds are refused, not cut")
    func numbers() throws {
        let attack = Attack("CVE-2026-28525", "SWUpdate: integers at their edges")
        let size = "\"size\":\(image.count)"
        for (old, new) in [
            ("\"sequence\":5", "\"sequence\":9007199254740992"), ("\"sequence\":5", "\"sequence\":9223372036854775807"),
            ("\"sequence\":5", "\"sequence\":9223372036854775808"), ("\"sequence\":5", "\"sequence\":-1"),
            ("\"sequence\":5", "\"sequence\":5.0"), ("\"sequence\":5", "\"sequence\":5e0"),
            ("\"sequence\":5", "\"sequence\":\"5\""), ("\"sequence\":5", "\"sequence\":4,\"sequence\":5"),
            ("\"securityVersion\":5", "\"securityVersion\":4294967296"), ("[1,3]", "[1,4294967296]"),
            ("[1,3]", "[3,1]"), (size, "\"size\":0"), (size, "\"size\":17592186044417"),
            (size, "\"size\":9223372036854775807"), (size, "\"size\":18446744073709551616"),
            ("\"window\":4096", "\"window\":2147483648"), ("\"window\":4096", "\"window\":4294971392"),
            ("\"offset\":0", "\"offset\":-1"), ("\"offset\":0", "\"offset\":2147483648"),
            ("\"deadline\":60", "\"deadline\":4294967356"), ("1650000000", "253402300800"),
        ] {
            var forgery = Forgery(image: image)
            forgery.edits = [(old, new)]
            try expect(attack, forgery, "bundle.manifest", new)
        }
        for near in Self.edges {
            var forgery = Forgery(image: image)
            forgery.edits = [(size, "\"size\":\(near)")]
            let code = try refusal(try forgery.bundle(by: device.key), "size \(near)")
            #expect(code == "slot.too-small" || code == "bundle.malformed", "\(near)")
        }
        try attack.record("refused bundle.manifest")
    }

    @Test("zstd: a frame that is a bomb, another frame, or more than one is not decoded")
    func bombs() throws {
        let attack = Attack("zstd", "decompression bomb and odd frames")
        let plain = [UInt8](repeating: 0x6b, count: 4096)
        let magic: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd]
        // RFC 8878: single segment, content size of 8 bytes; one last RLE block of 4096 times `k`.
        func frame(_ size: UInt64, _ run: Int = 4096) -> [UInt8] {
            var out = ByteWriter()
            out.array(magic + [0xe0])
            out.u64(size)
            for shift in [0, 8, 16] { out.u8(UInt8(truncatingIfNeeded: (run << 3 | 3) >> shift)) }
            out.u8(0x6b)
            return out.bytes
        }
        for size: UInt64 in [0, 4095, 4097, 1 << 20, 1 << 31, 1 << 32 + 4096, 1 << 63, .max] {
            try expect(attack, Forgery(frame: frame(size), of: plain), "payload.undecodable", "content size \(size)")
        }
        for run in [1, 4095, 4097, 131_072, 262_143] {
            try expect(attack, Forgery(frame: frame(4096, run), of: plain), "payload.undecodable", "run of \(run)")
        }
        let skippable: [UInt8] = [0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9]
        let good = frame(4096)
        let dictionary = magic + [0xe1, 7] + Array(good.dropFirst(5))
        for odd in [good + good, skippable + good, good + skippable, good + [0], Array(good.dropLast()), dictionary] {
            try expect(attack, Forgery(frame: odd, of: plain), "payload.undecodable", "\(odd.count) bytes")
        }
        let path = device.directory + "/frame.kedge"
        try FileSystem.replace(path, with: try Forgery(frame: good, of: plain).bundle(by: device.key))
        #expect(try installing(path) == "installed")
        try attack.record("refused payload.undecodable")
    }
}
