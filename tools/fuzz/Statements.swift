import BundleFormat
import Platform
import StrictJSON
import Trust

/// Statements and their envelopes: what is accepted means the same after it was written again, and what nobody of the
/// role signed is never verified.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: start, count: count))
    check(OverrideStatement.self, input)
    check(ChannelStatement.self, input)
    return 0
}

private func check<Document: Statement>(_ type: Document.Type, _ input: [UInt8]) {
    if let (statement, envelope) = try? type.inspect(input) {
        let again = try? type.inspect(envelope.json.bytes)
        precondition(again?.statement == statement && again?.envelope == envelope, "an envelope changes when written")
    }
    if let statement = try? type.decode(input) {
        precondition((try? type.decode(statement.bytes)) == statement, "a statement changes when it is written")
    }
}
