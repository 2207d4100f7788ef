internal import BundleFormat
internal import Platform

/// One window on its way through the pool: the memory that it needs and, in the end, what came out.
final class EncodingSlot: @unchecked Sendable {
    /// What a worker found.
    enum Outcome: Sendable {
        case zero
        /// A window with this digest is already in the payload.
        case known(Digest)
        /// The plain bytes themselves are to be stored.
        case stored(Digest)
        /// `length` bytes of `packed` are to be stored.
        case zstd(plain: Digest, stored: Digest, length: Int)
        case failed(PackagingError)
    }

    let plain: AlignedBuffer
    let packed: AlignedBuffer
    /// Plain bytes of the window.
    var count = 0
    var outcome: Outcome?

    init() throws(SystemError) {
        plain = try AlignedBuffer(capacity: BundleLimits.window)
        packed = try AlignedBuffer(capacity: BundleLimits.window)
    }
}

/// Worker threads that digest and compress windows. Results are taken in the order of submission, so the number of
/// threads changes the speed and never the bytes.
///
/// A slot belongs to the pool from `submit` to the end of `outcome(of:)`, and to the caller otherwise.
final class EncodingPool: @unchecked Sendable {
    private let monitor = Monitor()
    private var queue: [EncodingSlot] = []
    private var known: Set<Digest> = []
    private var stopping = false
    private var workers: [WorkerThread] = []

    init(jobs: Int, level: Int) throws {
        for number in 0..<jobs {
            let compressor = SendableCompressor(try WindowCompressor(level: level))
            do {
                workers.append(try WorkerThread(name: "encode-\(number)") { self.work(compressor.value) })
            } catch {
                stop()
                throw error
            }
        }
    }

    /// Hands a filled slot over.
    func submit(_ slot: EncodingSlot) {
        monitor.locked {
            slot.outcome = nil
            queue.append(slot)
            monitor.signal()
        }
    }

    /// Waits for a submitted slot.
    func outcome(of slot: EncodingSlot) -> EncodingSlot.Outcome {
        monitor.locked {
            while true {
                if let outcome = slot.outcome { return outcome }
                monitor.wait()
            }
        }
    }

    /// Tells the workers that the payload has this window, so that no one compresses it again.
    func learn(_ digest: Digest) { monitor.locked { _ = known.insert(digest) } }

    /// Ends and joins the workers; what is still queued is dropped.
    func stop() {
        monitor.locked {
            stopping = true
            queue.removeAll()
            monitor.signal()
        }
        for worker in workers { worker.join() }
        workers.removeAll()
    }

    private func work(_ compressor: WindowCompressor) {
        while let slot = next() {
            let outcome = encode(slot, compressor)
            monitor.locked {
                slot.outcome = outcome
                monitor.signal()
            }
        }
    }

    private func next() -> EncodingSlot? {
        monitor.locked {
            while !stopping {
                if !queue.isEmpty { return queue.removeFirst() }
                monitor.wait()
            }
            return nil
        }
    }

    private func encode(_ slot: EncodingSlot, _ compressor: WindowCompressor) -> EncodingSlot.Outcome {
        let buffer = slot.plain
        let packed = slot.packed
        let bytes = buffer.bytes.extracting(0..<slot.count)
        if buffer.consists(of: 0, count: slot.count) { return .zero }
        let plain = SHA256.digest(of: bytes)
        if monitor.locked({ known.contains(plain) }) { return .known(plain) }
        do throws(PackagingError) {
            guard let length = try compressor.compress(buffer, count: slot.count, into: packed) else {
                return .stored(plain)
            }
            let stored = SHA256.digest(of: packed.bytes.extracting(0..<length))
            return .zstd(plain: plain, stored: stored, length: length)
        } catch {
            return .failed(error)
        }
    }
}

/// Carries a compressor to the one thread that uses it.
private struct SendableCompressor: @unchecked Sendable {
    let value: WindowCompressor
    init(_ value: WindowCompressor) { self.value = value }
}
