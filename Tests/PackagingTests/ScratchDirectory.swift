import Foundation
import Platform

/// A fresh directory that goes away with its owner.
final class ScratchDirectory {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/kedge-packaging-\(UUID().uuidString)"
        try FileSystem.makeDirectories(path)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

    @discardableResult
    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        try FileSystem.replace(self(name), with: bytes)
        return self(name)
    }

    @discardableResult
    func write(_ name: String, _ text: String) throws -> String { try write(name, Array(text.utf8)) }

    var names: [String] { get throws { try FileSystem.list(path) } }
}

/// Bytes from a fixed sequence (splitmix64), so that every run sees the same ones.
struct FixedBytes {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    private mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// Bytes that no compressor makes smaller.
    mutating func noise(_ count: Int) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(count + 8)
        while out.count < count {
            var word = next()
            for _ in 0..<8 {
                out.append(UInt8(truncatingIfNeeded: word))
                word >>= 8
            }
        }
        return Array(out.prefix(count))
    }

    /// Bytes that compress to about a third.
    mutating func text(_ count: Int) -> [UInt8] {
        let words = ["anchor ", "kedge ", "window ", "slot ", "gateway ", "release\n", "0x", "trial "]
        var out: [UInt8] = []
        out.reserveCapacity(count + 8)
        while out.count < count {
            let word = next()
            out.append(contentsOf: words[Int(word % 8)].utf8)
            if word >> 60 == 0 { out.append(UInt8(truncatingIfNeeded: word >> 32)) }
        }
        return Array(out.prefix(count))
    }
}

let mebibyte = 1 << 20

/// A recipe with one rootfs component at `image`, and what else the test adds.
func recipeText(
    image: String = "rootfs.img", release: String = "", component: String = "", more: String = ""
) -> String {
    """
    [release]
    id = "acme-edge-2.1.0"
    version = "2.1.0"
    sequence = 12
    security-version = 3
    update = "security"
    \(release)
    [product]
    vendor = "acme"
    class = "edge-gateway"
    hardware = [1, 3]
    [[component]]
    id = "rootfs"
    kind = "rootfs"
    path = "\(image)"
    \(component)
    \(more)

    """
}
