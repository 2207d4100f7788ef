import BundleFormat
import Platform
import StrictJSON
import Testing

@testable import UpdateEngine

@Suite struct JournalTests {
    private func state(_ id: String) throws -> JournalState {
        var attempt = Attempt(id: id, location: "https://example.test/a?sig=secret", wanted: SHA256.digest(of: [1]))
        attempt.manifest = SHA256.digest(of: [2])
        attempt.releaseID = "r\u{e4}\"\\"
        attempt.phase = .fetching
        attempt.counters.fetched = 1 << 40
        attempt.cost.flushes = 12
        attempt.cost.peakResidentKiB = 16_000
        for part in AttemptCost.Part.allCases { attempt.cost[part] = UInt64(part.name.utf8.count) }
        var bitmap = WindowBitmap(component: try #require(Identifier("rootfs")), count: 19)
        for index in [0, 3, 8, 18] { bitmap.insert(index) }
        attempt.progress = [bitmap]
        attempt.pause = Failure(EngineError.lowSpace(place: "/data", free: 1, reserve: 2))
        var state = JournalState()
        state.attempt = attempt
        state.timeFloor = 1_700_000_000
        let failure = Failure(code: "a.b", category: .health, context: "c", remedy: "d")
        state.latch(AttemptResult(attempt, .rolledBack, failure: failure, reason: "health-failed"))
        return state
    }

    @Test("What is saved comes back")
    func roundTrip() throws {
        let store = MemoryState()
        let journal = try Journal(store)
        try journal.save(try state("one"))
        try journal.save(try state("two"))
        #expect(try Journal(store).state == state("two"))
    }

    @Test("An attempt of a journal that knew no cost and no pause has none")
    func withoutCost() throws {
        let attempt = try #require(try state("one").attempt)
        guard case .object(let members) = attempt.json else { throw CancellationError() }
        let read = try Attempt(json: .object(members.filter { $0.name != "cost" && $0.name != "pause" }))
        #expect(read.pause == nil)
        #expect(read.cost == AttemptCost())
        #expect(read.counters == attempt.counters)
    }

    @Test("A save that is cut at any byte leaves the former state")
    func torn() throws {
        let store = MemoryState()
        let journal = try Journal(store)
        try journal.save(try state("one"))
        try journal.save(try state("two"))
        let old = store.journal
        try journal.save(try state("three"))
        let slot = try #require(store.journal[0] == old[0] ? 1 : 0)
        let whole = try #require(store.journal[slot])
        let before = try #require(old[slot])
        for cut in 0..<whole.count {
            store.journal[slot] = Array(whole[..<cut]) + before.dropFirst(cut)
            #expect(try Journal(store).state.attempt?.id == "two")
        }
        store.journal[slot] = whole
        #expect(try Journal(store).state.attempt?.id == "three")
    }

    @Test("A journal of garbage is an empty one")
    func garbage() throws {
        let store = MemoryState()
        store.journal = [[UInt8](repeating: 7, count: 300), []]
        #expect(try Journal(store).state == JournalState())
    }

    @Test("The first result of an attempt id stays, and only the newest sixteen are kept")
    func latching() throws {
        var state = JournalState()
        let attempt = Attempt(id: "x", location: "l", wanted: nil)
        state.latch(AttemptResult(attempt, .failed))
        state.latch(AttemptResult(attempt, .confirmed))
        #expect(state.result(of: "x")?.phase == .failed)
        for number in 0..<20 {
            state.latch(AttemptResult(Attempt(id: "n\(number)", location: "l", wanted: nil), .failed))
        }
        #expect(state.results.count == JournalState.latchLimit)
        #expect(state.result(of: "x") == nil)
        #expect(state.result(of: "n19") != nil)
    }
}
