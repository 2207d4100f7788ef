#!/usr/bin/env python3
"""Looks in a linked Embedded Swift program, before it is stripped, for what the compiler got wrong without a word.

    tools/check-embedded.py PROGRAM

Two things, both seen in kedged:
- a call of a generic function of a protocol's extension through `any Protocol`: Embedded Swift keeps no body for it, and
  the call ends the process (make it a requirement of the protocol, or a function that takes `any Protocol`);
- array literals as weak static objects: modules number them differently under the same names, and the linker keeps one
  (see the flags in Package.swift).
Exits 0 when there is none. Needs objdump and nm.
"""
import re
import subprocess
import sys


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def instructions(program):
    """Address -> (operation, operands, symbol), in order."""
    found, symbol = {}, "?"
    for line in output("objdump", "-d", "--no-show-raw-insn", program).splitlines():
        if head := re.match(r"^[0-9a-f]+ <(.+)>:$", line):
            symbol = head[1]
        elif code := re.match(r"^\s+([0-9a-f]+):\s+(\S+)\s*(.*)$", line):
            found[int(code[1], 16)] = (code[2], code[3], symbol)
    return found


def target(operands):
    """Where a direct call or jump goes, or None."""
    address = re.match(r"([0-9a-f]+)\b", operands)
    return int(address[1], 16) if address else None


def only_traps(address, code, place, order, depth=0):
    """Whether the function at `address` does nothing but trap, itself or by a jump to such a one."""
    start = place.get(address)
    if start is None or depth > 4:
        return False
    for step in order[start:start + 8]:
        operation, operands, _ = code[step]
        if operation == "ud2":
            return True
        if operation == "jmp":
            return only_traps(target(operands), code, place, order, depth + 1)
        if not (operands in ("%rbp", "%rsp,%rbp") or operation.startswith("nop")):
            return False
    return False


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    program = sys.argv[1]
    names = {}
    for line in output("nm", program).splitlines():
        words = line.split()
        if len(words) == 3:
            names.setdefault(int(words[0], 16), []).append(words[2])
    faults = [
        f"a static array under a shared name: {name}"
        for some in names.values() for name in some if re.search(r"Tv\d*_?r$", name)]
    code = instructions(program)
    order = list(code)
    place = {address: index for index, address in enumerate(order)}
    for operation, operands, symbol in code.values():
        if operation != "call" or not only_traps(target(operands), code, place, order):
            continue
        # The standard library's own traps ($es…) are meant; a module of Kedge has the length of its name behind $e.
        for name in names.get(target(operands), []):
            if re.match(r"\$e\d", name):
                faults.append(f"a call without a body: {symbol} may call {name}")
    if not code:
        sys.exit(f"tools/check-embedded.py: no code in {program}")
    for fault in sorted(set(faults)):
        print(fault, file=sys.stderr)
    print(f"{len(code)} instructions looked at, {len(set(faults))} faults of the compiler")
    sys.exit(1 if faults else 0)


main()
