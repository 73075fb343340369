"""One archive to copy to the board: the files of an overlay, the wheel, notebooks, and their checksums."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

from dsodenet.errors import InputError, ToolError
from dsodenet.files import atomic_file, source_folder
from dsodenet.runtime import read_manifest

NOTEBOOKS, BOARD_NOTEBOOKS = "notebooks", ("03*.ipynb", "04*.ipynb")  # they need no torch
SUMS, HOW_TO = "SHA256SUMS", "INSTALL.txt"
TIME = (1980, 1, 1, 0, 0, 0)  # every member has it, so that the same files make the same archive
INSTALL = """On the board, in the folder of this file, as root in PYNQ's own Python environment:

    sha256sum -c {sums}
    pip install --no-deps {wheel}
    dsodenet selftest --board zcu104 --overlay {bit}
"""


def board_notebooks() -> list[Path]:
    """The notebooks that run on the board, where a checkout with notebooks is found."""
    try:
        folder = source_folder(NOTEBOOKS)
    except ToolError:
        return []
    return sorted(file for pattern in BOARD_NOTEBOOKS for file in folder.glob(pattern))


def package(
    bitfile: str | Path, wheel: str | Path, out: str | Path, extras: Sequence[str | Path] | None = None
) -> Path:
    """Write the archive OUT (.zip) of a built overlay; returns its path.

    bitfile: .hwh and .json lie beside it, and the three are checked against each other. wheel: this package, as
    `python -m build` makes it. extras: notebooks and other files; by default the notebooks that run on the board.
    InputError when a file is missing or two have one name. RunError when the overlay's files do not belong together.
    """
    bitfile, wheel, out = Path(bitfile), Path(wheel), Path(out)
    read_manifest(bitfile)
    if not (wheel.name.startswith("dsodenet-") and wheel.suffix == ".whl"):
        raise InputError(f"wheel is {wheel}, but it must be a dsodenet-*.whl")
    files = [
        bitfile,
        bitfile.with_suffix(".hwh"),
        bitfile.with_suffix(".json"),
        wheel,
        *map(Path, board_notebooks() if extras is None else extras),
    ]
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: no such file")
    members = {file.name: file.read_bytes() for file in files}
    if len(members) < len(files) or {SUMS, HOW_TO} & set(members):
        raise InputError(
            f"the archive would have two files of one name among {', '.join(sorted(file.name for file in files))}"
        )
    members[HOW_TO] = INSTALL.format(sums=SUMS, wheel=wheel.name, bit=bitfile.name).encode()
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in members.items())
    with atomic_file(out) as path, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (members | {SUMS: sums.encode()}).items():
            archive.writestr(zipfile.ZipInfo(f"{bitfile.stem}/{name}", TIME), data, zipfile.ZIP_DEFLATED)
    return out
