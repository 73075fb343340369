"""Files: written whole or not at all (beside the place, then renamed), locks, and where the hardware sources lie."""

from __future__ import annotations

import glob
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from dsodenet import __version__
from dsodenet.errors import InputError, RunError, ToolError

HIDDEN = re.compile(r"\.[0-9a-f]{8}(\.\w+)?")  # what follows the name of a file while it is written beside its place


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes the place of `path` only if the block ends well.

    A symbolic link is followed, so that the file it names is replaced. The file keeps its mode; a new one has the
    umask's. An OSError of the block names `path`. What a killed process left beside `path` is removed first.
    """
    with atomic_files(path) as (beside,):
        yield beside


@contextmanager
def atomic_files(*paths: Path) -> Iterator[tuple[Path, ...]]:
    """The same for files that belong together: all are whole before the first takes its place."""
    targets = [Path(os.path.realpath(path)) for path in paths]
    with ExitStack() as stack:
        held = [stack.enter_context(_held(target, folder=False)) for target in targets]
        try:
            yield tuple(held)
        except OSError as error:
            if error.filename is not None and Path(os.fsdecode(error.filename)) not in held:
                raise
            raise type(error)(error.errno, error.strerror or str(error), str(paths[0])) from None
        for beside, target in zip(held, targets):
            if target.exists():
                beside.chmod(target.stat().st_mode & 0o777)
            _flush(beside)
        for beside, target in zip(held, targets):
            os.replace(beside, target)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`.

    It takes the place of `path`, and the old one goes, only if the block ends well.
    """
    path = Path(os.path.realpath(path))
    with _held(path, folder=True) as beside:
        yield beside
        if path.exists():
            with _held(path, folder=True) as old:
                os.rename(path, old)  # an empty folder may be replaced
                os.rename(beside, path)
        else:
            os.rename(beside, path)


@contextmanager
def _held(path: Path, folder: bool) -> Iterator[Path]:
    """A new hidden file or folder beside `path`, locked while it is written, and gone at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        if HIDDEN.fullmatch(left.name.removeprefix(f".{path.name}")) and (lock := _lock(left)) is not None:
            _remove(left)  # a killed process left it, or it would be locked
            os.close(lock)
    while True:
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}{path.suffix}")
        if folder:
            beside.mkdir()
        else:
            beside.touch(exist_ok=False)
        lock = _lock(beside)
        if lock is not None and beside.exists():
            break  # else another process took it for a left one
    try:
        yield beside
    finally:
        _remove(beside)
        os.close(lock)


def _lock(path: Path) -> int | None:
    """A descriptor that holds the lock of a file or folder; None where another process holds it."""
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Let the content reach the disk before the name does."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def check_writable(path: Path, what: str) -> None:
    """Make what `atomic_file` makes, and take it away.

    Permissions alone say little: of a full disk, or of /proc to root.
    """
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


def how_to_install(extra: str) -> str:
    """The command that brings an extra of this package: from the checkout, or from the wheel that was installed.

    The package is in no index, so its name alone cannot be installed.
    """
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file():
        return f"`pip install -e '{checkout}[{extra}]'`"
    return f"`pip install 'dsodenet-{__version__}-py3-none-any.whl[{extra}]'`, with the path of that wheel,"


def user_cache(part: str) -> Path:
    """The folder of a part of the package in the user's cache: in $XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dsodenet" / part
