import Foundation
import Platform
import Testing

@testable import Floors

@Suite("The floor in a TPM's counter", .enabled(if: SoftwareTPM.isUsable, Comment(rawValue: SoftwareTPM.needs)))
struct TPMFloorTests {
    private let tpm: SoftwareTPM
    private let store: TPMFloor

    init() throws {
        tpm = try SoftwareTPM()
        store = TPMFloor(tcti: tpm.tcti)
    }

    private func expect(_ code: String, _ body: () throws -> Void) {
        #expect { try body() } throws: {
            guard let error = $0 as? FloorError else { return false }
            return error.code == code && !error.context.isEmpty && !error.remedy.isEmpty
        }
    }

    @Test("Before kedged floor init there is no floor to read, and nothing is made by reading or raising")
    func missing() throws {
        expect("floor.missing") { _ = try store.read() }
        expect("floor.missing") { _ = try store.raise(to: 1) }
        expect("floor.missing") { _ = try store.read() }
    }

    @Test("It starts at 0, rises one by one, never falls, and outlives a power cut")
    func raising() throws {
        try store.define(owner: [])
        #expect(try store.read() == 0)
        #expect(try store.raise(to: 3) == 3)
        #expect(try store.raise(to: 2) == 3)
        #expect(try store.raise(to: 3) == 3)
        tpm.stop()
        try tpm.start()
        #expect(try TPMFloor(tcti: tpm.tcti).read() == 3)
        expect("floor.irreversible") { try store.lower(to: 1) }
        #expect(try store.read() == 3)
    }

    @Test("Defining it again leaves the floor as it is")
    func again() throws {
        try store.define(owner: [])
        _ = try store.raise(to: 2)
        try store.define(owner: [])
        #expect(try store.read() == 2)
    }

    @Test("A TPM whose other counters counted already still starts the floor at 0")
    func otherCounters() throws {
        let other = TPMFloor(tcti: tpm.tcti, index: 0x0180_0001)
        try other.define(owner: [])
        _ = try other.raise(to: 9)
        try store.define(owner: [])
        #expect(try store.read() == 0)
        #expect(try store.raise(to: 1) == 1)
        #expect(try other.read() == 9)
    }

    @Test("An absurd floor is reached in steps, so that no start waits for it")
    func steps() throws {
        try store.define(owner: [])
        #expect(try store.raise(to: 100_000) == TPMFloor.mostSteps)
        #expect(try store.raise(to: 100_000) == 2 * TPMFloor.mostSteps)
    }

    @Test("A TPM that is not there is an error with what to do")
    func unreachable() throws {
        tpm.stop()
        expect("floor.unreachable") { _ = try store.read() }
        expect("floor.unreachable") { _ = try TPMFloor(tcti: "no-such-transport:x").read() }
    }

    @Test(
        "An index that somebody put in the counter's place is not believed",
        .enabled(if: SoftwareTPM.hasTools, "needs tpm2_nvdefine (apt: tpm2-tools)"),
        arguments: [
            "authread|authwrite|no_da|nt=counter", "authread|authwrite|no_da",
            "authread|authwrite|ownerread|nt=counter",
        ])
    func foreign(attributes: String) throws {
        let made = try tpm.tool(["tpm2_nvdefine", "0x0184b347", "-s", "8", "-a", attributes])
        try #require(made.succeeded, "\(made.output)")
        expect("floor.foreign") { _ = try store.read() }
        expect("floor.foreign") { _ = try store.raise(to: 1) }
        expect("floor.foreign") { try store.define(owner: []) }
    }

    @Test(
        "With an owner password nobody without it defines, removes or replaces the counter",
        .enabled(if: SoftwareTPM.hasTools, "needs tpm2_changeauth (apt: tpm2-tools)"))
    func owner() throws {
        let changed = try tpm.tool(["tpm2_changeauth", "-c", "owner", "secret"])
        try #require(changed.succeeded, "\(changed.output)")
        expect("floor.refused") { try store.define(owner: []) }
        expect("floor.refused") { try store.define(owner: Array("wrong".utf8)) }
        try store.define(owner: Array("secret".utf8))
        _ = try store.raise(to: 2)
        #expect(try !tpm.tool(["tpm2_nvundefine", "-C", "o", "0x0184b347"]).succeeded)
        #expect(try store.read() == 2)
        let other = TPMFloor(tcti: tpm.tcti, index: 0x0180_0002)
        expect("floor.refused") { try other.define(owner: Array(repeating: 1, count: 65)) }
    }
}

@Suite("What a floor store's errors say")
struct FloorErrorTests {
    static let errors: [FloorError] = [
        .damaged(store: "s"), .readBackMismatch(store: "s"), .irreversible(store: "s"), .missing(store: "s"),
        .foreign(store: "s"), .unreachable(store: "s", why: "w"), .refused(store: "s", code: 0x9a2),
        .system(store: "s", SystemError(number: 5, operation: "read", subject: "s")),
    ]

    @Test("Each has a code of its own, names the store and what to do")
    func all() {
        #expect(Set(Self.errors.map(\.code)).count == Self.errors.count)
        for error in Self.errors {
            #expect(error.code.hasPrefix("floor.") && error.context.hasPrefix("s") && !error.remedy.isEmpty)
        }
        #expect(FloorError.refused(store: "s", code: 0x9a2).context == "s refused with code 0x000009a2")
    }
}
