internal import BundleFormat
internal import Payload
internal import Platform

/// The record of what slot set a holds, as `kedged` keeps it while it writes (`WindowHints`): an update of a gateway
/// whose release no delta names then finds blocks in it.
struct FactoryHints {
    private let path: String
    private let windowSize: Int
    private var bytes: [UInt8]

    /// For a component; `data` is the data directory of `kedged`.
    init(_ data: String, _ component: Component) {
        path = data + "/" + WindowHints.fileName(component.target, "a")
        windowSize = component.windowSize
        bytes = WindowHints.header(windowSize: component.windowSize)
    }

    mutating func add(_ window: borrowing VerifiedWindow) {
        let hints = WindowHints(reading: window.buffer, count: window.length)
        let record = hints.encode(window: window.index, windowSize: windowSize)
        let place = Int(WindowHints.recordOffset(of: window.index, windowSize: windowSize))
        let missing = place + record.count - bytes.count
        if missing > 0 { bytes += [UInt8](repeating: 0, count: missing) }
        bytes.replaceSubrange(place..<(place + record.count), with: record)
    }

    /// Leaves the file in the data directory.
    func write() throws(SystemError) { try FileSystem.replace(path, with: bytes, mode: 0o600) }
}
