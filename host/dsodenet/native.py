"""Native code that lies beside data: it is loaded only where this account compiled it.

A run folder is data and may come from anyone, but the C simulation in it is code. What is compiled here gets a seal:
the SHA-256 of every file of its folder, and an HMAC of these under a key that stays in this account. A folder that was
made elsewhere has no seal that fits, however well its files fit each other.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dsodenet.errors import RunError, ToolError
from dsodenet.files import atomic_folder, write_json
from dsodenet.outside import read_json

MANIFEST = "manifest.json"
KEY_BYTES = 32


def seal(folder: Path, apart: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a manifest says of native code: `sha256` of every file of a folder, and the `seal` of these.

    apart: names at the top of the folder that are not among them. Nor are the manifest itself and hidden names, which
    are files that are being written.
    """
    hashes = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for top in sorted(folder.iterdir())
        if top.name not in (MANIFEST, *apart) and not top.name.startswith(".")
        for path in (sorted(top.rglob("*")) if top.is_dir() else [top])
        if path.is_file()
    }
    return {"sha256": hashes, "seal": _code(hashes)}


def check_seal(folder: Path, manifest: Mapping[str, Any], again: str, apart: tuple[str, ...] = ()) -> None:
    """RunError unless this account sealed the folder, and every file is as it was. again: the command that makes it."""
    hashes, code = manifest.get("sha256"), manifest.get("seal")
    if (
        not isinstance(hashes, dict)
        or not isinstance(code, str)
        or not hmac.compare_digest(code.encode(), _code(hashes).encode())
    ):
        raise RunError(
            f"{folder}: its native code was not compiled by this account, so it is not loaded; run `{again}` again"
        )
    found = seal(folder, apart)["sha256"]
    for name in sorted({*hashes, *found}):
        if hashes.get(name) != found.get(name):
            raise RunError(f"{folder / name}: is not as it was when its folder was compiled; run `{again}` again")


def sealed(place: Path, build: Callable[[Path], None]) -> Path:
    """The folder `place`, made by `build` unless this account compiled what is there.

    A cache may be shared, or come with a checkout. build: writes native code into an empty folder, or raises. ToolError
    where the folder cannot be written.
    """
    try:
        check_seal(place, read_json(place / MANIFEST, "a manifest", RunError), "")
    except RunError:
        try:
            with atomic_folder(place) as beside:
                build(beside)
                write_json(seal(beside), beside / MANIFEST)
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise ToolError(
                f"{place}: compiled code cannot be kept there ({why}); XDG_CACHE_HOME may name another folder"
            ) from None
    return place


def _code(hashes: object) -> str:
    return hmac.new(_key(), json.dumps(hashes, sort_keys=True).encode(), "sha256").hexdigest()


def _key() -> bytes:
    """The key of this account, in $XDG_STATE_HOME or ~/.local/state; made when it is first needed."""
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()) / "dsodenet"
    path = folder / "key"
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            beside = folder / f".key.{secrets.token_hex(4)}"
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
            with suppress(FileExistsError):  # another process was quicker
                os.link(beside, path)
            beside.unlink()
        key = path.read_bytes()
    except OSError as error:
        why = error.strerror or "no such place"
        raise ToolError(
            f"{folder}: no place for the key that seals compiled code ({why}); XDG_STATE_HOME may name another"
        ) from None
    if len(key) != KEY_BYTES:
        raise ToolError(f"{path}: not the key that seals compiled code; remove it, and lower your runs again")
    return key
