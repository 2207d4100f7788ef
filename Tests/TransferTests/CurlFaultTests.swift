import Platform
import TestSupport
import Testing

@testable import Transfer

@Suite("Every call into libcurl fails once", .needsHostileServer, .serialized, .timeLimit(.minutes(2)))
struct CurlFaultTests {
    /// Reads with call number `call` failing; what came, and whether that call was reached.
    private func reading(failing call: Int, _ scenario: String) throws -> (Reading, Bool) {
        let (url, _) = try HostileServer.url(scenario)
        var reading = Reading()
        let hit = try CurlFaults.shared.failing(call: call) { () throws in
            do throws(TransferError) {
                let source = try HTTPSource(HTTPAddress(url), options: .quick, time: SkippingTime())
                source.announce(150_000..<290_000)
                reading = Reading.of(source, 1000..<150_000)
                if reading.error == nil {
                    let rest = Reading.of(source, 150_000..<290_000)
                    reading.bytes += rest.bytes
                    reading.error = rest.error
                }
            } catch {
                reading.error = error
            }
        }
        return (reading, hit)
    }

    @Test(
        "A read comes out whole or with one clear code, and nothing is delivered twice or out of order",
        arguments: ["plain", "cut/50000"])
    func everyCall(scenario: String) throws {
        var call = 0
        var misses = 0
        var codes: Set<String> = []
        // How often libcurl waits for the network differs from run to run: the end is where no call is left in a row.
        while misses < 3 {
            call += 1
            let (reading, hit) = try reading(failing: call, scenario)
            misses = hit ? 0 : misses + 1
            let wanted = ServedObject.bytes[1000..<290_000]
            if let error = reading.error {
                codes.insert(error.code)
                #expect(reading.bytes.elementsEqual(wanted.prefix(reading.bytes.count)), "call \(call)")
                #expect(["transfer.library", "transfer.location"].contains(error.code), "call \(call): \(error.code)")
                #expect(hit, "call \(call) failed although no fault was made")
            } else {
                #expect(reading.bytes.elementsEqual(wanted), "call \(call)")
            }
            try #require(call < 5000, "the read never came to its end without a fault")
        }
        // Address, handles, options, headers, multi interface: the seam covers all of it.
        #expect(call > 40, "only \(call) calls")
        #expect(codes == ["transfer.library", "transfer.location"])
        try OutcomeTable.transfers.add([
            "every libcurl call fails once (\(scenario))", "whole, or one code", codes.sorted().joined(separator: " "),
            "0", "\(call - misses) calls",
        ])
    }
}
