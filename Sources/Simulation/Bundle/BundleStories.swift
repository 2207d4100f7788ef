internal import BundleFormat
internal import DeviceService
internal import Packaging
internal import Payload
internal import Platform
internal import Signing
internal import Slots
internal import Trust
internal import UpdateEngine

/// One story of a simulation.
struct BundleStory: Sendable {
    let kind: SimulationScenario
    /// Whether it has the whole bundle, and is walked through, or windows of it, and is explored.
    let isWhole: Bool
    let scenario: SampleScenario
    var name: String { scenario.name }
}

/// Makes stories of somebody's own bundle and device: with the bundle as it is, and with a release of the same
/// components that has a few of the bundle's windows, small enough that every crash state of it can be visited.
struct BundleStories {
    /// The bundle as it is.
    let whole: SampleRelease
    /// What the device runs before.
    let base: SampleRelease
    let manifest: Manifest
    /// Windows of both, which are kept while the stories are used.
    let windows: WindowFile
    private let device: DeviceProfile
    private let trust: TrustStore
    private let seed: UInt64
    private let layout: SampleLayout

    /// Bytes of one piece of the network, for the whole bundle.
    private static let pieceSize = 1 << 18
    /// Windows that stand for all of the first component; the others get fewer.
    private static let representatives = 3

    /// Reads and verifies both bundles. Images go to a file without a name in TMPDIR. `progress` gets image bytes that
    /// are done and all.
    init(
        bundle: String, from former: String?, device: DeviceProfile, trust: TrustStore, seed: UInt64,
        progress: @escaping (UInt64, UInt64) -> Void
    ) throws {
        self.device = device
        self.trust = trust
        self.seed = seed
        windows = try WindowFile()
        var sizes: UInt64 = 0
        for path in [bundle, former].compactMap({ $0 }) {
            let manifest = try BundleExtractor.manifest(of: path, trust: trust).manifest
            sizes += manifest.components.reduce(0) { $0 + $1.size }
        }
        var done: UInt64 = 0
        let (manifest, whole) = try Self.load(bundle, trust, windows, done: &done, of: sizes, progress)
        self.manifest = manifest
        self.whole = whole
        if let former {
            let (present, release) = try Self.load(former, trust, windows, done: &done, of: sizes, progress)
            base = Self.arrange(release, of: present, as: manifest)
        } else {
            base = try Self.invented(before: manifest)
        }
        layout = try Self.layout(manifest, whole, base, device)
    }

    private static func load(
        _ path: String, _ trust: TrustStore, _ windows: WindowFile, done: inout UInt64, of total: UInt64,
        _ progress: @escaping (UInt64, UInt64) -> Void
    ) throws -> (Manifest, SampleRelease) {
        var all: [[WindowBytes]] = []
        var count = done
        let verified = try BundleExtractor.images(of: path, trust: trust) { component, each in
            var list: [WindowBytes] = []
            try each { window in
                list.append(try bytes(of: window, component.windowSize, windows))
                count += UInt64(window.length)
                progress(count, total)
            }
            all.append(list)
        }
        done = count
        let file = try BundleFile(path)
        let head = try file.read(0..<Int(clamping: verified.header.payloadOffset))
        let release = SampleRelease(
            verified.manifest.releaseID, .good, verified.manifest, digest: verified.digest, head: head,
            bundle: BundleBytes(file), windows: all)
        return (verified.manifest, release)
    }

    private static func bytes(
        of window: borrowing VerifiedWindow, _ size: Int, _ windows: WindowFile
    ) throws -> WindowBytes {
        let buffer = window.buffer
        if buffer.consists(of: 0, count: window.length) {
            return WindowBytes(.zeros(size), digest: SHA256.digest(of: [UInt8](repeating: 0, count: size)))
        }
        var bytes = [UInt8](copying: buffer.bytes.extracting(0..<window.length))
        bytes += [UInt8](repeating: 0, count: size - bytes.count)
        return try windows.add(bytes.rawBytes, digest: SHA256.digest(of: bytes))
    }

    /// The windows of the present release in the order of the next one's components.
    private static func arrange(_ release: SampleRelease, of present: Manifest, as next: Manifest) -> SampleRelease {
        let windows = next.components.map { component in
            present.components.firstIndex { $0.target == component.target && $0.windowSize == component.windowSize }
                .map { release.windows[$0] } ?? []
        }
        return SampleRelease(
            release.name, .good, present, digest: release.digest, head: release.head, bundle: release.bundle,
            windows: windows)
    }

    /// What a device may run whose release nobody named: one window a component, the release before in sequence.
    private static func invented(before manifest: Manifest) throws -> SampleRelease {
        let parts = manifest.components.enumerated().map { number, component in
            SampleRelease.Part(
                id: component.id, kind: component.kind, target: component.target,
                pieces: [SampleRelease.noise(SampleRelease.windowSize, seed: UInt64(number + 1))])
        }
        var terms = terms(of: manifest)
        terms.sequence = max(1, manifest.sequence) - 1
        let release = try SampleRelease("before-" + manifest.releaseID, .good, terms, parts, key: SimulationKey.make())
        let windows = zip(manifest.components, release.windows).map { component, list in
            list.map { window in
                let rest = [UInt8](repeating: 0, count: max(0, component.windowSize - SampleRelease.windowSize))
                return WindowBytes(window.bytes + rest)
            }
        }
        // Its head is signed by nobody that the device trusts, so it keeps none.
        return SampleRelease(
            release.name, sequence: release.sequence, securityVersion: release.securityVersion,
            digest: release.digest, windows: windows)
    }

    private static func terms(of manifest: Manifest) -> SampleRelease.Terms {
        SampleRelease.Terms(
            sequence: manifest.sequence, securityVersion: manifest.securityVersion, product: manifest.product,
            created: manifest.created, update: manifest.update, reboot: manifest.reboot,
            healthDeadline: manifest.healthDeadline)
    }

    private static func layout(
        _ manifest: Manifest, _ whole: SampleRelease, _ base: SampleRelease, _ device: DeviceProfile
    ) throws -> SampleLayout {
        SampleLayout(
            components: try manifest.components.enumerated().map { number, component in
                let slots = device.slots.filter { $0.target == component.target }
                guard !slots.isEmpty else { throw SlotError.missing(slot: component.target.text) }
                let capacity = slots.map { $0.capacity }.min() ?? .max
                return SampleComponent(
                    id: component.id, target: component.target,
                    count: max(whole.windows[number].count, base.windows[number].count),
                    windowSize: component.windowSize, capacity: capacity)
            })
    }

    /// What the device is, at the bundle's own time.
    private var terms: SampleDeviceTerms {
        SampleDeviceTerms(
            identity: device.identity, tries: device.tries, now: max(manifest.created, manifest.notBefore ?? 0),
            hasFloorCounter: device.keepsFloorBeside)
    }

    // MARK: stories

    /// The stories of a scenario.
    func stories(_ kind: SimulationScenario) throws -> [BundleStory] {
        switch kind {
        case .power: [try small(kind, "", []), full(kind, "")]
        case .network:
            [
                try small(kind, "", [], faults: .lies.union(.breaks)), full(kind, "", faults: .lies.union(.breaks)),
            ]
        case .badRelease:
            try [SampleBehaviour.unhealthy, .panics, .hangs].map { behaviour in
                try small(kind, " (\(behaviour.rawValue))", [behaviour])
            } + [full(kind, " (unhealthy)", .unhealthy)]
        case .fullDisk: [try small(kind, "", [], faults: .fullDisk), full(kind, "", faults: .fullDisk)]
        case .wear: [full(kind, "")]
        }
    }

    /// The whole bundle on the device, trusted by its own root.
    private func full(
        _ kind: SimulationScenario, _ more: String, _ behaviour: SampleBehaviour = .good,
        faults: SampleFaultKinds? = nil
    ) -> BundleStory {
        let release = SampleRelease(
            whole.name, behaviour, manifest, digest: whole.digest, head: whole.head, bundle: whole.bundle,
            windows: whole.windows)
        let scenario = SampleScenario(
            "\(kind.title)\(more), the whole bundle", base: base, stages: [release], layout: layout, trust: trust,
            device: terms, epochBytes: WritePace.device.flushBytes, pieceSize: Self.pieceSize,
            faults: faults == nil ? 0 : 1, faultKinds: faults ?? [], kills: faults == nil)
        return BundleStory(kind: kind, isWhole: true, scenario: scenario)
    }

    /// A release of the bundle's components with a few of its windows, signed by a key of the simulation; after those
    /// that do not work the same once more, as the next in sequence, which does.
    private func small(
        _ kind: SimulationScenario, _ more: String, _ before: [SampleBehaviour], faults: SampleFaultKinds? = nil
    ) throws -> BundleStory {
        let key = try SimulationKey.make()
        var behaviours = before + [.good]
        // What a fault ended must not stand in the way of the next release.
        if faults != nil { behaviours.append(.good) }
        let choice = representatives()
        var terms = Self.terms(of: manifest)
        var stages: [SampleRelease] = []
        for (number, behaviour) in behaviours.enumerated() {
            let name = number == 0 ? whole.name : "next-\(whole.name)"
            stages.append(try SampleRelease(name, behaviour, terms, parts(whole, choice, number), key: key))
            terms.sequence += 1
        }
        terms.sequence = base.sequence
        terms.securityVersion = base.securityVersion
        let present = try SampleRelease(base.name, .good, terms, parts(base, choice, 0), key: key)
        let layout = SampleLayout(
            components: manifest.components.enumerated().map { number, component in
                SampleComponent(
                    id: component.id, target: component.target, count: choice[number].count,
                    windowSize: SampleRelease.windowSize,
                    capacity: UInt64(choice[number].count * SampleRelease.windowSize))
            })
        let isFaulty = faults != nil
        let scenario = SampleScenario(
            "\(kind.title)\(more), \(choice.reduce(0) { $0 + $1.count }) windows", base: present, stages: stages,
            layout: layout, trust: try SimulationKey.trust(key), device: self.terms,
            epochBytes: 2 * SampleRelease.windowSize, pieceSize: SampleRelease.windowSize, faults: isFaulty ? 1 : 0,
            faultKinds: faults ?? [], kills: !isFaulty)
        return BundleStory(kind: kind, isWhole: false, scenario: scenario)
    }

    /// Window numbers that stand for all, by component: the first, one of zeros, the last, and what the seed picks.
    private func representatives() -> [[Int]] {
        var random = WalkRandom(seed: seed)
        return whole.windows.enumerated().map { number, windows in
            let most = number == 0 ? Self.representatives : 1
            var chosen: [Int] = windows.isEmpty ? [] : [0]
            if let zero = windows.firstIndex(where: { $0.isZero }), zero != 0 { chosen.append(zero) }
            if windows.count > 1 { chosen.append(windows.count - 1) }
            while chosen.count < min(most, windows.count) {
                let next = random.below(windows.count)
                if !chosen.contains(next) { chosen.append(next) }
            }
            return Array(Set(chosen.prefix(most))).sorted()
        }
    }

    /// The first bytes of the chosen windows. `number` changes one of them, so that a later release is another one.
    private func parts(_ release: SampleRelease, _ choice: [[Int]], _ number: Int) -> [SampleRelease.Part] {
        manifest.components.enumerated().map { index, component in
            let windows = release.windows[index]
            var pieces = choice[index].map { place -> [UInt8] in
                place < windows.count
                    ? Array(windows[place].bytes.prefix(SampleRelease.windowSize))
                    : SampleRelease.noise(SampleRelease.windowSize, seed: UInt64(place + 1))
            }
            if number > 0, let last = pieces.indices.last { pieces[last][0] ^= UInt8(truncatingIfNeeded: number) }
            return SampleRelease.Part(
                id: component.id, kind: component.kind, target: component.target,
                pieces: pieces.isEmpty ? [[UInt8](repeating: 1, count: SampleRelease.windowSize)] : pieces)
        }
    }
}

extension SlotConfiguration {
    /// Bytes that it takes; as many as wanted where neither the configuration nor a medium here says it.
    fileprivate var capacity: UInt64 {
        switch place {
        case .block(_, _, let size?): size
        case .block(let path, let offset, nil):
            (try? FileSystem.size(of: path)).map { $0 > offset ? $0 - offset : 0 } ?? .max
        case .flash(_, _, let size, _): size
        case .capsule, .store: .max
        }
    }
}
