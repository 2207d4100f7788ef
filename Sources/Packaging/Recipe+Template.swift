internal import Platform

extension Recipe {
    /// A commented recipe to start from, with every key.
    public static let template = """
        # What this release's bundle is built from. Paths are relative to this file.
        #   kedge build recipe.toml -o release.kedge --key keys/release.key

        [release]
        id = "acme-edge-1.0.0"            # names the release in every report
        version = "1.0.0"                 # text for people
        sequence = 1                      # must rise with every release (against replay)
        security-version = 1              # raise it when older releases must never run again (against downgrade)
        update = "feature"                # or "security"
        # advisories = ["CVE-2026-0001"]  # what a security update answers
        # sbom = { path = "sbom.spdx.json", format = "spdx-json" }   # its digest is signed with the release
        # reboot = "automatic"            # or "manual": the device waits until somebody reboots it
        # health-deadline = 300           # seconds that the new release has to become healthy
        # minimum-updater = "0.1.0"       # oldest kedged that may install it
        # not-before = 2026-05-01T00:00:00Z
        # expires = 2027-05-01T00:00:00Z

        [product]
        vendor = "acme"
        class = "edge-gateway"
        hardware = [1, 1]                 # lowest and highest hardware revision that it runs on

        # One for every image. At least one; ids and targets must differ.
        [[component]]
        id = "rootfs"                     # 1 to 32 of a-z, 0-9 and -
        kind = "rootfs"                   # rootfs, kernel, bios or container
        path = "rootfs.ext4"              # a file or a block device
        # target = "rootfs"               # the slot it goes to, by default the id
        # version = "12.4"                # text for people
        # verity-root = ""                # dm-verity root hash, 64 lower-case hexadecimal digits
        # base = ["old.kedge"]            # releases that devices run now: they fetch only what differs
        # solid = true                    # a second, smaller form for devices that fetch all over a network
        # blocks = true                   # a third one for devices that run something else

        # [compression]
        # level = 19                      # zstd, 1 (fast) to 22 (small)

        # [meta]                          # free text, signed with the release
        # build = "1234"

        """

    /// Writes the template as `recipe.toml` into a directory, which is made when it is not there; the file must not
    /// exist. Returns its path.
    public static func writeTemplate(in directory: String) throws -> String {
        let path = directory == "." ? "recipe.toml" : "\(directory)/recipe.toml"
        try FileSystem.makeDirectories(directory)
        do throws(SystemError) {
            let file = try Descriptor(open: path, [.write, .create, .exclusive, .noFollow])
            try file.write(Array(template.utf8).rawBytes, at: 0)
            try file.flushAll()
        } catch {
            if error.number == SystemError.exists { throw PackagingError.output(path: path, why: "exists already") }
            throw error
        }
        return path
    }
}
