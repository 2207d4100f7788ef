import Platform
import Testing

@Suite("Threads and monitors")
struct ThreadTests {
    /// State behind a monitor.
    final class Shared: @unchecked Sendable {
        let monitor = Monitor()
        var value = 0
    }

    @Test("Four threads that count under the lock lose nothing")
    func counting() throws {
        let shared = Shared()
        let threads = try (0..<4).map { _ in
            try WorkerThread(name: "count") {
                for _ in 0..<20_000 { shared.monitor.locked { shared.value += 1 } }
            }
        }
        for thread in threads { thread.join() }
        #expect(shared.value == 80_000)
    }

    @Test("Two threads take turns by wait and signal")
    func turns() throws {
        let shared = Shared()
        let other = try WorkerThread(name: "turns") {
            shared.monitor.locked {
                for turn in 0..<100 {
                    while shared.value != 2 * turn + 1 { shared.monitor.wait() }
                    shared.value += 1
                    shared.monitor.signal()
                }
            }
        }
        shared.monitor.locked {
            for turn in 0..<100 {
                while shared.value != 2 * turn { shared.monitor.wait() }
                shared.value += 1
                shared.monitor.signal()
            }
        }
        other.join()
        #expect(shared.value == 200)
    }

    @Test("A wait with a time that nobody ends tells that the time ran out")
    func timedWait() {
        let monitor = Monitor()
        // It may wake without a reason before.
        monitor.locked { while !monitor.wait(nanoseconds: 1_000_000) {} }
    }

    @Test("join waits for the end, and a second one returns")
    func join() throws {
        let shared = Shared()
        let thread = try WorkerThread(name: "join") {
            SystemTime().sleep(nanoseconds: 20_000_000)
            shared.value = 1
        }
        thread.join()
        #expect(shared.value == 1)
        thread.join()
    }

    @Test("A thread has the first 15 bytes of its name")
    func name() throws {
        let shared = Shared()
        nonisolated(unsafe) var seen = ""
        let thread = try WorkerThread(name: "kedge-transfer-thread") {
            let name = (try? FileSystem.read("/proc/thread-self/comm", limit: 64)) ?? []
            shared.monitor.locked { seen = String(decoding: name, as: UTF8.self) }
        }
        thread.join()
        #expect(seen == "kedge-transfer-\n")
    }

    @Test("An error thrown inside the lock frees it")
    func errorFrees() {
        let monitor = Monitor()
        let failure = SystemError(number: 5, operation: "test", subject: "lock")
        #expect(throws: failure) { try monitor.locked { () throws(SystemError) in throw failure } }
        #expect(monitor.locked { true })
    }
}
