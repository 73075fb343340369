"""Files: written whole or not at all (beside the place, then renamed), locks, and where the hardware sources lie."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dsodenet.errors import InputError, RunError, ToolError


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes the place of `path` only if the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        beside.chmod(0o644)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`; it takes the place of `path`, and the old one goes, only if the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield beside
        beside.chmod(0o755)
        if path.exists():
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
            os.rename(path, old)  # an empty folder may be replaced
            os.rename(beside, path)
            shutil.rmtree(old)
        else:
            os.rename(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def check_output(path: Path, suffix: str) -> None:
    """InputError for a path that no file of this kind can be written to, before there is work to lose."""
    if path.suffix != suffix or (path.exists() and not path.is_file()):
        raise InputError(f"output is {path}, but it must be a {suffix} file")
    check_writable(path, f"output is {path}")


def check_writable(path: Path, what: str) -> None:
    """Make what `atomic_file` makes, and take it away. Permissions alone say little: of a full disk, or of /proc to root."""
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    try:
        handle, name = tempfile.mkstemp(dir=folder, prefix=f".{path.name}.", suffix=path.suffix)
    except OSError as error:
        why = error.strerror or "it cannot be written to"
        raise InputError(f"{what}, but {folder} is no folder that can be written to ({why})") from None
    os.close(handle)
    os.unlink(name)


def write_json(data: Any, path: Path) -> None:
    """Write indented JSON, whole or not at all."""
    with atomic_file(path) as beside:
        beside.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


@contextmanager
def only_one(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder by a lock file in it; RunError while another process holds it.

    what: the other's work, in words. The lock file goes at the end, and the folder too where nothing else is in it.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    with open(path, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not path.exists() or not os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                raise BlockingIOError  # its holder has just ended and taken the file away
        except BlockingIOError:
            raise RunError(f"{folder}: another {what} is running here") from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            with suppress(OSError):
                folder.rmdir()


def source_folder(name: str) -> Path:
    """The folder of hardware sources `name`: `hls` or `overlays`; in a checkout also `notebooks`.

    They lie beside the package in an installation, and at the top of the tree in a checkout.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "sources" / name, package.parents[1] / name):
        if folder.is_dir():
            return folder
    raise ToolError(f"{name}/ is not installed with this package; use a source checkout")
