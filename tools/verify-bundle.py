#!/usr/bin/env python3
"""Verifies a whole Kedge bundle: a second reader, written from the page BundleFormat.md and sharing no code with Kedge.

    tools/verify-bundle.py BUNDLE --root ROOT.JSON
    tools/verify-bundle.py STATEMENT --root ROOT.JSON

Exits 0 and prints one line when signatures, tables, every stored and plain digest, whole images, coverage of the
payload and the end marker hold, or the signatures and members of a statement; 4 with the reason on standard error when one does not; 2 for a wrong command line and
6 when a file cannot be read. Needs Python 3.9, `cryptography` (apt: python3-cryptography), and `zstandard` or the zstd
program. ML-DSA signatures need a `cryptography` that has them (47 and newer), or openssl 3.5, whose program is $OPENSSL
or openssl; without both they count for nothing.
"""
import argparse
import base64
import binascii
import hashlib
import functools
import json
import os
import re
import struct
import subprocess
import sys
import tempfile

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

HEADER = struct.Struct("<8sHHIIIQQQQQ")
MAGIC = b"\x8bKEDGE\r\n"
MANIFEST_TYPE = "application/vnd.kedge.manifest.v1+json"
ROOT_TYPE = "application/vnd.kedge.root.v1+json"
MOST_ENVELOPE, MOST_MANIFEST, MOST_TABLES, MOST_ROOT = 1 << 16, 1 << 20, 1 << 24, 1 << 17
MOST_BUNDLE, MOST_IMAGE, MOST_WINDOW, LEAST_WINDOW = 1 << 46, 1 << 44, 1 << 20, 4096
P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551
LATEST, U32 = 253402300799, (1 << 32) - 1
SMALL_ORDER = {
    "00" * 32, "01" + "00" * 31,
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ec" + "ff" * 30 + "7f", "ed" + "ff" * 30 + "7f", "ee" + "ff" * 30 + "7f",
}


class Refused(Exception):
    """A rule of the format that does not hold."""


def check(condition, why):
    if not condition:
        raise Refused(why)


def sha(data):
    return hashlib.sha256(data).digest()


# Documents


class Real:
    """A number with a fraction or exponent, which no known member takes."""


def real(text):
    check(abs(float(text)) != float("inf"), "a number is out of range")
    return Real()


def integer(text):
    check(len(text) < 24 and -(1 << 63) <= int(text) < 1 << 63, "a number is out of range")
    return int(text)


def constant(text):
    raise Refused(f"{text} is no JSON")


def pairs(members):
    out = {}
    for name, value in members:
        check(name not in out, f"the name {name!r} is there twice")
        out[name] = value
    return out


def check_value(value, depth=0):
    check(depth <= 32, "a document is nested too deep")
    if isinstance(value, str):
        check("\0" not in value, "a string has a zero character")
        value.encode()  # refuses lone surrogates
    elif isinstance(value, list):
        for element in value:
            check_value(element, depth + 1)
    elif isinstance(value, dict):
        for name, member in value.items():
            check_value(name, depth)
            check_value(member, depth + 1)


def parse(data, limit):
    check(len(data) <= limit, "a document is too large")
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=pairs, parse_int=integer, parse_float=real,
            parse_constant=constant)
        check_value(value)
    except (ValueError, RecursionError) as error:
        raise Refused(f"no JSON: {error}") from error
    return value


class Members:
    """Takes an object apart; what nobody asked for is an error at the end."""

    def __init__(self, value, place):
        check(isinstance(value, dict), f"{place} is no object")
        self.left, self.place = dict(value), place

    def take(self, name):
        check(name in self.left, f"{self.place}.{name} is missing")
        return self.left.pop(name)

    def optional(self, name, method, *arguments):
        return method(name, *arguments) if name in self.left else None

    def text(self, name, most):
        return text(self.take(name), most, f"{self.place}.{name}")

    def integer(self, name, least, most):
        return number(self.take(name), least, most, f"{self.place}.{name}")

    def digest(self, name):
        return digest(self.take(name), f"{self.place}.{name}")

    def array(self, name, least, most):
        value = self.take(name)
        check(isinstance(value, list) and least <= len(value) <= most, f"{self.place}.{name}")
        return value

    def members(self, name):
        return Members(self.take(name), f"{self.place}.{name}")

    def one_of(self, name, *known):
        value = self.take(name)
        check(isinstance(value, str) and value in known, f"{self.place}.{name}")
        return value

    def name(self, name):
        value = self.take(name)
        check(isinstance(value, str) and re.fullmatch("[a-z0-9-]{1,32}", value), f"{self.place}.{name}")
        return value

    def end(self):
        for name in self.left:
            check(name.startswith("x-"), f"{self.place}.{name} is not known")


def text(value, most, place):
    check(isinstance(value, str) and 1 <= len(value.encode()) <= most, place)
    check(not any(ord(letter) < 0x20 or ord(letter) == 0x7f for letter in value), place)
    return value


def number(value, least, most, place):
    check(type(value) is int and least <= value <= most, place)
    return value


def digest(value, place):
    check(isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value), place)
    return bytes.fromhex(value)


def base64_bytes(value, place):
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(f"{place} is no Base64") from error
    check(base64.b64encode(data).decode() == value, f"{place} is no canonical Base64")
    return data


# Trust


def pre_authentication(kind, payload):
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)


# By the number in bundles: name, bytes of a public key, what stands before it in DER (RFC 9881), bytes of a signature.
ML_DSA = {
    3: ("ML-DSA-65", 1952, bytes.fromhex("308207b2300b0609608648016503040312038207a100"), 3309),
    4: ("ML-DSA-87", 2592, bytes.fromhex("30820a32300b060960864801650304031303820a2100"), 4627),
}
OPENSSL = os.environ.get("OPENSSL", "openssl")


def read_key(key):
    """Algorithm and raw public key of an entry of a root document."""
    name = key.one_of("algorithm", "ed25519", "ecdsa-p256", "ml-dsa-65", "ml-dsa-87")
    if name == "ed25519":
        public = key.digest("public")  # 64 hexadecimal digits as well
        check((public[:31] + bytes([public[31] & 0x7f])).hex() not in SMALL_ORDER, "a key is of small order")
        return 1, public
    if name != "ecdsa-p256":
        number = 3 if name == "ml-dsa-65" else 4
        written = key.text("public", 5184)
        check(re.fullmatch("[0-9a-f]{%d}" % (2 * ML_DSA[number][1]), written), "a key has not its length")
        public = bytes.fromhex(written)
        check(any(public[32:]), "the t1 of a key is zero")
        return number, public
    written = key.text("public", 5184)
    check(re.fullmatch("04[0-9a-f]{128}", written), "a key is no uncompressed point of P-256")
    public = bytes.fromhex(written)
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    except ValueError as error:
        raise Refused("a key is not on the curve") from error
    return 2, public


@functools.lru_cache(maxsize=None)
def ml_dsa_library():
    """`cryptography`, `openssl`, or None where neither knows ML-DSA."""
    try:
        from cryptography.hazmat.primitives.asymmetric import mldsa
        mldsa.MLDSA65PublicKey.from_public_bytes(bytes(1952))
        return "cryptography"
    except Exception:  # an ImportError of an old version, UnsupportedAlgorithm of a new one with an old library
        pass
    try:
        known = subprocess.run([OPENSSL, "list", "-signature-algorithms"], capture_output=True, check=False).stdout
    except OSError:
        return None
    return "openssl" if b"ML-DSA-65" in known else None


def is_supported(algorithm):
    return algorithm not in ML_DSA or ml_dsa_library() is not None


def verify_ml_dsa(algorithm, public, signature, message):
    name, _, prefix, length = ML_DSA[algorithm]
    if len(signature) != length:
        raise ValueError(f"{name} signatures have {length} bytes")
    if ml_dsa_library() == "cryptography":
        from cryptography.hazmat.primitives.asymmetric import mldsa
        kind = mldsa.MLDSA65PublicKey if algorithm == 3 else mldsa.MLDSA87PublicKey
        kind.from_public_bytes(public).verify(signature, message)
        return
    with tempfile.TemporaryDirectory() as directory:
        names = [os.path.join(directory, part) for part in ("key", "message", "signature")]
        for path, data in zip(names, (prefix + public, message, signature)):
            with open(path, "wb") as file:
                file.write(data)
        done = subprocess.run(
            [OPENSSL, "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", names[0], "-in", names[1],
             "-sigfile", names[2]], capture_output=True, check=False)
    if done.returncode != 0:
        raise InvalidSignature


def verify_signature(algorithm, public, signature, message):
    """Raises InvalidSignature or ValueError when the signature is not the key's."""
    if algorithm in ML_DSA:
        verify_ml_dsa(algorithm, public, signature, message)
        return
    if algorithm == 1:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        return
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if len(signature) != 64 or not (0 < r < P256_ORDER and 0 < s <= P256_ORDER // 2):
        raise ValueError("not the one form of an ECDSA signature")
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))


class Root:
    """A root document; `keys` (algorithm, raw key) by id, `roles` as lists of groups (name, key ids, threshold)."""

    def __init__(self, document):
        top = Members(parse(document, MOST_ROOT), "root")
        top.one_of("type", "kedge.root")
        top.integer("format", 1, 1)
        top.integer("version", 1, U32)
        top.one_of("environment", "prod", "dev")
        top.integer("created", 0, LATEST)
        self.keys = {}
        for value in top.array("keys", 1, 64):
            key = Members(value, "key")
            algorithm, public = read_key(key)
            key.text("name", 64)
            key.end()
            identity = sha(bytes([algorithm]) + public)
            check(identity not in self.keys, "a key is listed twice")
            self.keys[identity] = (algorithm, public)
        roles = top.members("roles")
        self.revoked = self.digests(top, "revoked", 256)
        self.roles = {}
        for name in ("root", "release", "channel", "override"):
            if name in ("root", "release") or name in roles.left:
                self.roles[name] = self.role(roles.members(name))
        roles.end()
        self.denied = self.digests(top, "deniedReleases", 256)
        top.integer("floor", 0, U32)
        top.end()

    @staticmethod
    def digests(members, name, most):
        values = [digest(value, name) for value in members.array(name, 0, most)]
        check(len(set(values)) == len(values), f"{name} has an entry twice")
        return values

    def role(self, members):
        if "all" in members.left:
            groups = [self.group(Members(value, "group"), True) for value in members.array("all", 2, 8)]
            check(len({name for name, _, _ in groups}) == len(groups), "a role has a group twice")
        else:
            groups = [self.group(members, False)]
        members.end()
        ids = [identity for _, group, _ in groups for identity in group]
        check(len(ids) <= 64, "a role has too many keys")
        check(len(set(ids)) == len(ids), "a role names a key twice")
        return groups

    def group(self, members, named):
        name = members.name("name") if named else None
        ids = self.digests(members, "keys", 64)
        check(all(identity in self.keys for identity in ids), "a role names an unknown key")
        live = [identity for identity in ids if identity not in self.revoked]
        threshold = members.integer("threshold", 1, 64)
        check(threshold <= len(live), "a threshold is more than the role's keys")
        members.end()
        return name, ids, threshold

    def count(self, role, claims, message):
        """The distinct keys of the role with good signatures, or a refusal."""
        check(claims, "there is no signature")
        groups = self.roles[role]
        members = {identity for _, ids, _ in groups for identity in ids}
        signers = set()
        for algorithm, identity, signature in claims:
            if identity in self.revoked or identity not in members:
                continue
            kind, public = self.keys[identity]
            if algorithm not in (None, kind) or not is_supported(kind):
                continue
            try:
                verify_signature(kind, public, signature, message)
            except (InvalidSignature, ValueError) as error:
                raise Refused(f"the signature of {identity.hex()} is wrong") from error
            signers.add(identity)
        for name, ids, threshold in groups:
            present = len(signers.intersection(ids))
            place = f" in the group {name}" if name else ""
            check(present >= threshold, f"{present} of {threshold} {role} signatures{place}")
        return signers

    def check_supported(self):
        """A reader that cannot verify what the root asks for says so before it looks at anything else."""
        for role in ("root", "release"):
            for _, ids, threshold in self.roles[role]:
                usable = [
                    identity for identity in ids
                    if identity not in self.revoked and is_supported(self.keys[identity][0])]
                check(len(usable) >= threshold, "ML-DSA signatures are needed and cannot be verified here")


def read_root(data):
    file = Members(parse(data, MOST_ROOT), "root file")
    file.one_of("payloadType", ROOT_TYPE)
    document = base64_bytes(file.text("payload", MOST_ROOT), "the root document")
    claims = []
    for value in file.array("signatures", 0, 16):
        entry = Members(value, "signature")
        claims.append((None, entry.digest("keyid"), base64_bytes(entry.text("sig", 6172), "a signature")))
        entry.end()
    file.end()
    root = Root(document)
    root.check_supported()
    root.count("root", claims, pre_authentication(ROOT_TYPE, document))
    return root


def read_signatures(data):
    check(len(data) >= 2, "the signature section is cut off")
    (count,) = struct.unpack_from("<H", data)
    check(count <= 16, "there are too many signatures")
    claims, at = [], 2
    for _ in range(count):
        check(len(data) - at >= 36, "the signature section is cut off")
        algorithm, zero, length = struct.unpack_from("<BBH", data, at)
        check(zero == 0, "a reserved byte is not zero")
        identity, at = data[at + 4:at + 36], at + 36
        check(len(data) - at >= length, "the signature section is cut off")
        claims.append((algorithm, identity, data[at:at + length]))
        at += length
    check(at == len(data), "the signature section has bytes behind its end")
    return claims


# Manifest and tables


def read_component(value):
    component = Members(value, "component")
    out = {"id": component.name("id"), "target": component.name("target")}
    component.one_of("kind", "rootfs", "kernel", "bios", "container")
    component.optional("version", component.text, 64)
    out["size"] = component.integer("size", 1, MOST_IMAGE)
    out["sha256"] = component.digest("sha256")
    out["window"] = component.integer("window", LEAST_WINDOW, MOST_WINDOW)
    table = component.members("table")
    out["offset"] = table.integer("offset", 0, MOST_TABLES)
    out["length"] = table.integer("length", 1, MOST_TABLES)
    out["table"] = table.digest("sha256")
    table.end()
    component.optional("verity", component.digest)
    out["forms"] = read_forms(component)
    component.end()
    return out


def read_piece(members):
    piece = (
        members.integer("offset", 0, MOST_BUNDLE), members.integer("length", 1, 1 << 24), members.digest("sha256"),
        members.integer("plain", 1, 1 << 26))
    members.end()
    return piece


def read_forms(component):
    """Other forms as (kind, base, piece, payload)."""
    forms, bases = [], set()
    for value in component.optional("deltas", component.array, 0, 16) or []:
        delta = Members(value, "delta")
        base = delta.members("base")
        name = (base.digest("sha256"), base.integer("size", 1, MOST_IMAGE))
        base.end()
        check(name[0] not in bases, "two deltas have one base")
        bases.add(name[0])
        forms.append(("delta", name, read_piece(delta.members("table")), delta.integer("payload", 0, MOST_BUNDLE)))
        delta.end()
    for kind, table in (("solid", "table"), ("blocks", "index")):
        form = component.optional(kind, component.members)
        if form:
            forms.append((kind, None, read_piece(form.members(table)), form.integer("payload", 0, MOST_BUNDLE)))
            form.end()
    return forms


def read_release_facts(top):
    """Members that this program checks but does not need."""
    release = top.members("release")
    identity = release.text("id", 128)
    release.text("version", 64)
    release.end()
    top.integer("sequence", 0, (1 << 53) - 1)
    top.integer("securityVersion", 0, U32)
    product = top.members("product")
    product.text("vendor", 128)
    product.text("class", 128)
    low, high = (number(value, 0, U32, "hardware") for value in product.array("hardware", 2, 2))
    check(low <= high, "hardware")
    product.end()
    version = top.text("minimumUpdater", 32)
    check(re.fullmatch(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){0,3}", version), "minimumUpdater")
    check(all(int(part) <= U32 for part in version.split(".")), "minimumUpdater")
    top.integer("created", 0, LATEST)
    top.optional("notBefore", top.integer, 0, LATEST)
    top.optional("expires", top.integer, 0, LATEST)
    top.one_of("update", "security", "feature")
    for value in top.optional("advisories", top.array, 0, 256) or []:
        text(value, 256, "advisories")
    sbom = top.optional("sbom", top.members)
    if sbom:
        sbom.digest("sha256")
        sbom.text("format", 64)
        sbom.end()
    top.one_of("reboot", "automatic", "manual")
    health = top.members("health")
    health.integer("deadline", 1, 86400)
    health.end()
    return identity


def read_manifest(data, tables, payload):
    top = Members(parse(data, MOST_MANIFEST), "manifest")
    top.one_of("type", "kedge.manifest")
    top.integer("format", 1, 1)
    release = read_release_facts(top)
    components = [read_component(value) for value in top.array("components", 1, 64)]
    layout = top.members("layout")
    check(layout.integer("tables", 0, MOST_TABLES) == tables, "layout.tables is not the header's")
    check(layout.integer("payload", 0, MOST_BUNDLE) == payload, "layout.payload is not the header's")
    layout.end()
    if "meta" in top.left:
        meta = top.take("meta")
        check(isinstance(meta, dict) and len(meta) <= 64, "meta")
        for name, value in meta.items():
            text(name, 64, "meta")
            text(value, 1024, "meta")
    top.end()
    for key in ("id", "target"):
        check(len({component[key] for component in components}) == len(components), f"two components have one {key}")
    end = 0
    for component in components:
        check(component["offset"] == end, "a chunk table is misplaced")
        end += component["length"]
    check(end == tables, "the chunk tables do not fill their part")
    return release, components


def read_table(data, component, payload):
    """Windows as (codec, plain length, plain digest, stored digest, offset, stored length)."""
    check(sha(data) == component["table"], f"the chunk table of {component['id']} is damaged")
    check(len(data) >= 32, "a chunk table is cut off")
    magic, version, zero, window, count, size, zeros = struct.unpack_from("<4sHHIIQQ", data)
    check((magic, version, zero, zeros) == (b"KTBL", 1, 0, 0), "a chunk table's head")
    check(LEAST_WINDOW <= window <= MOST_WINDOW and window % LEAST_WINDOW == 0, "a window size")
    check((window, size) == (component["window"], component["size"]), "a chunk table does not fit the manifest")
    check(count == -(-size // window) and len(data) - 32 >= count, "the number of windows")
    windows, at = [], 32 + count
    for index, codec in enumerate(data[32:at]):
        length = min(window, size - index * window)
        if codec == 0:
            windows.append((0, length, None, None, 0, 0))
            continue
        check(codec in (1, 2) and len(data) - at >= 76, "a codec is not known, or a chunk table is cut off")
        plain, stored, offset, kept = struct.unpack_from("<32s32sQI", data, at)
        at += 76
        check(offset + kept <= payload, "a window points behind the payload")
        if codec == 1:
            check(kept == length and plain == stored, "a stored window is not its plain bytes")
        else:
            check(1 <= kept < length, "a compressed window is not smaller")
        windows.append((codec, length, plain, stored, offset, kept))
    check(at == len(data), "a chunk table has bytes behind its end")
    return windows


# Payload


def check_frame(frame, length):
    """One zstd frame (RFC 8878 section 3.1.1) of this content size and nothing else."""
    check(frame[:4] == b"\x28\xb5\x2f\xfd" and len(frame) > 5, "it is no zstd frame")
    descriptor, at = frame[4], 5
    single = descriptor >> 5 & 1
    at += 0 if single else 1
    bytes_of_id = (0, 1, 2, 4)[descriptor & 3]
    check(int.from_bytes(frame[at:at + bytes_of_id], "little") == 0, "it asks for a dictionary")
    at += bytes_of_id
    bytes_of_size = (single, 2, 4, 8)[descriptor >> 6]
    check(bytes_of_size > 0, "its frame does not tell its content size")
    size = int.from_bytes(frame[at:at + bytes_of_size], "little") + (256 if bytes_of_size == 2 else 0)
    check(size == length, "its frame has another content size")
    at, last = at + bytes_of_size, 0
    while not last:
        check(len(frame) - at >= 3, "its frame is cut off")
        head = int.from_bytes(frame[at:at + 3], "little")
        last, kind = head & 1, head >> 1 & 3
        check(kind < 3, "its frame has an unknown block")
        at += 3 + (1 if kind == 1 else head >> 3)
    at += 4 if descriptor & 4 else 0
    check(at == len(frame), "it is not one zstd frame")


def decompress(frame, length):
    check_frame(frame, length)
    try:
        import zstandard
        return zstandard.ZstdDecompressor().decompress(frame, max_output_size=length)
    except ImportError:
        pass
    except zstandard.ZstdError as error:
        raise Refused(f"zstd: {error}") from error
    done = subprocess.run(["zstd", "-d", "-q", "-c", "--long=31"], input=frame, capture_output=True, check=False)
    check(done.returncode == 0, "zstd cannot decode it")
    return done.stdout


def read_window(file, start, window):
    codec, length, plain, stored, offset, kept = window
    if codec == 0:
        return bytes(length)
    file.seek(start + offset)
    data = file.read(kept)
    check(len(data) == kept and sha(data) == stored, "its stored bytes are damaged")
    if codec == 2:
        data = decompress(data, length)
    check(len(data) == length and sha(data) == plain, "its plain bytes are damaged")
    return data


# Other forms


class Reader:
    """Fixed fields and variable-length integers, in order."""

    def __init__(self, data, place):
        self.data, self.at, self.place = data, 0, place

    def take(self, count):
        check(len(self.data) - self.at >= count, f"{self.place} is cut off")
        self.at += count
        return self.data[self.at - count:self.at]

    def fixed(self, layout):
        return struct.unpack(layout, self.take(struct.calcsize(layout)))

    def varint(self, most=(1 << 63) - 1):
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                check((byte or not shift) and value <= most, f"{self.place}: an integer")
                return value
            shift += 7
            check(shift < 63, f"{self.place}: an integer")

    def signed(self):
        value = self.varint()
        return value >> 1 if value & 1 == 0 else -(value >> 1) - 1


def range_end(start, length, base, limit):
    """The end of a range that lies where bytes are by then."""
    check(start >= 0 and length > 0 and start + length <= limit, "a range is out of bounds")
    check(start >= base or start + length <= base, "a range is half in the base")
    return start + length


def read_delta_table(data, component, base, windows):
    """The stored bytes of the groups as (offset, length, digest), and where they start and end in the payload."""
    table = Reader(data, f"a delta table of {component['id']}")
    magic, version, zero, size, base_size, base_digest, window, count, groups, zeros, start = table.fixed(
        "<4sHHQQ32sIIIIQ")
    check((magic, version, zero, zeros) == (b"KDLT", 1, 0, 0), "a delta table's head")
    check((base_digest, base_size) == (base or (bytes(32), 0)), "a delta table is of another base")
    check((window, count, size) == (component["window"], len(windows), component["size"]), "a delta table's image")
    out, number, copy_end, offset = [], 0, 0, start
    for _ in range(groups):
        codec = table.take(1)[0]
        here, residual, stored = table.varint(256), table.varint(1 << 20), table.varint(1 << 20)
        kept = table.take(32) if stored else None
        references, gathered, last, limit = table.varint(1024), 0, 0, base_size + number * window
        check(codec <= 4 and (references > 0) == (codec in (3, 4)) and 0 < here <= count - number, "a group")
        check((residual == 0) == (codec == 0), "a group's residual")
        check(stored == residual if codec < 2 else 0 < stored < residual, "a group's lengths")
        for _ in range(references):
            first = last + table.signed()
            length = table.varint(4 << 20)
            last = range_end(first, length, base_size, limit)
            gathered += length
        check(gathered <= 4 << 20, "a group has too many references")
        used = 0
        for index in range(number, number + here):
            operations, filled = table.varint(windows[index][1]), 0
            check((operations == 0) == (windows[index][0] == 0), "a window is zero in one table only")
            for _ in range(operations):
                tag = table.varint(2 * window + 1)
                check(tag > 1, "an operation is empty")
                filled += tag >> 1
                if tag & 1:
                    copy_end = range_end(copy_end + table.signed(), tag >> 1, base_size, limit)
                else:
                    used += tag >> 1
            check(operations == 0 or filled == windows[index][1], "a window is not filled")
        check(used == residual, "a group does not use its residual")
        if stored:
            out.append((offset, stored, kept))
        offset, number = offset + stored, number + here
    check(table.at == len(data) and number == count, "a delta table's end")
    return out, start, offset


def read_block_index(data, component, windows):
    """Pages as (offset, digest, lengths of the stored blocks), and where they start and end in the payload."""
    index = Reader(data, f"the block index of {component['id']}")
    magic, version, shift, size, window, zero, start = index.fixed("<4sHHQIIQ")
    check((magic, version, shift, zero) == (b"KBLK", 1, 12, 0), "a block index's head")
    check((size, window) == (component["size"], component["window"]), "a block index's image")
    filled = [entry for entry in windows if entry[0]]
    pages, out, offset = [index.take(32) for _ in filled], [], start
    for page, entry in zip(pages, filled):
        lengths = [index.fixed("<H")[0] for _ in range(-(-entry[1] // 4096))]
        for number, length in enumerate(lengths):
            check(length <= min(4096, entry[1] - 4096 * number), "a block stores more than itself")
        lengths = [length for length in lengths if length]
        out.append((offset, page, lengths))
        offset += 16 * len(lengths) + sum(lengths)
    index.take(8 * sum(-(-entry[1] // 4096) for entry in filled))
    check(index.at == len(data), "a block index's end")
    return out, start, offset


def verify_forms(file, start, component, windows, payload, extents):
    """Checks tables, groups, pages and blocks by their digests; adds what they take of the payload to extents."""
    def read(offset, length, digest, what):
        check(offset + length <= payload, f"{what} is behind the payload")
        file.seek(start + offset)
        data = file.read(length)
        check(len(data) == length and sha(data)[:len(digest)] == digest, f"{what} of {component['id']} is damaged")
        return data

    for kind, base, (offset, length, digest, plain), promised in component["forms"]:
        table = decompress(read(offset, length, digest, f"the table of a {kind} form"), plain)
        extents.append((offset, offset + length))
        if kind == "blocks":
            pages, first, end = read_block_index(table, component, windows)
            for at, page, lengths in pages:
                digests = read(at, 16 * len(lengths), page, "a page")
                at += len(digests)
                for number, size in enumerate(lengths):
                    read(at, size, digests[16 * number:16 * number + 16], "a block")
                    at += size
        else:
            groups, first, end = read_delta_table(table, component, base, windows)
            for at, size, kept in groups:
                read(at, size, kept, "a group")
        check(end - first == promised, f"a {kind} form has another length than the manifest says")
        extents.append((first, end))


def check_coverage(tables, payload, extents):
    pieces = {}
    for windows in tables:
        for codec, _, _, _, offset, kept in windows:
            if codec:
                check(pieces.setdefault(offset, kept) == kept, "windows overlap in the payload")
    for first, last in extents:
        if first < last:
            check(first not in pieces, "forms overlap in the payload")
            pieces[first] = last - first
    end = 0
    for offset in sorted(pieces):
        check(offset == end, "the payload has a gap or windows that overlap")
        end = offset + pieces[offset]
    check(end == payload, "the payload has bytes that nothing uses")


def verify(file, root):
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(HEADER.size)
    check(len(head) == HEADER.size and head[:8] == MAGIC, "this is no bundle")
    _, version, z1, envelope, manifest, z2, tables, payload, total, z3, z4 = HEADER.unpack(head)
    check((version, z1, z2, z3, z4) == (1, 0, 0, 0, 0), "the header's version or a reserved field")
    check(1 <= envelope <= MOST_ENVELOPE and 1 <= manifest <= MOST_MANIFEST, "a length of the header")
    check(tables <= MOST_TABLES and payload <= MOST_BUNDLE, "a length of the header")
    start = HEADER.size + envelope + manifest + tables
    check(total == start + payload + 16 == size, "the lengths do not add up")
    file.seek(total - 16)
    check(file.read(16) == b"KEDGEEND" + struct.pack("<Q", total), "the end marker")
    file.seek(HEADER.size)
    claims = read_signatures(file.read(envelope))
    document = file.read(manifest)
    signers = root.count("release", claims, pre_authentication(MANIFEST_TYPE, document))
    check(sha(document) not in root.denied, "the root denies this release")
    release, components = read_manifest(document, tables, payload)
    data = file.read(tables)
    read = [
        read_table(data[component["offset"]:component["offset"] + component["length"]], component, payload)
        for component in components]
    extents = []
    for component, windows in zip(components, read):
        verify_forms(file, start, component, windows, payload, extents)
    check_coverage(read, payload, extents)
    for component, windows in zip(components, read):
        image = hashlib.sha256()
        for index, window in enumerate(windows):
            try:
                image.update(read_window(file, start, window))
            except Refused as error:
                raise Refused(f"window {index} of {component['id']}: {error}") from error
        check(image.digest() == component["sha256"], f"the image of {component['id']} is damaged")
    return f"{release}: {len(signers)} signatures, {sum(map(len, read))} windows, manifest {sha(document).hex()}"


# Statements


MOST_STATEMENT = 131072


def read_channel(top):
    top.name("channel")
    sequence = top.integer("sequence", 0, (1 << 53) - 1)
    top.digest("manifest")
    release = top.text("release", 128)
    created = top.integer("created", 0, LATEST)
    check(top.integer("expires", 0, LATEST) > created, "expires")
    return f"{release} is the newest, sequence {sequence}"


def read_override(top):
    seen = set()
    for value in top.array("devices", 1, 256):
        device = Members(value, "device")
        identity = device.text("id", 128)
        check(identity not in seen, "a device is there twice")
        seen.add(identity)
        check(re.fullmatch("[0-9a-f]{32}", device.text("nonce", 32)), "a nonce")
        device.end()
    manifest = top.digest("manifest")
    created = top.integer("created", 0, LATEST)
    expires = top.optional("expires", top.integer, 0, LATEST)
    boots = top.optional("boots", top.integer, 1, 1000)
    top.optional("reason", top.text, 256)
    check(expires is not None or boots is not None, "it never ends")
    check(expires is None or expires > created, "expires")
    return f"{len(seen)} devices may install {manifest.hex()}"


STATEMENTS = {"channel": read_channel, "override": read_override}


def verify_statement(data, root):
    file = Members(parse(data, MOST_STATEMENT), "statement file")
    kind = file.one_of("payloadType", *(f"application/vnd.kedge.{role}.v1+json" for role in STATEMENTS))
    document = base64_bytes(file.text("payload", MOST_STATEMENT), "the statement")
    claims = []
    for value in file.array("signatures", 0, 16):
        entry = Members(value, "signature")
        claims.append((None, entry.digest("keyid"), base64_bytes(entry.text("sig", 6172), "a signature")))
        entry.end()
    file.end()
    role = kind.split(".")[2]
    check(claims, "there is no signature")
    check(root.roles.get(role), f"the root gives the role {role} to nobody")
    signers = root.count(role, claims, pre_authentication(kind, document))
    check(signers, "no signature is by a key of the role")
    top = Members(parse(document, MOST_STATEMENT), role)
    top.one_of("type", f"kedge.{role}")
    top.integer("format", 1, 1)
    told = STATEMENTS[role](top)
    top.end()
    return f"{told}: {len(signers)} signatures"


def main():
    parser = argparse.ArgumentParser(description="Verifies a Kedge bundle without Kedge.")
    parser.add_argument("bundle")
    parser.add_argument("--root", required=True, help="the trust root, root.json")
    arguments = parser.parse_args()
    try:
        with open(arguments.root, "rb") as file:
            root = read_root(file.read(MOST_ROOT + 1))
        with open(arguments.bundle, "rb") as file:
            if file.read(1) == b"{":
                file.seek(0)
                print(verify_statement(file.read(MOST_STATEMENT + 1), root))
            else:
                print(verify(file, root))
    except Refused as error:
        print(f"verify-bundle: {error}", file=sys.stderr)
        return 4
    except OSError as error:
        print(f"verify-bundle: {error}", file=sys.stderr)
        return 6
    return 0


if __name__ == "__main__":
    sys.exit(main())
