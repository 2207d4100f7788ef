import BundleFormat
import Platform
import Testing

@testable import Trust

/// Two places in memory; power goes after `bytesLeft` bytes were written.
private final class CutMedium: TrustMedium, @unchecked Sendable {
    var slots: [[UInt8]?] = [nil, nil]
    var bytesLeft = Int.max
    var forgets = false
    var unreadable: Int?

    func read(slot: Int) throws(SystemError) -> [UInt8]? {
        if slot == unreadable { throw SystemError(number: 5, operation: "read", subject: "trust.\(slot)") }
        return slots[slot]
    }

    func write(slot: Int, _ bytes: [UInt8]) throws(SystemError) -> [UInt8] {
        let count = min(bytesLeft, bytes.count)
        bytesLeft -= count
        var former = slots[slot] ?? []
        if forgets { return former }
        if former.count < count { former += [UInt8](repeating: 0, count: count - former.count) }
        former.replaceSubrange(0..<count, with: bytes[0..<count])
        slots[slot] = former
        if count < bytes.count { throw SystemError(number: 5, operation: "write", subject: "trust.\(slot)") }
        return Array(former.prefix(bytes.count))
    }
}

@Suite("The chain from the built-in root to the newest")
struct TrustChainTests {
    private let roots: [[UInt8]]
    private let medium = CutMedium()
    private let home: TrustHome

    init() throws {
        roots = try rotations(5)
        home = TrustHome(medium)
    }

    /// Walks and keeps the roots of these indices.
    private func keep(_ range: ClosedRange<Int>, anchor: Int = 0) throws {
        var chain = try home.load(anchor: roots[anchor])
        for index in range { try chain.extend(with: roots[index]) }
        try home.store(chain, anchor: roots[anchor])
    }

    private func version(anchor: Int = 0) throws -> UInt32 { try home.load(anchor: roots[anchor]).trust.root.version }

    @Test("Each root is taken in turn, and found again by the next start")
    func walk() throws {
        #expect(try version() == 1)
        try keep(1...3)
        let chain = try home.load(anchor: roots[0])
        #expect(chain.trust.root.version == 4 && chain.steps == 3 && chain.anchor.version == 1)
        #expect(chain.broken == nil)
    }

    @Test("A root that does not follow changes nothing")
    func refused() throws {
        var chain = try TrustChain(anchor: roots[0])
        #expect(trustError { try chain.extend(with: roots[2]) }?.category == .trust)
        #expect(chain.trust.root.version == 1 && chain.links.count == 1)
        try chain.extend(with: roots[1])
        #expect(trustError { try chain.extend(with: roots[1]) }?.category == .trust)
        #expect(chain.trust.root.version == 2)
    }

    @Test("A copy that was written up to any byte only, over the former one, is no copy")
    func torn() throws {
        var chain = try TrustChain(anchor: roots[0])
        var former: [UInt8] = []
        for root in roots[1...2] {
            try chain.extend(with: root)
            let bytes = try chain.encoded()
            for count in 0..<bytes.count {
                let torn = Array(bytes[..<count] + former.dropFirst(count))
                // With no byte written, the former one is still whole.
                #expect((TrustChain.decode(torn) == nil) == (count > 8 || former.isEmpty), "cut at \(count)")
            }
            former = bytes
        }
    }

    @Test("Power that goes during a write, at either copy, leaves the former or the new root, and the next write works")
    func cut() throws {
        try keep(1...1)
        let before = medium.slots
        let length = try home.load(anchor: roots[0]).encodedWith(roots[2]).count
        for bytes in [0, 1, 8, 9, 12, 47, 48, 49, 1000, length - 1, length, length + 1, 2 * length - 1] {
            medium.slots = before
            medium.bytesLeft = bytes
            #expect(throws: TrustError.self) { try keep(2...2) }
            medium.bytesLeft = .max
            let reached = try version()
            #expect(reached == (bytes < length ? 2 : 3), "cut at \(bytes) of \(2 * length)")
            if reached == 2 { try keep(2...2) } else { try keep(3...3) }
            #expect(try version() == reached + 1)
            #expect(medium.slots[0] == medium.slots[1])
        }
    }

    @Test("The first write can be cut too: the built-in root is left")
    func firstCut() throws {
        let length = try home.load(anchor: roots[0]).encodedWith(roots[1]).count
        for bytes in [0, 1, 47, 48, length - 1] {
            medium.slots = [nil, nil]
            medium.bytesLeft = bytes
            #expect(throws: TrustError.self) { try keep(1...1) }
            #expect(try version() == 1, "cut at \(bytes) of \(length)")
        }
    }

    @Test("A medium that says it wrote and did not is found out")
    func forgetful() throws {
        medium.forgets = true
        #expect(trustError { try keep(1...1) }?.category == .storage)
        #expect(try version() == 1)
    }

    @Test("A change in one copy costs nothing, whichever copy it is", arguments: [0, 1])
    func oneCopy(slot: Int) throws {
        try keep(1...2)
        let good = try #require(medium.slots[slot])
        for place in stride(from: 0, to: good.count, by: 31) {
            medium.slots[slot]?[place] ^= 0x55
            #expect(try version() == 3)
            medium.slots[slot] = good
        }
        medium.unreadable = slot
        #expect(try version() == 3)
    }

    @Test("With both copies lost the built-in root stands, and the walk can be made again")
    func bothCopies() throws {
        try keep(1...2)
        medium.slots = [[], [UInt8](repeating: 0xff, count: 100)]
        #expect(try version() == 1)
        try keep(1...3)
        #expect(try version() == 4)
    }

    @Test("Kept bytes prove nothing: a root of a stranger ends the walk")
    func stranger() throws {
        let forged = try signed(numberedRoot(2, root: [66]), by: [66])
        var chain = try TrustChain(anchor: roots[0], kept: [.init(version: 2, bytes: forged)])
        #expect(chain.trust.root.version == 1)
        #expect(chain.broken == .unknownKey(role: .root))
        // What did not verify is not kept any longer.
        try chain.extend(with: roots[1])
        #expect(chain.links.map(\.bytes) == [roots[0], roots[1]])
    }

    @Test("A newer built-in root wins, and the walk goes on from it")
    func newerAnchor() throws {
        try keep(1...1)
        #expect(try version(anchor: 3) == 4)
        try keep(4...4, anchor: 3)
        #expect(try version(anchor: 3) == 5)
    }

    @Test("An older built-in root, after a rollback, reaches the same root through the kept ones")
    func olderAnchor() throws {
        try keep(1...2)
        try keep(3...3, anchor: 2)
        #expect(try version(anchor: 0) == 4)
    }

    @Test("An older built-in root without the roots between stays what it is, and says why")
    func gap() throws {
        try keep(4...4, anchor: 3)
        let chain = try home.load(anchor: roots[0])
        #expect(chain.trust.root.version == 1)
        #expect(chain.broken != nil)
    }

    @Test("A walk has an end: the step after the 1024th is refused")
    func bounded() throws {
        var chain = try TrustChain(anchor: signed(numberedRoot(1)))
        for version in 2...UInt32(TrustChain.mostSteps + 1) { try chain.extend(with: signed(numberedRoot(version))) }
        #expect(chain.steps == 1024)
        let more = try signed(numberedRoot(UInt32(TrustChain.mostSteps + 2)))
        #expect(trustError { try chain.extend(with: more) }?.code == "trust.root-invalid")
        // The full length fits into its place, and comes back.
        let home = TrustHome(medium)
        try home.store(chain, anchor: signed(numberedRoot(1)))
        #expect(try home.load(anchor: signed(numberedRoot(1))).trust.root.version == 1025)
    }

    @Test("Roots that only older systems need make room for new ones, and no others do")
    func room() throws {
        func file(_ version: UInt32) throws -> [UInt8] {
            let bytes = try signed(numberedRoot(version))
            return bytes + [UInt8](repeating: 0x20, count: RootFile.limit - bytes.count)
        }
        let old = try (1...40).map { TrustChain.Link(version: $0, bytes: try file($0)) }
        var chain = try TrustChain(anchor: file(41), kept: old)
        for version in UInt32(42)...70 { try chain.extend(with: file(version)) }
        let kept = try #require(TrustChain.decode(chain.encoded()))
        #expect(kept.last?.version == 70 && kept.contains { $0.version == 41 })
        #expect(kept.count == TrustChain.slotLimit / RootFile.limit - 1)
        var long = try TrustChain(anchor: file(1))
        for version in UInt32(2)...64 { try long.extend(with: file(version)) }
        let refusal = trustError { try long.encoded() }
        #expect(refusal?.code == "trust.roots-too-long")
    }

    @Test("The built-in root itself must be good")
    func anchor() throws {
        let unsigned = RootFile(payload: try numberedRoot(1).bytes, signatures: []).bytes
        #expect(trustError { try home.load(anchor: unsigned) } == .unsigned)
    }
}

extension TrustChain {
    /// The copy that keeping one more root writes.
    fileprivate func encodedWith(_ next: [UInt8]) throws -> [UInt8] {
        var chain = self
        try chain.extend(with: next)
        return try chain.encoded()
    }
}

@Suite("The files of the kept roots")
struct TrustDirectoryTests {
    private let directory: String

    init() throws {
        let above = ProcessInformation.environment("TMPDIR") ?? "/tmp"
        directory = "\(above)/kedge-trust-\(Hex.encode(try SystemRandom().bytes(8)))"
        try FileSystem.makeDirectories(directory)
    }

    private func clean() throws {
        for name in try FileSystem.list(directory) { try FileSystem.remove("\(directory)/\(name)") }
        try FileSystem.removeDirectory(directory)
    }

    @Test("Two files for their owner alone keep the roots, and a longer former content does no harm")
    func files() throws {
        let roots = try rotations(3)
        let home = TrustHome(TrustDirectory(directory))
        var long = try home.load(anchor: roots[0])
        for root in roots[1...] { try long.extend(with: root) }
        try home.store(long, anchor: roots[0])
        #expect(try FileSystem.list(directory) == ["trust.0", "trust.1"])
        #expect(try FileSystem.mode(of: directory + "/trust.0") == 0o600)
        #expect(try home.load(anchor: roots[0]).trust.root.version == 3)
        try home.store(try TrustChain(anchor: roots[0]), anchor: roots[0])
        #expect(try home.load(anchor: roots[0]).trust.root.version == 1)
        try clean()
    }

    @Test("A directory that cannot be written is a storage error, and nothing is believed to be kept")
    func unwritable() throws {
        let roots = try rotations(2)
        let home = TrustHome(TrustDirectory(directory + "/none"))
        var chain = try home.load(anchor: roots[0])
        try chain.extend(with: roots[1])
        #expect(trustError { try home.store(chain, anchor: roots[0]) }?.category == .storage)
        #expect(try home.load(anchor: roots[0]).trust.root.version == 1)
        try clean()
    }
}
