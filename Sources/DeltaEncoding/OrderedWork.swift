internal import Platform

/// Runs numbered pieces of work on a few threads and takes the results in order, so that the number of threads changes
/// the speed and never the bytes. At most two results for each thread wait to be taken.
@safe final class OrderedWork<Output: Sendable>: @unchecked Sendable {
    private let monitor = Monitor()
    private let count: Int
    private let lookahead: Int
    private var next = 0
    private var taken = 0
    private var results: [Int: Output] = [:]
    private var stopping = false
    private var threads: [WorkerThread] = []

    init(count: Int, jobs: Int) {
        self.count = count
        lookahead = 2 * jobs
    }

    /// Makes a worker for each thread with `worker`, gives numbers to them, and calls `deliver` on this thread.
    func run(
        jobs: Int, _ worker: () -> @Sendable (Int) -> Output, deliver: (Int, Output) throws -> Void
    ) throws {
        defer { stop() }
        for job in 0..<min(jobs, max(count, 1)) {
            let body = worker()
            threads.append(
                try WorkerThread(name: "delta-\(job)") { [self] in
                    while let number = self.number() {
                        let output = body(number)
                        monitor.locked {
                            results[number] = output
                            monitor.signal()
                        }
                    }
                })
        }
        for number in 0..<count {
            let output: Output = monitor.locked {
                while true {
                    if let output = results.removeValue(forKey: number) { return output }
                    monitor.wait()
                }
            }
            try deliver(number, output)
            monitor.locked {
                taken = number + 1
                monitor.signal()
            }
        }
    }

    private func number() -> Int? {
        monitor.locked {
            while !stopping, next < count {
                if next < taken + lookahead {
                    next += 1
                    return next - 1
                }
                monitor.wait()
            }
            return nil
        }
    }

    private func stop() {
        monitor.locked {
            stopping = true
            monitor.signal()
        }
        for thread in threads { thread.join() }
        threads.removeAll()
    }
}
