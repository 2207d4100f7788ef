internal import BootControl
internal import BundleFormat

/// Where everything stands that a sample device keeps: numbered cells, each of which a write replaces as a whole, and
/// media, each of which a flush makes durable as a whole.
///
/// A cell of a slot is one window, that of the boot record one sector, that of the journal one of its two slots.
struct SampleLayout: Sendable {
    /// Windows of each component.
    let counts: [Int]
    /// The components' ids.
    let components: [Identifier]
    /// The slot that each goes to.
    let targets: [Identifier]
    /// Bytes of a window, by component.
    let windowSizes: [Int]
    /// Bytes that a slot has, by component.
    let capacities: [UInt64]
    /// Names of the components and slots of sample releases.
    static let sampleNames: [Identifier] = ["rootfs", "kernel"].compactMap { Identifier($0) }

    private let setSize: Int
    private let starts: [Int]

    /// Sample components of so many windows each.
    init(counts: [Int]) {
        self.init(
            components: counts.enumerated().map { number, count in
                SampleComponent(
                    id: Self.sampleNames[number], target: Self.sampleNames[number], count: count,
                    windowSize: SampleRelease.windowSize, capacity: UInt64(count * SampleRelease.windowSize))
            })
    }

    init(components: [SampleComponent]) {
        counts = components.map { $0.count }
        self.components = components.map { $0.id }
        targets = components.map { $0.target }
        windowSizes = components.map { $0.windowSize }
        capacities = components.map { $0.capacity }
        var starts: [Int] = []
        var next = 0
        for count in counts {
            starts.append(next)
            next += count + 1
        }
        self.starts = starts
        setSize = next
    }

    func window(_ set: SlotSet, _ component: Int, _ index: Int) -> Int {
        Int(set.rawValue) * setSize + starts[component] + index
    }
    /// The bytes behind the image.
    func tail(_ set: SlotSet, _ component: Int) -> Int { window(set, component, counts[component]) }
    func record(_ copy: Int) -> Int { 2 * setSize + copy }
    func journal(_ slot: Int) -> Int { 2 * setSize + 2 + slot }
    func head(_ set: SlotSet) -> Int { 2 * setSize + 4 + Int(set.rawValue) }
    var cancel: Int { 2 * setSize + 6 }
    var floor: Int { 2 * setSize + 7 }
    /// Used by seeded bugs only: a second truth.
    var extra: Int { 2 * setSize + 8 }
    var cellCount: Int { 2 * setSize + 9 }

    /// Slot windows and tails: explored by representatives where there are many.
    func isData(_ cell: Int) -> Bool { cell < 2 * setSize }
    /// Files of the device's data directory: journal, heads, requests.
    func isFile(_ cell: Int) -> Bool { cell >= journal(0) && cell <= cancel }
    /// Whether a power cut in the middle of a write leaves neither the old nor the new content.
    func canTear(_ cell: Int) -> Bool { cell < head(.a) }

    /// Bytes of a cell that is a window; nil for every other one.
    func windowSize(of cell: Int) -> Int? {
        guard isData(cell) else { return nil }
        let place = cell % setSize
        let component = starts.lastIndex { $0 <= place } ?? 0
        return place - starts[component] < counts[component] ? windowSizes[component] : nil
    }
    /// The medium of a cell.
    func medium(_ cell: Int) -> Int {
        if !isData(cell) { return cell < journal(0) ? 100 : cell < head(.a) ? 101 : 102 + cell }
        let set = cell / setSize
        let component = starts.lastIndex { $0 <= cell % setSize } ?? 0
        return set * 10 + component
    }

    /// A cell's name for people.
    func name(_ cell: Int) -> String {
        if isData(cell) {
            let set: SlotSet = cell < setSize ? .a : .b
            let place = cell % setSize
            let component = starts.lastIndex { $0 <= place } ?? 0
            let index = place - starts[component]
            let part = index == counts[component] ? "tail" : "window \(index)"
            return "\(components[component]) \(set.letter) \(part)"
        }
        switch cell {
        case record(0), record(1): return "boot record copy \(cell - record(0))"
        case journal(0), journal(1): return "journal slot \(cell - journal(0))"
        case head(.a), head(.b): return "kept head \(cell == head(.a) ? "a" : "b")"
        case cancel: return "cancel request"
        case floor: return "floor counter"
        default: return "second truth"
        }
    }
}

/// One pair of slots.
struct SampleComponent: Sendable {
    let id: Identifier
    let target: Identifier
    /// Windows of its largest image.
    let count: Int
    let windowSize: Int
    /// Bytes of a slot.
    let capacity: UInt64
}
