internal import CCurl
internal import Platform

/// Makes a call into libcurl. In debug builds a test can make the n-th call of its own thread fail, without being made,
/// with `failure` as its result; in release builds this is the call and nothing else.
@inline(__always)
func curl<Result>(_ failure: Result, _ call: () -> Result) -> Result {
    #if KEDGE_FAULTS
        if CurlFaults.shared.isDue() { return failure }
    #endif
    return call()
}

#if KEDGE_FAULTS
    /// Which call of which thread fails next.
    final class CurlFaults: @unchecked Sendable {
        static let shared = CurlFaults()

        private let monitor = Monitor()
        private var thread: UInt = 0
        private var left = 0
        private var hits = 0

        /// Runs `body` on this thread with its call number `call` (from 1) failing; whether that call was reached.
        func failing<E: Error>(call: Int, _ body: () throws(E) -> Void) throws(E) -> Bool {
            monitor.locked {
                thread = UInt(kedge_curl_thread())
                left = call
                hits = 0
            }
            defer { monitor.locked { thread = 0 } }
            try body()
            return monitor.locked { hits > 0 }
        }

        func isDue() -> Bool {
            monitor.locked {
                if thread != UInt(kedge_curl_thread()) { return false }
                left -= 1
                if left == 0 { hits += 1 }
                return left == 0
            }
        }
    }
#endif
