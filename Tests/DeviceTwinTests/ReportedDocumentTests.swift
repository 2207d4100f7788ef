import BootControl
import BundleFormat
import Floors
import Foundation
import Platform
import StrictJSON
import Testing
import Trust
@testable import UpdateEngine

@testable import DeviceTwin

/// The documents in Fixtures/twin are the written-down schema, one example for each phase.
@Suite struct ReportedDocumentTests {
    static let fixtures = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/twin")

    static let oldRelease = ReleaseName(id: "acme-edge-2.0.4", version: "2.0.4", manifest: SHA256.digest(of: [1]))
    static let newRelease = ReleaseName(id: "acme-edge-2.1.0", version: "2.1.0", manifest: SHA256.digest(of: [2]))

    /// The device in a phase of one and the same story.
    static func status(_ phase: Phase) throws -> EngineStatus {
        var attempt = Attempt(
            id: "5c9e1f0a-8f5e-4c55-9d0b-2f6a3f1f7b11", location: "https://updates.example.test/r.kedge?sig=secret",
            wanted: nil)
        attempt.manifest = newRelease.manifest
        attempt.releaseID = newRelease.id
        attempt.version = newRelease.version
        attempt.phase = phase
        attempt.imageBytes = 671_088_640
        attempt.counters.fetched = 96_468_992
        attempt.counters.reused = 209_715_200
        attempt.counters.unchanged = 4_194_304
        attempt.counters.written = 457_179_136
        attempt.cost.flushes = 218
        attempt.cost[.planning] = 310
        attempt.cost[.fetching] = 41_870
        attempt.cost[.readBack] = 960
        attempt.cost.peakResidentKiB = 16_712
        let before = BootRecord(
            slotA: SlotRecord(state: .good, manifest: oldRelease.manifest, sequence: 11, securityVersion: 3), floor: 3,
            acceptedSequence: 11)
        var record = before
        if phase != .idle, phase != .planned {
            record = before.beginning(
                attempt: attempt.id, running: .a, manifest: newRelease.manifest, sequence: 12, securityVersion: 4)
        }
        let armed = [Phase.armed, .rebooting, .trial, .confirmed, .rolledBack]
        if armed.contains(phase) { record = record.arming(tries: 3) }
        if phase == .trial || phase == .confirmed {
            record.triesLeft = 2
            record = record.reachingUserSpace()
        }
        if phase == .confirmed { record = record.confirming() }
        if phase == .rolledBack { record = record.fallingBack(.healthFailed) }
        let running: SlotSet = phase == .trial || phase == .confirmed ? .b : .a
        var status = EngineStatus(
            phase: phase, attempt: phase == .idle ? nil : attempt, record: record, running: running, bootID: "b00t")
        status.releaseA = oldRelease
        status.releaseB = phase == .idle || phase == .planned ? nil : newRelease
        if phase == .fetching || phase == .waiting {
            status.handledBytes = 335_544_320
            status.totalBytes = attempt.imageBytes
        }
        if [.fetching, .written, .verified].contains(phase) {
            status.plan = UpdatePlan(items: [
                UpdatePlan.Item(
                    component: try #require(Identifier("rootfs")), slot: "rootfs b (/dev/mmcblk0p3)",
                    imageBytes: 671_088_640, reusedBytes: 209_715_200, form: .delta, fetchBytes: 96_206_848,
                    windowsToDo: 440,
                    windows: 640)
            ])
        }
        if phase == .waiting {
            status.pause = Failure(
                code: "transfer.unreachable", category: .network, context: "updates.example.test: connection refused",
                remedy: "Check the network; the attempt goes on by itself")
        }
        if phase == .confirmed {
            status.floors.store = .tpm
            status.floors.stored = 3
        }
        if phase == .armed {
            status.overrideRequest = try request()
            status.channel = try channel()
        }
        if phase == .idle { status.time = TimeStatus(lowerBound: 1_793_491_200, clock: .behind) }
        if phase.isTerminal { status.results = [result(phase, attempt)] }
        return status
    }

    private static func request() throws -> OverrideBook.Request {
        final class Document: KeptDocument {
            func read() throws(SystemError) -> [UInt8]? {
                let nonce = Hex.encode([UInt8](repeating: 0x5a, count: 16))
                return Array(#"{"format":1,"request":{"nonce":"\#(nonce)","boots":2,"lastBoot":"b00t"}}"#.utf8)
            }
            func write(_ bytes: [UInt8]) throws(SystemError) {}
        }
        return try #require(try OverrideBook(Document()).request)
    }

    private static func channel() throws -> ChannelStatus {
        let name = try #require(Identifier("stable"))
        let statement = ChannelStatement(
            channel: name, sequence: 12, manifest: newRelease.manifest, releaseID: newRelease.id,
            created: 1_794_000_000, expires: 1_794_604_800)
        return ChannelStatus(
            name: name, policy: .newest, statement: statement, isStale: false, age: 90_000, problem: nil)
    }

    private static func result(_ phase: Phase, _ attempt: Attempt) -> AttemptResult {
        var failure: Failure?
        if phase == .rolledBack {
            failure = Failure(EngineError.healthFailed("exit status 1; modbus bridge did not start"))
        }
        if phase == .failed { failure = Failure(FormatError.digestMismatch(what: "the chunk table of rootfs")) }
        return AttemptResult(
            attempt: attempt.id, phase: phase, manifest: attempt.manifest, releaseID: attempt.releaseID,
            version: attempt.version, failure: failure, reason: phase == .rolledBack ? "health-failed" : "",
            counters: attempt.counters)
    }

    @Test("Each phase is reported as its example in Fixtures/twin says", arguments: Phase.allCases)
    func golden(phase: Phase) throws {
        let text = ReportedDocument.patch(try Self.status(phase)).prettyText + "\n"
        let file = Self.fixtures.appendingPathComponent("reported-\(phase.rawValue).json")
        if ProcessInfo.processInfo.environment["KEDGE_WRITE_FIXTURES"] == "1" {
            try text.write(to: file, atomically: true, encoding: .utf8)
        }
        #expect(try String(contentsOf: file, encoding: .utf8) == text)
    }

    @Test("No report carries the location of the bundle, whose query may be a secret", arguments: Phase.allCases)
    func noSecrets(phase: Phase) throws {
        let text = ReportedDocument.patch(try Self.status(phase)).compactText
        #expect(!text.contains("sig="))
        #expect(!text.contains("https:"))
    }

    @Test("A report stays far below the size that IoT Hub allows", arguments: Phase.allCases)
    func small(phase: Phase) throws {
        #expect(ReportedDocument.patch(try Self.status(phase)).bytes.count < 4096)
    }

    @Test("Member names keep to what IoT Hub allows as keys")
    func keys() throws {
        func check(_ value: JSONValue) {
            switch value {
            case .object(let members):
                for member in members {
                    #expect(!member.name.contains(where: { ".$ ".contains($0) }))
                    check(member.value)
                }
            case .array(let elements): elements.forEach(check)
            default: break
            }
        }
        for phase in Phase.allCases { check(ReportedDocument.patch(try Self.status(phase))) }
    }
}
