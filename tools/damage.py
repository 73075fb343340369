"""Damage to files, in ways that fit their kinds: what tools.fuzz tries on every reader."""

from __future__ import annotations

import io
import json
import random
import warnings
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

Files = dict[str, bytes]  # name -> content: one input
DEEP = 1200  # levels; a parser that recurses takes fewer
ODD = (
    *("null", "true", "-1", "0", "1e400", "-0.0", "NaN", "Infinity", "9" * 400, "9" * 5000, "18446744073709551616"),
    *(
        '"\\u001b[31m"',
        '"' + "x" * 5000 + '"',
        '""',
        "[]",
        "{}",
        "[" * DEEP + "]" * DEEP,
        '{"a":' * DEEP + "1" + "}" * DEEP,
    ),
)


def flipped(data: bytes, rng: random.Random) -> bytes:
    copy = bytearray(data or b"x")
    for _ in range(rng.choice((1, 1, 2, 8))):
        ends = rng.choice((len(copy), min(len(copy), 200)))
        copy[rng.choice((1, -1)) * rng.randrange(ends) - (rng.random() < 0.5)] = rng.randrange(256)
    return bytes(copy)


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def joined(data: bytes, rng: random.Random) -> bytes:
    """A piece of it again, somewhere else."""
    start, length, place = rng.randrange(len(data) + 1), rng.randrange(200), rng.randrange(len(data) + 1)
    return data[:place] + data[start : start + length] * rng.choice((1, 1, 50)) + data[place:]


def other_value(data: bytes, rng: random.Random) -> bytes:
    """Another value at one place of a JSON, or a key that is gone or new."""
    content = json.loads(data)
    places = list(_places(content))
    if not places:
        return rng.choice(ODD).encode()
    holder, key = rng.choice(places)
    if rng.random() < 0.15 and isinstance(holder, dict):
        del holder[key]
    elif rng.random() < 0.1 and isinstance(holder, dict):
        holder["\x1b[2J" + "k" * rng.choice((1, 2000))] = 1
    else:
        holder[key] = "@odd@"
    return json.dumps(content).replace('"@odd@"', rng.choice(ODD)).encode()


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in list(items):
        yield content, key
        yield from _places(value)


def other_member(data: bytes, rng: random.Random) -> bytes:
    """An archive with one member damaged, given twice, renamed, or kept by another method."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(item.filename, archive.read(item)) for item in archive.infolist()]
    index, kind = rng.randrange(len(members)), rng.randrange(5)
    name, content = members[index]
    members[index] = (name, rng.choice((flipped, cut, other_header))(content, rng)) if kind < 3 else (name, content)
    if kind == 3:
        members.append(members[index])
    elif kind == 4:
        members[index] = (rng.choice(("../../x.npy", "x" * 3000, "\x1b[31m.npy", "/etc/x")), content)
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2))
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", method) as archive:
        warnings.simplefilter("ignore")  # a name twice
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue() if rng.random() < 0.7 else flipped(out.getvalue(), rng)


def other_header(data: bytes, rng: random.Random) -> bytes:
    """A .npy file whose header says something else."""
    headers = (
        "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 9), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<f8', 'fortran_order': True, 'shape': (-1, 2), }",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }",
        "(" * rng.choice((3, 3000)),
        "{'descr': '|u1', 'shape': (1, 1, 16, 16)\n  }\n }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (True, 1.5), }",
        "__import__('os')",
    )
    text = rng.choice(headers).encode().ljust(117) + b"\n"
    version = rng.choice(((1, 0), (2, 0), (3, 0), (9, 9)))
    size = len(text).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + bytes(version) + size + text + data[128:]


def damaged(files: Files, rng: random.Random) -> Files:
    """One file of an input is damaged, in a way that fits its kind or in any."""
    name = rng.choice(sorted(files))
    data = files[name]
    ways: list[Callable[[bytes, random.Random], bytes]] = [flipped, cut, joined]
    if name.endswith(".json"):
        ways += [other_value] * 4
    elif name.endswith(".npz"):
        ways += [other_member] * 4
    elif name.endswith(".npy"):
        ways += [other_header] * 2
    try:
        return files | {name: rng.choice(ways)(data, rng)}
    except Exception:  # what is damaged already may be no JSON, or no archive: anything may come of it
        return files | {name: flipped(data, rng)}
