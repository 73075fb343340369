"""Data from outside ends in the data or in one clear line, whatever a parser makes of it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from dsodenet.errors import MAX_MESSAGE, InputError, RunError, SpecError, shown
from dsodenet.outside import guard, read_json, read_npy, read_text
from dsodenet.spec import SIZES, Params, Spec, random_params

NUMBER = "9" * 5000  # more digits than int() takes


def npy(header: str) -> bytes:
    """A .npy file of version 1.0 with this header and no data."""
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[" * 100_000,
        f"[{NUMBER}]".encode(),
        b"\xff\xfe\x00",
    ],
)
def test_json_that_is_none_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(RunError, match=r"x\.json: (not|cannot be read as) a manifest \([^\n]*\)$"):
        read_json(tmp_path / "x.json", "a manifest", RunError)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "My.JSON").write_text(SIZES["xs"].to_json(), encoding="utf-8-sig")
    assert Spec.load(tmp_path / "My.JSON") == SIZES["xs"]
    assert read_text(tmp_path / "My.JSON").startswith("{")


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_npy_is_read(tmp_path: Path, version: tuple[int, int]) -> None:
    array = np.arange(12, dtype=np.int16).reshape(3, 4)
    with open(tmp_path / "x.npy", "wb") as file:
        np.lib.format.write_array(file, array, version)
    assert np.array_equal(read_npy(tmp_path / "x.npy", "numbers", 100), array)
    np.save(tmp_path / "fortran.npy", np.asfortranarray(array))
    assert np.array_equal(read_npy(tmp_path / "fortran.npy", "numbers", 100), array)
    with pytest.raises(InputError, match="12 items, but at most 11"):
        read_npy(tmp_path / "x.npy", "numbers", 11)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': ((((2,"),  # TokenError
        npy("if 1:\n  2\n 3\n"),  # IndentationError
        npy("(" * 3000 + ")" * 3000),  # RecursionError or MemoryError
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000,), }\n"),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (), }\n"),
        npy("{'descr': 7, 'fortran_order': False, 'shape': (0,), }\n"),
    ],
)
def test_npy_that_is_none_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.npy: [^\n]*$"):
        read_npy(tmp_path / "x.npy", "numbers", 1 << 20)


def test_what_any_parser_raises_is_one_line_and_an_interrupt_is_none() -> None:
    class Odd(Exception):
        pass

    for problem in (Odd("two\nlines"), RecursionError(), MemoryError(), KeyError("k")):
        with pytest.raises(InputError, match=r"^f: not data \(\w+: [^\n]*\)$"), guard("f", "data"):
            raise problem
    with pytest.raises(KeyboardInterrupt), guard("f", "data"):
        raise KeyboardInterrupt


def test_text_from_a_file_reaches_no_terminal_raw(tmp_path: Path) -> None:
    data = SIZES["xs"].to_dict() | {"name\x1b[31m": 1}
    (tmp_path / "x.json").write_text(json.dumps(data))
    with pytest.raises(SpecError, match=r"unknown key name\\x1b\[31m") as found:
        Spec.load(tmp_path / "x.json")
    assert "\x1b" not in str(found.value)


def test_long_values_and_messages_are_cut() -> None:
    data = SIZES["xs"].to_dict() | {"solver": "x" * 70_000}
    with pytest.raises(SpecError, match="70002 characters") as found:
        Spec.from_dict(data)
    assert len(str(found.value)) < 400
    assert len(str(InputError("x" * 70_000))) < MAX_MESSAGE + 40
    assert shown(1 << 20_000) == "a number of 20001 bits"
    assert "cannot be shown" in shown([1 << 20_000])


@pytest.mark.parametrize("value", [10**400, int(f"1{'0' * 300}") * 10])
def test_a_number_that_is_no_float_is_refused(value: int) -> None:
    data = SIZES["xs"].to_dict()
    data["kernel"]["clock_mhz"] = value
    with pytest.raises(SpecError, match="clock_mhz"):
        Spec.from_dict(data)


@pytest.mark.parametrize("damage", ["header", "lzma", "twice"])
def test_a_damaged_archive_of_arrays_is_refused(tmp_path: Path, damage: str) -> None:
    import zipfile

    params = random_params(SIZES["xs"], 0)
    params.save(tmp_path)
    name, array = next(iter(params.arrays.items()))
    packed = io.BytesIO()
    np.save(packed, array)
    content = packed.getvalue()
    if damage == "header":
        content = npy("{'descr': '|i1', 'shape': (((")
    with zipfile.ZipFile(tmp_path / "params.npz", "w", zipfile.ZIP_LZMA if damage == "lzma" else 0) as archive:
        archive.writestr(f"{name}.npy", content)
        if damage == "twice":
            archive.writestr(f"{name}.npy", content)
    if damage == "lzma":
        raw = bytearray((tmp_path / "params.npz").read_bytes())
        place = raw.index(f"{name}.npy".encode()) + len(name) + 30
        raw[place : place + 20] = bytes(20)
        (tmp_path / "params.npz").write_bytes(raw)
    with pytest.raises(RunError, match=r"params\.npz: [^\n]*$"):
        Params.load(tmp_path)
