#!/usr/bin/env python3
"""Writes delta-table.bin and block-index.bin from the description of the format (BundleFormat.md), without Kedge code.

The image has 3 windows of 8192 bytes and one of 100: the second is zero. XXH3 needs the package xxhash.
"""
import hashlib
import struct
from pathlib import Path

import xxhash

HERE = Path(__file__).parent


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def signed(value):
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


def sha(data):
    return hashlib.sha256(data).digest()


size, base, window = 3 * 8192 + 100, 20000, 8192

def build():
    table = struct.pack("<4sHHQQ32sIIIIQ", b"KDLT", 1, 0, size, base, sha(b"base"), window, 4, 2, 0, 1000)
    # Group 0: windows 0 (copy 7892 from 12000, residual 300) and 1 (zero); residual coded with two references.
    table += bytes([3]) + varint(2) + varint(300) + varint(40) + sha(b"group 0") + varint(2)
    table += signed(4096) + varint(1000) + signed(-5000) + varint(96)
    table += varint(2) + varint(7892 * 2 + 1) + signed(12000) + varint(300 * 2)
    table += varint(0)
    # Group 1: windows 2 (copy of the image's own first window) and 3 (stored residual of 100 bytes).
    table += bytes([1]) + varint(2) + varint(100) + varint(100) + sha(b"group 1") + varint(0)
    table += varint(1) + varint(8192 * 2 + 1) + signed(base + 0 - (12000 + 7892))
    table += varint(1) + varint(100 * 2)
    return table


def index():
    blocks = [[1000, 4096], [0, 17], [100]]
    texts = [[b"a" * 4096, b"b" * 4096], [bytes(4096), b"c" * 4096], [b"d" * 100]]
    out = struct.pack("<4sHHQIIQ", b"KBLK", 1, 12, size, window, 0, 5000)
    for number in range(3):
        out += sha(b"page %d" % number)
    for lengths in blocks:
        for length in lengths:
            out += struct.pack("<H", length)
    for window_texts in texts:
        for text in window_texts:
            out += struct.pack("<Q", xxhash.xxh3_64_intdigest(text))
    return out


(HERE / "delta-table.bin").write_bytes(build())
(HERE / "block-index.bin").write_bytes(index())
