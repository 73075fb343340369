"""What `dsodenet doctor` tells of a machine, and of what went wrong there before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dsodenet.contract import BOARDS, design
from dsodenet.contract.registers import Kind
from dsodenet.errors import DeviceError, InputError
from dsodenet.runtime import last_error, selftest
from dsodenet.runtime.artefacts import write_manifest
from dsodenet.runtime.last_error import recalled_error, remember_error
from dsodenet.runtime.simulated import hwh
from dsodenet.spec import Params
from tests.command_line import call


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache" / "last-error.json"
    monkeypatch.setattr(last_error, "last_error_file", lambda: path)
    return path


def test_an_error_of_the_device_is_told_without_folders(kept: Path) -> None:
    assert recalled_error() is None
    remember_error("run", DeviceError(f"no answer in 10 s, see {Path.home()}/secret/x.log or ../mine/y.log; 3/4 done"))
    found = recalled_error()
    assert (found["command"], found["when"][-6:]) == ("run", "+00:00")
    assert found["error"] == "no answer in 10 s, see .../x.log or .../y.log; 3/4 done"


def test_what_was_typed_wrong_is_not_kept(kept: Path) -> None:
    remember_error("run", InputError("images have shape (3,)"))
    assert not kept.exists()


def test_a_place_that_takes_no_file_is_no_second_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(last_error, "last_error_file", lambda: tmp_path / "file" / "last-error.json")
    remember_error("run", DeviceError("no answer"))


def test_doctor_tells_the_error_of_an_earlier_command(kept: Path, tmp_path: Path) -> None:
    pytest.importorskip("pynq")
    bit = hwh.write_overlay(design.block_design("tiny", Kind.RTL, 150), "kernel_0", tmp_path)
    write_manifest(Params.load("zoo:digits-xs"), "rtl", bit, {})
    assert call("selftest", "--board", "zcu104", "--overlay", bit) == 2  # no board is here
    assert call("doctor", "--json", tmp_path / "doctor.json") == 0
    found = json.loads((tmp_path / "doctor.json").read_text(encoding="utf-8"))
    assert found["last_error"]["command"] == "selftest"
    assert "pynq finds no board here" in found["last_error"]["error"]
    assert str(Path.home()) not in json.dumps(found)


def test_a_damaged_file_is_an_answer(kept: Path, tmp_path: Path) -> None:
    pytest.importorskip("pynq")
    kept.parent.mkdir()
    kept.write_text("{")
    assert call("doctor", "--json", tmp_path / "doctor.json") == 0
    found = json.loads((tmp_path / "doctor.json").read_text(encoding="utf-8"))
    assert "JSONDecodeError" in found["last_error"]["error"]


@pytest.mark.parametrize("board", BOARDS)
def test_an_overlay_of_another_board_is_refused_by_name(board: str, tmp_path: Path) -> None:
    pytest.importorskip("pynq")
    other = BOARDS["kv260" if board == "zcu104" else "zcu104"]
    bit = hwh.write_overlay(design.block_design("tiny", Kind.RTL, 150, other), "kernel_0", tmp_path)
    write_manifest(Params.load("zoo:digits-xs"), "rtl", bit, {})
    with pytest.raises(DeviceError, match=rf"but the {BOARDS[board].title} has {BOARDS[board].part}"):
        selftest(board, bit)
