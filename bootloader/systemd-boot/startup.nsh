# /startup.nsh on the EFI system partition. When the kernel of an entry cannot be loaded, systemd-boot gives the
# machine back to the firmware, which goes on to its next boot option. Make a UEFI shell that option (or another
# program that resets): the machine then starts again, and systemd-boot counts one try less each time. Without one
# most firmware waits for a key, and a release without a kernel does not fall back.
reset
