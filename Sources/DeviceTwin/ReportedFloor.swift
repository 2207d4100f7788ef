internal import BootControl
internal import Floors
internal import Platform
public import StrictJSON
public import UpdateEngine

/// The floor as reports give it.
public enum ReportedFloor {
    /// Every place's floor, and the one in force.
    public static func json(_ status: EngineStatus) -> JSONValue {
        .members([
            ("floor", .integer(Int64(status.floor))), ("record", .integer(Int64(status.record.floor))),
            ("root", .integer(Int64(status.floors.root))), ("store", store(status.floors)),
        ])
    }

    /// The store besides the boot record; null where there is none.
    static func store(_ floors: FloorStatus) -> JSONValue {
        guard let kind = floors.store else { return .null }
        return .members([
            ("kind", .string(kind.rawValue)), ("floor", floors.stored.map { .integer(Int64($0)) } ?? .null),
            ("problem", floors.failure.map { ReportedDocument.failure($0) } ?? .null),
        ])
    }
}
