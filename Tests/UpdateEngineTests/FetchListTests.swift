import BundleFormat
import Platform
import Testing

@testable import Trust
@testable import UpdateEngine

@Suite("What is fetched, and in which requests")
struct FetchListTests {
    /// A window of a table: nil is a zero window, otherwise where its stored bytes are.
    typealias Stored = (offset: UInt64, length: Int)?

    private func table(_ name: String, _ windows: [Stored]) throws -> VerifiedChunkTable {
        let size = 4096
        let entries = windows.map { window in
            let digest = SHA256.digest(of: [UInt8](name.utf8))
            guard let window else {
                return WindowEntry(
                    codec: .zero, plainDigest: digest, storedDigest: digest, storedOffset: 0, storedLength: 0)
            }
            return WindowEntry(
                codec: .zstd, plainDigest: digest, storedDigest: digest, storedOffset: window.offset,
                storedLength: window.length)
        }
        let table = try ChunkTable(windowSize: size, imageSize: UInt64(size * windows.count), windows: entries)
        let id = try #require(Identifier(name))
        return VerifiedChunkTable(
            component: Component(
                id: id, kind: .rootfs, target: id, version: nil, size: UInt64(size * windows.count),
                digest: SHA256.digest(of: [0]), windowSize: size,
                table: TableReference(offset: 0, length: 1, digest: SHA256.digest(of: [0])), verityRoot: nil),
            table: table)
    }

    private func none(_ table: VerifiedChunkTable) -> WindowBitmap {
        WindowBitmap(component: table.component.id, count: table.table.windows.count)
    }

    private func list(_ windows: [Stored], held: [Int] = []) throws -> FetchList {
        let table = try table("rootfs", windows)
        var bitmap = none(table)
        for index in held { bitmap.insert(index) }
        return FetchList([table], held: [bitmap])
    }

    /// The runs of a list, as ranges of jobs.
    private func runs(_ list: FetchList) -> [Range<Int>] {
        var runs: [Range<Int>] = []
        while runs.last?.upperBound ?? 0 < list.jobs.count { runs.append(list.run(from: runs.last?.upperBound ?? 0)) }
        return runs
    }

    @Test("Windows that lie behind each other are one request")
    func contiguous() throws {
        let list = try list([(0, 100), (100, 200), (300, 50)])
        #expect(runs(list) == [0..<3])
        #expect(list.fetchBytes == 350)
    }

    @Test("A gap up to the limit is fetched along, a larger one is a new request", arguments: [0, 1])
    func gaps(more: UInt64) throws {
        let list = try list([(0, 100), (100 + FetchList.gap + more, 100)])
        #expect(runs(list) == (more == 0 ? [0..<2] : [0..<1, 1..<2]))
        #expect(list.fetchBytes == 200)
    }

    @Test("Offsets that fall back are a new request: one request delivers rising bytes")
    func fallingOffsets() throws {
        #expect(runs(try list([(1000, 100), (0, 100), (100, 100)])) == [0..<1, 1..<3])
        #expect(runs(try list([(0, 100), (50, 100)])) == [0..<1, 1..<2])
    }

    @Test("Zero windows need no bytes and break no request")
    func zeros() throws {
        let list = try list([nil, (0, 100), nil, nil, (100, 100), nil])
        #expect(runs(list) == [0..<6])
        #expect(list.fetchBytes == 200)
        #expect(list.jobs.filter { $0.length == 0 }.map { $0.targets[0].window } == [0, 2, 3, 5])
    }

    @Test("An image of zeros only is one run without a byte")
    func onlyZeros() throws {
        let list = try list([nil, nil, nil])
        #expect(runs(list) == [0..<3] && list.fetchBytes == 0)
    }

    @Test("What the slot holds is not fetched, and the rest keeps its order")
    func held() throws {
        let list = try list([(0, 100), nil, (100, 100), (200, 100)], held: [0, 1, 2])
        #expect(list.jobs == [FetchJob(offset: 200, length: 100, targets: [FetchJob.Target(component: 0, window: 3)])])
        #expect(try self.list([(0, 100)], held: [0]).jobs.isEmpty)
    }

    @Test("Stored bytes that windows share are fetched once, over components too")
    func shared() throws {
        let first = try table("rootfs", [(0, 100), (0, 100), (100, 50)])
        let second = try table("kernel", [(100, 50), (0, 100)])
        let list = FetchList([first, second], held: [none(first), none(second)])
        #expect(list.fetchBytes == 150)
        #expect(list.jobs.count == 2)
        #expect(
            list.jobs[0].targets.map { [$0.component, $0.window] } == [[0, 0], [0, 1], [1, 1]])
        #expect(list.jobs[1].targets.map { [$0.component, $0.window] } == [[0, 2], [1, 0]])
        var held = none(first)
        held.insert(0)
        let rest = FetchList([first, second], held: [held, none(second)])
        #expect(rest.jobs[0].targets.map { [$0.component, $0.window] } == [[0, 1], [1, 1]])
    }

    @Test("The same offset with another length is not the same bytes")
    func sameOffset() throws { #expect(try list([(0, 100), (0, 101)]).jobs.map(\.length) == [100, 101]) }

    @Test("A set of windows knows its members, its highest one and its text form", arguments: [1, 7, 8, 9, 64, 1000])
    func bitmap(count: Int) throws {
        let id = try #require(Identifier("rootfs"))
        var set = WindowBitmap(component: id, count: count)
        #expect(set.highest == -1 && !set.contains(0))
        for index in stride(from: 0, to: count, by: 3) { set.insert(index) }
        for index in 0..<count { #expect(set.contains(index) == (index % 3 == 0)) }
        #expect(set.highest == (count - 1) / 3 * 3)
        #expect(WindowBitmap(component: id, count: count, hex: set.hex) == set)
        for index in [-1, count, count + 7, Int.max] {
            set.insert(index)
            #expect(!set.contains(index))
        }
        #expect(WindowBitmap(component: id, count: count, hex: set.hex) == set)
        #expect(WindowBitmap(component: id, count: count + 8, hex: set.hex) == nil)
        #expect(WindowBitmap(component: id, count: count, hex: String(set.hex.dropLast())) == nil)
        #expect(WindowBitmap(component: id, count: count, hex: "zz" + set.hex.dropFirst(2)) == nil)
    }
}
