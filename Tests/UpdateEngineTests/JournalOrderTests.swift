import Testing

@testable import UpdateEngine

@Suite("Which attempt came last")
struct JournalOrderTests {
    private func state(_ ended: [String]) -> JournalState {
        var state = JournalState()
        for id in ended { state.latch(AttemptResult(Attempt(id: id, location: "l", wanted: nil), .failed)) }
        return state
    }

    static let cases: [(ended: [String], attempt: String, recorded: String, older: Bool)] = [
        ([], "x", "", false), ([], "x", "y", false), (["x"], "x", "", false), (["x"], "x", "x", false),
        (["x", "y"], "x", "y", true), (["y", "x"], "x", "y", false), (["x"], "x", "y", true), (["y"], "x", "y", false),
        ((0..<16).map { "n\($0)" }, "n15", "y", false),
    ]

    @Test("An attempt is older than the record's when it ended before it", arguments: cases)
    func order(ended: [String], attempt: String, recorded: String, older: Bool) {
        #expect(state(ended).isOlder(attempt, than: recorded) == older)
    }
}
