internal import BootControl

extension Gateway {
    /// The text of device.ini: all that `kedged` has to know of this machine.
    var deviceINIText: String {
        let who = description.identity
        var text = """
            ; Written by kedge gateway create for the gateway in this directory.
            [device]
            id = \(who.id)
            vendor = \(who.vendor)
            class = \(who.deviceClass)
            hardware = \(who.hardware)
            data = \(data)

            [trust]
            root = \(trustRoot)

            [boot]
            backend = \(description.boot.rawValue)

            """
        switch description.boot {
        case .simulated:
            text += "record = \(bootRecord)\n"
        case .uboot:
            let (first, second) = description.layout.environments
            text += "environment1 = \(disk) \(first.offset) \(first.size)\n"
            text += "environment2 = \(disk) \(second.offset) \(second.size)\n"
        }
        // kedge gateway boot is the reboot of this machine, so kedged must not reboot the host.
        text += "cmdline = \(commandLine)\ntries = 3\nreboot = none\n"
        for slot in slots { text += "\n" + Self.section(of: slot) }
        text += "\n[health]\ncommand = \(health)\ndeadline = 60\n"
        return text
    }

    private static func section(of slot: GatewaySlot) -> String {
        let head = "[slot \(slot.name) \(slot.set.letter)]\n"
        switch slot.medium {
        case .device(let path): return head + "type = block\npath = \(path)\n"
        case .region(let path, let offset, let size):
            return head + "type = block\npath = \(path)\noffset = \(offset)\nsize = \(size)\n"
        case .bank(let path, let offset, let size, let erase):
            return head + "type = flash\npath = \(path)\noffset = \(offset)\nsize = \(size)\nerase = \(erase)\n"
        case .store(let path): return head + "type = store\npath = \(path)\n"
        }
    }
}
