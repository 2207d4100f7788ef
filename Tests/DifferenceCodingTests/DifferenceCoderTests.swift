import DifferenceCoding
import Platform
import Testing

@Suite("Difference coder")
struct DifferenceCoderTests {
    /// An old run, and what of it is another one.
    struct Pair: CustomTestStringConvertible, Sendable {
        let name: String
        let old: [UInt8]
        let new: [UInt8]
        var testDescription: String { name }
    }

    static let pairs: [Pair] = {
        var noise = Noise(state: 1)
        let old = (0..<70_000).map { _ in noise.byte() }
        var moved = old
        for place in stride(from: 40, to: moved.count - 8, by: 97) {
            moved[place] &+= 0x30
            moved[place + 1] &+= 2
        }
        var late = old
        late[late.count - 1] ^= 1
        return [
            Pair(name: "nothing", old: [], new: []),
            Pair(name: "one byte", old: [7], new: [9]),
            Pair(name: "equal", old: old, new: old),
            Pair(name: "addresses that moved", old: old, new: moved),
            Pair(name: "the last byte", old: old, new: late),
            Pair(name: "everything", old: old, new: (0..<70_000).map { _ in noise.byte() }),
            Pair(name: "shorter than a block", old: Array(old[..<15]), new: Array(moved[40..<55])),
        ]
    }()

    struct Noise {
        var state: UInt64
        mutating func byte() -> UInt8 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 33)
        }
    }

    private static func encode(_ runs: [(new: ArraySlice<UInt8>, position: Int)], _ old: [UInt8]) throws -> [UInt8] {
        var coder = DifferenceCoder(encodingIn: try AlignedBuffer(capacity: DifferenceCoder.memory))
        for run in runs { coder.encode(Array(run.new).rawBytes, against: old.rawBytes, at: run.position) }
        return coder.finish()
    }

    /// What the runs decode to, each at its own position of the result plus one, and how many stored bytes were read. The
    /// result has a byte before and behind, and the memory is at an odd place and not zero.
    private static func decode(
        _ stored: [UInt8], _ runs: [(position: Int, count: Int)], _ old: [UInt8]
    ) throws -> (bytes: [UInt8], taken: Int) {
        let memory = try AlignedBuffer(capacity: DifferenceCoder.memory + 800)
        memory.copy([UInt8](repeating: 0xA5, count: memory.capacity).rawBytes, at: 0)
        var coder = DifferenceCoder(decoding: stored.rawBytes, in: memory, at: 800)
        let out = try AlignedBuffer(capacity: old.count + 2)
        out.copy([UInt8](repeating: 0xEE, count: old.count + 2).rawBytes, at: 0)
        out.withMutableBytes { target in
            for run in runs {
                coder.decode(
                    stored.rawBytes, against: old.rawBytes, at: run.position, count: run.count, into: &target,
                    at: run.position + 1)
            }
        }
        return (out.bytes.extracting(0..<(old.count + 2)).withUnsafeBytes { Array($0) }, coder.taken)
    }

    @Test("Decodes what it encoded, and reads exactly what it wrote", arguments: pairs)
    func roundTrip(pair: Pair) throws {
        let stored = try Self.encode([(new: pair.new[...], position: 0)], pair.old)
        let decoded = try Self.decode(stored, [(position: 0, count: pair.new.count)], pair.old)
        #expect(decoded.bytes == [0xEE] + pair.new + [0xEE])
        #expect(decoded.taken == stored.count)
    }

    @Test("Runs share what was learned, wherever they lie")
    func manyRuns() throws {
        let pair = Self.pairs[3]
        let cuts = [0, 1, 17, 4000, 4016, 4017, 30_000, 70_000]
        // Backwards, so that no run follows the one before.
        let runs = zip(cuts, cuts.dropFirst()).map { (new: pair.new[$0..<$1], position: $0) }.reversed()
        let stored = try Self.encode(Array(runs), pair.old)
        let decoded = try Self.decode(stored, runs.map { (position: $0.position, count: $0.new.count) }, pair.old)
        #expect(decoded.bytes == [0xEE] + pair.new + [0xEE])
        #expect(decoded.taken == stored.count)
    }

    @Test("A run that is equal costs some bytes only, and addresses that moved alike less than three bits each")
    func small() throws {
        #expect(try Self.encode([(new: Self.pairs[2].new[...], position: 0)], Self.pairs[2].old).count < 12)
        let moved = try Self.encode([(new: Self.pairs[3].new[...], position: 0)], Self.pairs[3].old)
        #expect(moved.count < 70_000 / 97 * 2)
    }

    @Test("Wrong and short bytes decode to something, and nothing is read or written outside")
    func wrong() throws {
        let pair = Self.pairs[3]
        let stored = try Self.encode([(new: pair.new[...], position: 0)], pair.old)
        for cut in [0, 1, 3, 4, stored.count / 2, stored.count - 1] {
            var bytes = Array(stored[..<cut])
            if cut > 4 { bytes[4] ^= 0x10 }
            let out = try Self.decode(bytes, [(position: 0, count: pair.new.count)], pair.old).bytes
            #expect(out.first == 0xEE && out.last == 0xEE)
            #expect(out != [0xEE] + pair.new + [0xEE])
        }
    }

    @Test("The stored form is the same on every machine")
    func golden() throws {
        let old = (0..<400).map { UInt8(truncatingIfNeeded: $0 * 7) }
        var new = old
        for place in [20, 21, 60, 61, 62, 200, 399] { new[place] &+= 5 }
        let stored = try Self.encode([(new: new[...], position: 0)], old)
        let hex = stored.map { String($0, radix: 16) }.joined(separator: " ")
        #expect(hex == "7e 93 42 d4 5a 3d d1 44 d8 73 d7 bc 90 9 1f da e6 ce")
    }
}
