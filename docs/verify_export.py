#!/usr/bin/env python3
"""Checks an export of the audit log: verify_export.py EXPORT KEY

EXPORT is the output of `rg-gateway audit export --with-proof`, KEY the output of `rg-gateway audit key`, obtained
from somebody you trust. Needs nothing but Python: BLAKE2b and SHA-256 from its library, Ed25519 (RFC 8032) below.

Exits with 0 when every line is an event of the signed log, each there once and in the log's order, else with 1.
"""
import base64, hashlib, json, sys

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


class NotProved(Exception):
    """Why the export proves nothing."""


def must(holds, why):
    """What `assert` does, even where Python is told to skip assertions."""
    if not holds:
        raise NotProved(why)


def point(y_bytes):
    """The curve point an encoding stands for."""
    number = int.from_bytes(y_bytes, "little")
    y, odd = number % 2**255, number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    must(y < P and x * x % P == square and not (x == 0 and odd), "not a point of the curve")
    return (P - x if x % 2 != odd else x, y)


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    t = D * x1 * x2 * y1 * y2
    return ((x1 * y2 + x2 * y1) * pow(1 + t, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - t, -1, P) % P)


def times(k, a):
    total = (0, 1)
    while k:
        total = add(total, a) if k & 1 else total
        a, k = add(a, a), k >> 1
    return total


BASE = point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def signed(key, message, signature):
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    h = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L
    return s < L and times(s, BASE) == add(point(r), times(h, point(key)))


def open_checkpoint(note, vkey):
    """Size and root a signed checkpoint speaks for."""
    name, key_id, key = vkey.strip().split("+", 2)
    key = base64.b64decode(key)
    expected = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
    must(key[0] == 1 and expected.hex() == key_id, "not an Ed25519 key")
    body, signatures = note.split("\n\n", 1)
    for line in signatures.splitlines():
        dash, who, signature = line.split(" ")
        signature = base64.b64decode(signature)
        if who == name and signature[:4] == expected and signed(key[1:], (body + "\n").encode(), signature[4:]):
            origin, size, root = body.split("\n")[:3]
            must(origin == name, "a checkpoint of another log")
            return int(size), base64.b64decode(root)
    raise NotProved("the checkpoint is not signed with this key")


def blake2b(purpose, data):
    return hashlib.blake2b(data, digest_size=32, person=purpose).digest()


def digest(entry):
    """What stands for an event: a hash over its public part and the commitment to its personal part."""
    line, at = entry["event"].encode(), entry["personal_from"]
    if "commitment" in entry:
        commitment = base64.b64decode(entry["commitment"])  # the personal part was erased
    else:
        commitment = blake2b(b"rg-audit persona", base64.b64decode(entry["salt"]) + line[at:])
    must(len(commitment) == 32, "a commitment has 32 bytes")
    return blake2b(b"rg-audit event 1", commitment + line[:at])


def root_from(digest, index, size, path):
    """The root an inclusion proof leads to (RFC 9162, 2.1.3.2)."""
    node, last = hashlib.sha256(b"\0" + digest).digest(), size - 1
    for sibling in path:
        must(last > 0, "the proof is too long")
        if index & 1 or index == last:
            node = hashlib.sha256(b"\1" + sibling + node).digest()
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\1" + node + sibling).digest()
        index, last = index >> 1, last >> 1
    must(last == 0, "the proof is too short")
    return node


def proved(line, before, size, root):
    """The sequence of a line's event, which is part of the signed log and comes after the one before."""
    entry = json.loads(line)
    sequence, path = entry["sequence"], [base64.b64decode(hash) for hash in entry["inclusion"]]
    must(isinstance(sequence, int) and 1 <= sequence <= size, "outside of what was signed")
    must(sequence != before, f"event {sequence} is repeated")
    must(sequence > before, f"event {sequence} comes after event {before}: not the log's order")
    found = root_from(digest(entry), sequence - 1, size, path)
    must(found == root, f"event {sequence} is not part of the signed log")
    return sequence


def main(export, key):
    lines = open(export, encoding="utf-8")
    head = next(lines, None)
    must(head is not None, "the export is empty, without even the line every export begins with")
    head = json.loads(head)
    must(head["format"] == "rg-audit-export/v2", "another format")
    size, root = open_checkpoint(head["checkpoint"], open(key, encoding="utf-8").read())
    count = before = 0
    for count, line in enumerate(lines, 1):
        try:
            before = proved(line, before, size, root)
        except NotProved as wrong:
            raise NotProved(f"line {count + 1}: {wrong}")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise NotProved(f"line {count + 1}: not an event with its proof")
    if count:
        print(f"{count} events are part of the log of {size} events that was signed")
    else:
        print(f"the export has no events; the log of {size} events was signed")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except NotProved as wrong:
        sys.exit(f"not proved: {wrong}")
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as wrong:
        sys.exit(f"not proved: not an export or not a key: {wrong!r}")
