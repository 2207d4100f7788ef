import BundleFormat
import Platform

/// Delta tables: what is accepted is spelt in one way, its windows are filled, and its ranges are where bytes are.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: start, count: count))
    guard let table = try? DeltaTable.decode(input) else { return 0 }
    let plans = table.plans
    for (group, plan) in zip(table.groups, plans) {
        let limit = table.baseSize + table.plainOffset(of: group.windows.lowerBound)
        for range in plan.references { precondition(range.end <= limit, "a reference is out of bounds") }
        for (window, operations) in zip(group.windows, plan.windows) where !operations.isEmpty {
            var sum = 0
            for operation in operations {
                if case .copy(let range) = operation { precondition(range.end <= limit, "a copy is out of bounds") }
                sum += operation.length
            }
            precondition(sum == table.plainLength(of: window), "a window is not filled")
        }
    }
    let again = try? DeltaTable(
        imageSize: table.imageSize, base: table.base, windowSize: table.windowSize,
        payloadOffset: table.payloadOffset, groups: plans)
    precondition(again?.encode() == input, "the delta table has two spellings")
    return 0
}
