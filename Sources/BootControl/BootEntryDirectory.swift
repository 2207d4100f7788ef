internal import Platform

/// The directory with the entries of both slot sets, usually `loader/entries` of the EFI system partition.
///
/// Every change of what systemd-boot sees is one rename of a file that was made durable before.
struct BootEntryDirectory: Sendable {
    let path: String

    /// The two entries. Of several files for one slot set the one that systemd-boot would take counts: a power cut
    /// in a rename on FAT may leave both names.
    func read() throws(SystemError) -> [SlotSet: BootEntry] {
        var found: [SlotSet: BootEntry] = [:]
        for name in try FileSystem.list(path) {
            guard let (set, state) = BootEntry.parse(name) else { continue }
            let entry = BootEntry(set, state, version: try version(of: name))
            guard let present = found[set] else {
                found[set] = entry
                continue
            }
            if let first = SystemdBootModel.choose([present, entry])?.start { found[set] = first }
        }
        return found
    }

    /// The number behind `version` in the file; 0 when there is none.
    private func version(of name: String) throws(SystemError) -> UInt64 {
        for line in try lines(of: name) {
            let words = line.utf8.split { $0 == 0x20 || $0 == 0x09 }.map { String(decoding: $0, as: UTF8.self) }
            if words.count == 2, words[0] == "version", let number = UInt64(words[1]) { return number }
        }
        return 0
    }

    private func lines(of name: String) throws(SystemError) -> [String] {
        let text = try FileSystem.read(path + "/" + name, limit: 65536)
        return text.split(separator: 0x0a).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Gives a slot set's entry another state, and with it another version when `version` is not nil. Removes what
    /// else there is for this slot set. A slot set without any file is left alone.
    func set(_ set: SlotSet, _ state: BootEntry.State, version: UInt64?) throws(SystemError) {
        let names = try FileSystem.list(path).filter { BootEntry.parse($0)?.set == set }
        let wanted = BootEntry.fileName(set, state)
        guard let source = names.first(where: { $0 == wanted }) ?? names.first else { return }
        if let version {
            var text = ""
            for line in try lines(of: source) where !line.utf8.starts(with: "version".utf8) { text += line + "\n" }
            text += "version \(version)\n"
            try FileSystem.replace(path + "/" + wanted, with: Array(text.utf8))
        } else if source != wanted {
            try FileSystem.rename(path + "/" + source, to: path + "/" + wanted)
            try FileSystem.flushDirectory(path)
        }
        var removed = false
        for name in names where name != wanted && (version != nil || name != source) {
            try FileSystem.remove(path + "/" + name)
            removed = true
        }
        if removed { try FileSystem.flushDirectory(path) }
    }
}
