# Kedge's boot script for U-Boot: two slot sets, a try counter only during a trial, falls back by itself.
#
# Compile it:  mkimage -A x86 -T script -C none -d boot.cmd boot.scr      (-A arm64 or arm on ARM)
# and put boot.scr where distro boot finds it (first partition, FAT or ext4), or source it from your own bootcmd.
#
# The boot record is kept in two blocks, the partitions kedge-env-1 and kedge-env-2, each in the form of
# "env export -c": CRC-32, then variables. kedge_turn counts 0 1 2 0 1 2 ...: the block whose turn follows the
# other's is the newer one, and only the other one is ever written. A block whose CRC is wrong (torn by a power cut)
# or that lacks what is decided by here is no block: the other one counts, and the next write repairs it. The rule is
# BootLoaderModel of Kedge, whose tests run this script on every record.
#
# Only Kedge's own ten variables are ever taken from the medium: who can write there cannot change a command.
# Needs neither setexpr nor saveenv. It never comes back to a prompt: what cannot be started ends in a reset.

# --- the board: everything may be set before this script runs ---------------------------------------------------
test -n "${kedge_if}" || setenv kedge_if "${devtype}"
test -n "${kedge_dev}" || setenv kedge_dev "${devnum}"
# Bytes and 512-byte sectors of one block, hexadecimal, and scratch memory for it.
test -n "${kedge_size}" || setenv kedge_size 0x4000
test -n "${kedge_sectors}" || setenv kedge_sectors 0x20
test -n "${kedge_scratch}" || setenv kedge_scratch ${kernel_addr_r}
# First sectors of the two blocks.
test -n "${kedge_block_1}" || part start ${kedge_if} ${kedge_dev} kedge-env-1 kedge_block_1
test -n "${kedge_block_2}" || part start ${kedge_if} ${kedge_dev} kedge-env-2 kedge_block_2
# The kernel's arguments, and where it is in the partition kernel-a or kernel-b. An initrd may be missing.
test -n "${kedge_args}" || setenv kedge_args "console=ttyS0 rootwait ro panic=5"
test -n "${kedge_kernel}" || setenv kedge_kernel vmlinuz
test -n "${kedge_initrd}" || setenv kedge_initrd initrd.img
# The slot set that starts when no block is whole; when it cannot be loaded, the other one.
test -n "${kedge_default}" || setenv kedge_default a
# How a kernel is started, with an initrd and without one.
if test -z "${kedge_start}"; then
  if test "${arch}" = "x86"; then
    # Linux unpacks itself over the usual place.
    setenv ramdisk_addr_r 0x10000000
    setenv kedge_start 'zboot ${kernel_addr_r} 0 ${ramdisk_addr_r} ${filesize}'
    setenv kedge_start_plain 'zboot ${kernel_addr_r}'
  else
    test -n "${kedge_fdt}" || setenv kedge_fdt ${fdtcontroladdr}
    setenv kedge_start 'booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${kedge_fdt}'
    setenv kedge_start_plain 'booti ${kernel_addr_r} - ${kedge_fdt}'
  fi
fi

# --- reading ----------------------------------------------------------------------------------------------------
setenv kedge_known 'kedge_turn kedge_active kedge_phase kedge_tries kedge_user_boots kedge_reason kedge_a_state kedge_b_state kedge_attempt kedge_data'
# Takes the block at sector kedge_from; kedge_ok is 1 when it can be decided by. A missing variable is deleted here.
setenv kedge_take 'setenv kedge_ok; if ${kedge_if} read ${kedge_scratch} ${kedge_from} ${kedge_sectors}; then if env import -c -d ${kedge_scratch} ${kedge_size} ${kedge_known}; then run kedge_check; fi; fi'
setenv kedge_check 'if test -n "${kedge_data}"; then if test "${kedge_turn}" = 0 -o "${kedge_turn}" = 1 -o "${kedge_turn}" = 2; then if test "${kedge_active}" = a -o "${kedge_active}" = b; then setenv kedge_ok 1; fi; fi; fi'
setenv kedge_next 'if test "${kedge_turn}" = 0; then setenv kedge_turn 1; elif test "${kedge_turn}" = 1; then setenv kedge_turn 2; else setenv kedge_turn 0; fi'

${kedge_if} dev ${kedge_dev}
setenv kedge_from ${kedge_block_1}
run kedge_take
setenv kedge_ok_1 ${kedge_ok}
setenv kedge_turn_1 ${kedge_turn}
run kedge_next
setenv kedge_follows_1 ${kedge_turn}
setenv kedge_from ${kedge_block_2}
run kedge_take
# kedge_to is the block that is written if there is something to write: the older or the damaged one.
setenv kedge_to ${kedge_block_1}
if test -n "${kedge_ok}"; then
  if test -n "${kedge_ok_1}"; then
    if test "${kedge_turn}" != "${kedge_follows_1}"; then
      setenv kedge_from ${kedge_block_1}
      run kedge_take
      setenv kedge_to ${kedge_block_2}
    fi
  fi
elif test -n "${kedge_ok_1}"; then
  setenv kedge_from ${kedge_block_1}
  run kedge_take
  setenv kedge_to ${kedge_block_2}
fi

# --- deciding ---------------------------------------------------------------------------------------------------
# kedge_slot is what is started, kedge_former what comes when that cannot be loaded, kedge_write whether to count.
setenv kedge_write
setenv kedge_former
setenv kedge_trial
if test -z "${kedge_ok}"; then
  echo "KEDGE: no whole boot record, starting the default"
  setenv kedge_slot ${kedge_default}
  setenv kedge_phase lost
else
  setenv kedge_slot ${kedge_active}
fi
if test "${kedge_slot}" = a; then setenv kedge_other b; else setenv kedge_other a; fi
if test "${kedge_phase}" = lost; then
  setenv kedge_former ${kedge_other}
elif test "${kedge_phase}" = trial; then
  setenv kedge_write 1
  setenv kedge_trial 1
  if test "${kedge_tries}" = 1; then setenv kedge_tries 0
  elif test "${kedge_tries}" = 2; then setenv kedge_tries 1
  elif test "${kedge_tries}" = 3; then setenv kedge_tries 2
  elif test "${kedge_tries}" = 4; then setenv kedge_tries 3
  elif test "${kedge_tries}" = 5; then setenv kedge_tries 4
  elif test "${kedge_tries}" = 6; then setenv kedge_tries 5
  elif test "${kedge_tries}" = 7; then setenv kedge_tries 6
  elif test "${kedge_tries}" = 8; then setenv kedge_tries 7
  elif test "${kedge_tries}" = 9; then setenv kedge_tries 8
  else
    setenv kedge_trial
    setenv kedge_slot ${kedge_other}
    setenv kedge_active ${kedge_other}
    setenv kedge_phase fell-back
    if test "${kedge_user_boots}" = 0; then setenv kedge_reason boot-failed; else setenv kedge_reason not-confirmed; fi
    if test "${kedge_slot}" = a; then setenv kedge_b_state bad; else setenv kedge_a_state bad; fi
  fi
elif test "${kedge_slot}" = a; then
  if test "${kedge_b_state}" = good; then setenv kedge_former b; fi
else
  if test "${kedge_a_state}" = good; then setenv kedge_former a; fi
fi

# --- writing, before anything starts ----------------------------------------------------------------------------
if test -n "${kedge_write}"; then
  run kedge_next
  setenv kedge_wrote
  if env export -c -s ${kedge_size} ${kedge_scratch} ${kedge_known}; then
    if ${kedge_if} write ${kedge_scratch} ${kedge_to} ${kedge_sectors}; then setenv kedge_wrote 1; fi
  fi
  if test -z "${kedge_wrote}"; then
    echo "KEDGE: the boot record cannot be written, so nothing is tried"
    if test -n "${kedge_trial}"; then
      setenv kedge_trial
      setenv kedge_slot ${kedge_other}
    fi
  fi
fi
echo "KEDGE: slot=${kedge_slot} phase=${kedge_phase} tries=${kedge_tries} wrote=${kedge_wrote} former=${kedge_former}"

# --- starting ---------------------------------------------------------------------------------------------------
setenv kedge_words
if test -n "${kedge_trial}"; then setenv kedge_words "kedge.tries=${kedge_tries} kedge.attempt=${kedge_attempt}"; fi
setenv kedge_boot 'part number ${kedge_if} ${kedge_dev} kernel-${kedge_slot} kedge_part; setenv bootargs "${kedge_args} root=PARTLABEL=rootfs-${kedge_slot} kedge.slot=${kedge_slot} ${kedge_words}"; if load ${kedge_if} ${kedge_dev}:${kedge_part} ${kernel_addr_r} ${kedge_kernel}; then if load ${kedge_if} ${kedge_dev}:${kedge_part} ${ramdisk_addr_r} ${kedge_initrd}; then run kedge_start; else run kedge_start_plain; fi; fi'
if test -z "${kedge_dry}"; then
  run kedge_boot
  echo "KEDGE: slot set ${kedge_slot} cannot be loaded"
  if test -n "${kedge_former}"; then
    setenv kedge_slot ${kedge_former}
    run kedge_boot
    echo "KEDGE: slot set ${kedge_slot} cannot be loaded either"
  fi
  sleep 2
  reset
fi
