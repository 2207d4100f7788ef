public import StrictJSON

extension FormCounters {
    /// As it stands in the journal and in reports.
    public var json: JSONValue {
        var members: [(String, JSONValue)] = FormKind.allCases.map { form in
            let counts = self[form]
            return (
                form.name,
                .members([
                    ("fetched", .integer(Int64(clamping: counts.fetched))),
                    ("reused", .integer(Int64(clamping: counts.reused))),
                    ("written", .integer(Int64(clamping: counts.written))),
                ])
            )
        }
        let fallback: [(String, JSONValue)] = [
            ("windows", .integer(Int64(clamping: fallbackWindows))),
            ("bytes", .integer(Int64(clamping: fallbackBytes))),
        ]
        members.append(("fallback", .members(fallback)))
        return .members(members)
    }

    /// All zero where an older journal has none.
    init(_ reader: JSONObjectReader?) throws(JSONError) {
        self.init()
        guard var reader else { return }
        for form in FormKind.allCases {
            var counts = try reader.object(form.name)
            self[form].fetched = UInt64(try counts.integer("fetched", in: 0...Int64.max))
            self[form].reused = UInt64(try counts.integer("reused", in: 0...Int64.max))
            self[form].written = UInt64(try counts.integer("written", in: 0...Int64.max))
            try counts.finish()
        }
        var fallback = try reader.object("fallback")
        fallbackWindows = UInt64(try fallback.integer("windows", in: 0...Int64.max))
        fallbackBytes = UInt64(try fallback.integer("bytes", in: 0...Int64.max))
        try fallback.finish()
        try reader.finish()
    }
}
