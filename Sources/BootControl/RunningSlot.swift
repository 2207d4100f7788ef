internal import Platform

/// Which slot set this system was started from, as the boot loader told the kernel.
public struct RunningSlot: Equatable, Sendable {
    public let slot: SlotSet
    /// The boot's own id, if the boot loader gave one (`kedge.boot=`).
    public let bootID: String?

    public init(slot: SlotSet, bootID: String? = nil) {
        self.slot = slot
        self.bootID = bootID
    }

    /// From a kernel command line: the words `kedge.slot=a|b` and `kedge.boot=ID`. Of several the last one counts,
    /// as for the kernel's own parameters; words are split and quotes are taken off as in the kernel's
    /// lib/cmdline.c (next_arg). Nil when the last `kedge.slot` is neither `a` nor `b`, or there is none.
    public init?(commandLine: String) {
        var slot: SlotSet?
        var bootID: String?
        for word in Self.words(of: Array(commandLine.utf8)) {
            guard let (name, value) = Self.parts(of: word) else { continue }
            switch name {
            case "kedge.slot": slot = SlotSet(letter: value)
            case "kedge.boot": bootID = BootRecord.accepts(attempt: value) && !value.isEmpty ? value : nil
            default: continue
            }
        }
        guard let slot else { return nil }
        self.init(slot: slot, bootID: bootID)
    }

    /// Reads the command line from a file, usually /proc/cmdline.
    public static func read(_ path: String = "/proc/cmdline") throws(BootError) -> RunningSlot {
        let bytes: [UInt8]
        // COMMAND_LINE_SIZE is 4096 at most on every Linux architecture.
        do { bytes = try FileSystem.read(path, limit: 65536) } catch { throw .system(home: path, error) }
        guard let running = RunningSlot(commandLine: String(decoding: bytes, as: UTF8.self)) else {
            throw .noRunningSlot(home: path)
        }
        return running
    }

    /// Words between white space; white space inside double quotes belongs to the word.
    private static func words(of text: [UInt8]) -> [[UInt8]] {
        var words: [[UInt8]] = []
        var word: [UInt8] = []
        var quoted = false
        for byte in text {
            if byte == 0x22 { quoted.toggle() }
            if !quoted && (byte == 0x20 || (0x09...0x0d).contains(byte)) {
                if !word.isEmpty { words.append(word) }
                word = []
            } else {
                word.append(byte)
            }
        }
        if !word.isEmpty { words.append(word) }
        return words
    }

    /// Name and value without the quotes around the word or around the value.
    private static func parts(of word: [UInt8]) -> (String, String)? {
        var word = word[...]
        if word.first == 0x22 {
            word = word.dropFirst()
            if word.last == 0x22 { word = word.dropLast() }
        }
        guard let equals = word.firstIndex(of: 0x3d) else { return nil }
        var value = word[(equals + 1)...]
        if value.first == 0x22 {
            value = value.dropFirst()
            if value.last == 0x22 { value = value.dropLast() }
        }
        return (String(decoding: word[..<equals], as: UTF8.self), String(decoding: value, as: UTF8.self))
    }
}
