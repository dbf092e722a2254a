#!/usr/bin/env python3
"""Checks an export of the audit log: verify_export.py EXPORT KEY

EXPORT is the output of `rg-gateway audit export --with-proof`, KEY the output of `rg-gateway audit key`, obtained
from somebody you trust. Needs nothing but Python: BLAKE2b and SHA-256 from its library, Ed25519 (RFC 8032) below.
"""
import base64, hashlib, json, sys

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def point(y_bytes):
    """The curve point an encoding stands for."""
    number = int.from_bytes(y_bytes, "little")
    y, odd = number % 2**255, number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert y < P and x * x % P == square and not (x == 0 and odd), "not a point of the curve"
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
    assert key[0] == 1 and expected.hex() == key_id, "not an Ed25519 key"
    body, signatures = note.split("\n\n", 1)
    for line in signatures.splitlines():
        dash, who, signature = line.split(" ")
        signature = base64.b64decode(signature)
        if who == name and signature[:4] == expected and signed(key[1:], (body + "\n").encode(), signature[4:]):
            origin, size, root = body.split("\n")[:3]
            assert origin == name, "a checkpoint of another log"
            return int(size), base64.b64decode(root)
    raise AssertionError("the checkpoint is not signed with this key")


def blake2b(purpose, data):
    return hashlib.blake2b(data, digest_size=32, person=purpose).digest()


def digest(entry):
    """What stands for an event: a hash over its public part and the commitment to its personal part."""
    line, at = entry["event"].encode(), entry["personal_from"]
    if "commitment" in entry:
        commitment = base64.b64decode(entry["commitment"])  # the personal part was erased
    else:
        commitment = blake2b(b"rg-audit persona", base64.b64decode(entry["salt"]) + line[at:])
    assert len(commitment) == 32, "a commitment has 32 bytes"
    return blake2b(b"rg-audit event 1", commitment + line[:at])


def root_from(digest, index, size, path):
    """The root an inclusion proof leads to (RFC 9162, 2.1.3.2)."""
    node, last = hashlib.sha256(b"\0" + digest).digest(), size - 1
    for sibling in path:
        assert last > 0, "the proof is too long"
        if index & 1 or index == last:
            node = hashlib.sha256(b"\1" + sibling + node).digest()
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\1" + node + sibling).digest()
        index, last = index >> 1, last >> 1
    assert last == 0, "the proof is too short"
    return node


def main(export, key):
    lines = open(export, encoding="utf-8")
    head = json.loads(next(lines))
    assert head["format"] == "rg-audit-export/v2", "another format"
    size, root = open_checkpoint(head["checkpoint"], open(key).read())
    count = 0
    for count, line in enumerate(lines, 1):
        entry = json.loads(line)
        index, path = entry["sequence"] - 1, [base64.b64decode(hash) for hash in entry["inclusion"]]
        assert 0 <= index < size, f"line {count + 1}: outside of what was signed"
        found = root_from(digest(entry), index, size, path)
        assert found == root, f"line {count + 1}: event {index + 1} is not part of the signed log"
    print(f"{count} events are part of the log of {size} events that was signed")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except AssertionError as wrong:
        sys.exit(f"not proved: {wrong}")
