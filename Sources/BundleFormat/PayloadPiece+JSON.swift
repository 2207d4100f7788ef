internal import StrictJSON

extension PayloadPiece {
    var json: JSONValue {
        .members([
            ("offset", .integer(Int64(clamping: offset))), ("length", .integer(Int64(length))),
            ("sha256", .string(digest.hex)), ("plain", .integer(Int64(plainLength))),
        ])
    }

    static func decode(_ reader: JSONObjectReader) throws(JSONError) -> PayloadPiece {
        var reader = reader
        let piece = PayloadPiece(
            offset: UInt64(try reader.integer("offset", in: 0...Int64(BundleLimits.bundle))),
            length: Int(try reader.integer("length", in: 1...Int64(BundleLimits.piece))),
            digest: try reader.digest("sha256"),
            plainLength: Int(try reader.integer("plain", in: 1...Int64(BundleLimits.plainPiece))))
        try reader.finish()
        return piece
    }
}

extension DeltaForm {
    var json: JSONValue {
        .members([
            (
                "base",
                .members([("sha256", .string(base.digest.hex)), ("size", .integer(Int64(clamping: base.size)))])
            ),
            ("table", table.json), ("payload", .integer(Int64(clamping: payload))),
        ])
    }

    static func decode(_ reader: JSONObjectReader) throws(JSONError) -> DeltaForm {
        var reader = reader
        var base = try reader.object("base")
        let digest = try base.digest("sha256")
        let size = UInt64(try base.integer("size", in: 1...Int64(BundleLimits.image)))
        try base.finish()
        let table = try PayloadPiece.decode(try reader.object("table"))
        let payload = UInt64(try reader.integer("payload", in: 0...Int64(BundleLimits.bundle)))
        try reader.finish()
        return DeltaForm(base: DeltaBase(digest: digest, size: size), table: table, payload: payload)
    }
}

extension SolidForm {
    var json: JSONValue { .members([("table", table.json), ("payload", .integer(Int64(clamping: payload)))]) }

    static func decode(_ reader: JSONObjectReader) throws(JSONError) -> SolidForm {
        var reader = reader
        let table = try PayloadPiece.decode(try reader.object("table"))
        let payload = UInt64(try reader.integer("payload", in: 0...Int64(BundleLimits.bundle)))
        try reader.finish()
        return SolidForm(table: table, payload: payload)
    }
}

extension BlocksForm {
    var json: JSONValue { .members([("index", index.json), ("payload", .integer(Int64(clamping: payload)))]) }

    static func decode(_ reader: JSONObjectReader) throws(JSONError) -> BlocksForm {
        var reader = reader
        let index = try PayloadPiece.decode(try reader.object("index"))
        let payload = UInt64(try reader.integer("payload", in: 0...Int64(BundleLimits.bundle)))
        try reader.finish()
        return BlocksForm(index: index, payload: payload)
    }
}

extension Component {
    /// The optional members that tell of other forms of the image.
    var formMembers: [(String, JSONValue)] {
        var members: [(String, JSONValue)] = []
        if !deltas.isEmpty { members.append(("deltas", .array(deltas.map { $0.json }))) }
        if let solid { members.append(("solid", solid.json)) }
        if let blocks { members.append(("blocks", blocks.json)) }
        return members
    }

    /// Takes `deltas`; no two are made from the same base.
    static func decodeDeltas(_ reader: inout JSONObjectReader) throws(JSONError) -> [DeltaForm] {
        var deltas: [DeltaForm] = []
        for (index, value) in try reader.optionalArray("deltas", most: BundleLimits.deltas).enumerated() {
            let place = reader.path("deltas[\(index)]")
            let delta = try DeltaForm.decode(try JSONObjectReader(value, at: place))
            for other in deltas where other.base.digest == delta.base.digest {
                throw JSONError(.duplicate, at: place, "the base is another delta's")
            }
            deltas.append(delta)
        }
        return deltas
    }

    /// Every piece that the component names lies within the payload.
    func checkForms(payloadLength: UInt64) throws(JSONError) {
        for (table, payload) in forms
        where table.offset > payloadLength || UInt64(table.length) > payloadLength - table.offset
            || payload > payloadLength
        {
            throw JSONError(.outOfBounds, at: "manifest.components", "a form of \(id) is behind the payload")
        }
    }

    private var forms: [(table: PayloadPiece, payload: UInt64)] {
        var all = deltas.map { (table: $0.table, payload: $0.payload) }
        if let solid { all.append((table: solid.table, payload: solid.payload)) }
        if let blocks { all.append((table: blocks.index, payload: blocks.payload)) }
        return all
    }
}
