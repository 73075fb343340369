"""Compiled code is loaded only where this account compiled it, and only as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dsodenet.errors import RunError, ToolError
from dsodenet.native import MANIFEST, check_seal, seal, sealed


@pytest.fixture(autouse=True)
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another account, that has no key yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "hls"
    (folder / "f1" / "firmware").mkdir(parents=True)
    (folder / "lib.so").write_bytes(b"code")
    (folder / "f1" / "firmware" / "f1.cpp").write_text("int f1;")
    (folder / MANIFEST).write_text(json.dumps(seal(folder)))
    return folder


def check(folder: Path) -> None:
    check_seal(folder, json.loads((folder / MANIFEST).read_text()), "dsodenet lower RUN", ("later",))


def test_what_was_compiled_here_may_run(folder: Path, account: Path) -> None:
    (folder / "later").mkdir()
    (folder / "later" / "lib.so").write_bytes(b"other")  # has a seal of its own
    (folder / ".lib.so.12345678").write_bytes(b"half written")
    check(folder)
    assert (account / "dsodenet" / "key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["lib.so", "f1/firmware/f1.cpp", "f1/firmware/more.cpp"])
def test_a_changed_or_added_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"evil")
    with pytest.raises(RunError, match=rf"{name}: is not as it was .* run `dsodenet lower RUN` again"):
        check(folder)


def test_a_lost_file_is_named(folder: Path) -> None:
    (folder / "lib.so").unlink()
    with pytest.raises(RunError, match=r"lib\.so: is not as it was"):
        check(folder)


def test_a_folder_of_another_account_is_not_loaded(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "attacker"))
    (folder / "lib.so").write_bytes(b"evil")
    foreign = seal(folder)  # its files fit each other
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for manifest in (foreign, {"sha256": foreign["sha256"]}, {"seal": "é"}, {}):
        (folder / MANIFEST).write_text(json.dumps(manifest))
        with pytest.raises(RunError, match="was not compiled by this account, so it is not loaded"):
            check(folder)


def test_code_is_built_once_and_again_when_it_was_changed(tmp_path: Path) -> None:
    built: list[Path] = []

    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "lib.so").write_bytes(b"code")

    place = tmp_path / "cache" / "lib"
    for _ in range(2):
        assert (sealed(place, build) / "lib.so").read_bytes() == b"code"
    assert len(built) == 1
    (place / "lib.so").write_bytes(b"evil")
    assert (sealed(place, build) / "lib.so").read_bytes() == b"code"
    assert len(built) == 2
    with pytest.raises(ToolError, match=r"^/proc/nowhere/lib: compiled code cannot be kept there .* XDG_CACHE_HOME"):
        sealed(Path("/proc/nowhere/lib"), build)


def test_no_place_for_the_key_and_a_damaged_one(folder: Path, account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (account / "dsodenet" / "key").write_bytes(b"short")
    with pytest.raises(ToolError, match="not the key that seals compiled code"):
        check(folder)
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    with pytest.raises(ToolError, match=r"/proc/nowhere/dsodenet: no place for the key .* XDG_STATE_HOME"):
        check(folder)
