public import StrictJSON

extension AttemptCost {
    /// As it stands in the journal and in reports.
    public var json: JSONValue {
        let times = Part.allCases.map { ($0.name, JSONValue.integer(Int64(clamping: self[$0]))) }
        return .members([
            ("flushes", .integer(Int64(clamping: flushes))), ("milliseconds", .members(times)),
            ("peakResidentKiB", .integer(Int64(clamping: peakResidentKiB))),
        ])
    }

    /// All zero where an older journal has none.
    init(_ reader: JSONObjectReader?) throws(JSONError) {
        self.init()
        guard var reader else { return }
        flushes = UInt64(try reader.integer("flushes", in: 0...Int64.max))
        peakResidentKiB = UInt64(try reader.integer("peakResidentKiB", in: 0...Int64.max))
        var times = try reader.object("milliseconds")
        for part in Part.allCases { self[part] = UInt64(try times.integer(part.name, in: 0...Int64.max)) }
        try times.finish()
        try reader.finish()
    }
}
