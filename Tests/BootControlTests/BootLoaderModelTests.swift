import BootControl
import Testing

@Suite("The boot loader model")
struct BootLoaderModelTests {
    /// Every phase, slot set and count that changes what happens.
    static let records: [BootRecord] = BootRecord.Phase.allCases.flatMap { phase in
        SlotSet.allCases.flatMap { active in
            [0, 1, 2, 3, 255].flatMap { (tries: UInt8) in
                [0, 1, 255].map { (boots: UInt8) in
                    BootRecord(
                        revision: 7, active: active, phase: phase, triesLeft: tries, userSpaceBoots: boots,
                        attempt: "x", slotA: SlotRecord(state: active == .a ? .trial : .good),
                        slotB: SlotRecord(state: active == .b ? .trial : .good), floor: 3, acceptedSequence: 4)
                }
            }
        }
    }

    @Test(
        "starts the active slot set and writes nothing outside a trial",
        arguments: records.filter { $0.phase != .trial })
    func steady(_ record: BootRecord) {
        let choice = BootLoaderModel.choose(record)
        #expect(choice.slot == record.active)
        #expect(choice.write == nil)
    }

    @Test(
        "counts a try down before it starts a trial",
        arguments: records.filter { $0.phase == .trial && $0.triesLeft > 0 })
    func countsDown(_ record: BootRecord) {
        var expected = record
        expected.triesLeft = record.triesLeft - 1
        let choice = BootLoaderModel.choose(record)
        #expect(choice.slot == record.active)
        #expect(choice.write == expected)
    }

    @Test(
        "goes back to the other slot set when no try is left",
        arguments: records.filter { $0.phase == .trial && $0.triesLeft == 0 })
    func fallsBack(_ record: BootRecord) {
        var expected = record
        expected.active = record.active == .a ? .b : .a
        expected.phase = .fellBack
        expected.reason = record.userSpaceBoots == 0 ? .bootFailed : .notConfirmed
        if record.active == .a { expected.slotA.state = .bad } else { expected.slotB.state = .bad }
        let choice = BootLoaderModel.choose(record)
        #expect(choice.slot == expected.active)
        #expect(choice.write == expected)
    }

    @Test("starts a trial exactly as often as it has tries and then stays with the former slot set", arguments: 0...4)
    func exhaustsTries(_ tries: Int) throws {
        let directory = try TemporaryDirectory()
        let home = SimulatedBootHome(path: directory("record"))
        try SimulatedBootHome.create(
            path: directory("record"),
            record: BootRecord(
                active: .b, phase: .trial, triesLeft: UInt8(tries), slotA: SlotRecord(state: .good),
                slotB: SlotRecord(state: .trial)))
        for _ in 0..<tries { #expect(try BootLoaderModel.start(from: home) == .b) }
        for _ in 0..<3 { #expect(try BootLoaderModel.start(from: home) == .a) }
        let record = try home.load()
        #expect(record.phase == .fellBack)
        #expect(record.reason == .bootFailed)
        #expect(record.slotB.state == .bad)
        // Two copies from the factory, one write per try and one for the fallback; the steady state writes nothing.
        #expect(record.revision == UInt64(2 + tries + 1))
    }
}
