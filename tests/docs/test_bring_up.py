"""The bring-up guide, read from start to end: its commands run on a simulated board and print what it promises."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from dsodenet.cli import main
from dsodenet.contract import Kind, block_design
from dsodenet.spec import Params

GUIDE = (Path(__file__).parents[2] / "docs" / "board.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```console\n\$ (.*)\n((?:.*\n)*?)```$", GUIDE, re.MULTILINE)


def test_the_guide_runs_on_a_simulated_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its board is the simulated one, whose kernel is the reference: so its overlay is that of the hls kernel."""
    pytest.importorskip("pynq")
    from dsodenet.runtime.artefacts import write_manifest
    from dsodenet.runtime.simulated import write_overlay

    monkeypatch.chdir(tmp_path)
    bit = write_overlay(block_design("digits-xs", Kind.HLS, 200), "kernel_0", tmp_path)
    write_manifest(Params.load("zoo:digits-xs"), "hls", bit, {})
    assert [shlex.split(command)[1] for command, _ in BLOCKS] == ["overlay", "selftest", "doctor"]
    for command, promised in BLOCKS:
        words = shlex.split(command.replace("--board zcu104", "--board sim"))
        assert words[0] == "dsodenet"
        assert main([*words[1:], "--quiet"]) == 0
        printed = re.sub(" +", " ", capsys.readouterr().out)
        for line in promised.replace("rtl kernel", "hls kernel").splitlines():
            assert re.search(re.escape(line).replace(r"\ \.\.\.\ ", ".*"), printed), command
    found = json.loads((tmp_path / "doctor.json").read_text())
    assert found["self_test"]["ok"]
    assert found["clocks"]["fabric_mhz"] == pytest.approx(187.498125)
    assert found["overlay"]["model"] == "digits-xs"
    assert str(Path.home()) not in json.dumps(found)
