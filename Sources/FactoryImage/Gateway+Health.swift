internal import BootControl

extension Gateway {
    /// The health command of a simulated gateway. Nothing of the release runs on the host by itself, so the command
    /// takes the release's own check out of its root file system and runs that: each release decides what healthy
    /// means, as on a real machine.
    var healthText: String {
        var cases = ""
        for slot in slots where slot.name == "rootfs" {
            switch slot.medium {
            case .device(let path): cases += "\(slot.set.letter)) disk=\(path) offset=0 ;;\n"
            case .region(let path, let offset, _): cases += "\(slot.set.letter)) disk=\(path) offset=\(offset) ;;\n"
            case .bank, .store: continue
            }
        }
        return """
            #!/bin/sh
            # Written by kedge gateway create. kedged runs it after a trial boot; exit status 0 means healthy.
            # KEDGE_SLOT, KEDGE_RELEASE and KEDGE_ATTEMPT tell which slot runs, and for which release and attempt.
            set -u
            PATH=$PATH:/usr/sbin:/sbin
            case ${KEDGE_SLOT:-} in
            \(cases)*) echo "health: KEDGE_SLOT is '${KEDGE_SLOT:-}', must be a or b"; exit 2 ;;
            esac

            # The magic number of ext2, ext3 and ext4 is EF53h at byte 56 of the superblock at byte 1024.
            magic=$(od -An -tx1 -j $((offset + 1080)) -N 2 "$disk" | tr -d ' ')
            if [ "$magic" != 53ef ]; then
                echo "health: slot $KEDGE_SLOT has no ext4 file system, so no check to run"
                exit 0
            fi
            work=$(mktemp -d) || exit 2
            trap 'rm -rf "$work"' EXIT
            image="$disk?offset=$offset"
            [ "$offset" -ne 0 ] || image=$disk
            if ! debugfs -R 'stat /' "$image" 2>"$work/error" | grep -q 'Type: directory'; then
                echo "health: the file system of slot $KEDGE_SLOT cannot be read: $(tail -n 1 "$work/error")"
                exit 1
            fi
            debugfs -R "dump /usr/lib/kedge/health $work/check" "$image" >/dev/null 2>&1
            if [ ! -s "$work/check" ]; then
                echo "health: the release in slot $KEDGE_SLOT brings no check"
                exit 0
            fi
            sh "$work/check"

            """
    }
}
