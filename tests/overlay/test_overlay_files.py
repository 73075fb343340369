"""What an overlay build reads and leaves: Tcl words, reports, the JSON beside a .bit, the archive for the board."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dsodenet.contract import design
from dsodenet.contract.registers import ARGUMENTS, Kind
from dsodenet.errors import InputError, RunError, ToolError
from dsodenet.overlay import archive, reports, tcl
from dsodenet.overlay.archive import package
from dsodenet.runtime.artefacts import read_manifest, write_manifest
from tests.models import MODELS

PARAMS = MODELS["time_bias"]


@pytest.fixture
def bitfile(tmp_path: Path) -> Path:
    pytest.importorskip("pynq")
    from dsodenet.runtime.simulated import hwh

    bit = hwh.write_overlay(design.block_design("built", Kind.HLS, 200), "kernel_0", tmp_path)
    write_manifest(PARAMS, "hls", bit, {})
    return bit


@pytest.mark.parametrize(
    "text",
    ["", "a b", "{", "}{", "a\\b", "$x [y]", 'q"q', "tab\there", "#c", "a;b", "{x} {y}", "line\nline", "end\\", "\\}"],
)
def test_tcl_words_come_back_as_they_were(text: str, tmp_path: Path) -> None:
    tclsh = shutil.which("tclsh") or pytest.skip("no tclsh")
    script = tmp_path / "x.tcl"
    script.write_text(
        tcl.dictionary("config", {"plain": text, "list": [text, "z"], "rows": [[text, [text]], ["z"]]})
        + "foreach value [list [dict get $config plain] [lindex [dict get $config list] 0]"
        + " [lindex [dict get $config rows] 0 0]"
        + " [lindex [dict get $config rows] 0 1 0]] { puts -nonewline $value; puts -nonewline \\0 }\n"
    )
    output = subprocess.run([tclsh, str(script)], capture_output=True, text=True, check=True).stdout
    assert output.split("\0") == [text] * 4 + [""]


def test_every_argument_is_in_the_hls_driver_header(tmp_path: Path) -> None:
    """In the form that Vitis HLS 2024.1 writes; the names of arguments may end in _DATA themselves."""
    header = tmp_path / "ip" / "drivers" / "xdsodenet_hls_hw.h"
    header.parent.mkdir(parents=True)
    header.write_text(
        "#define XDSODENET_HLS_CONTROL_ADDR_AP_CTRL      0x000\n"
        "#define XDSODENET_HLS_CONTROL_ADDR_COMMAND_DATA 0x010\n#define XDSODENET_HLS_CONTROL_BITS_COMMAND_DATA 32\n"
        "#define XDSODENET_HLS_CONTROL_ADDR_STATUS_DATA  0x050\n#define XDSODENET_HLS_CONTROL_ADDR_STATUS_CTRL  0x054\n"
        "#define XDSODENET_HLS_CONTROL_ADDR_COEFF_BASE   0x100\n#define XDSODENET_HLS_CONTROL_ADDR_COEFF_HIGH   0x17f\n"
    )
    assert reports.hls_offsets(tmp_path) == {"COMMAND": 0x10, "STATUS": 0x50, "COEFF": 0x100}
    assert {register.name for register in ARGUMENTS} >= {"COMMAND", "STATUS", "COEFF"}


def test_reports_of_another_form_are_refused(tmp_path: Path) -> None:
    report = tmp_path / "x.rpt"
    report.write_text("| Site Type | Used | Fixed | Available | Util% |\n| CLB LUTs* | 5 | 0 | 10 | <0.01 |\n")
    with pytest.raises(ToolError, match="no line for CLB Registers, Block RAM Tile, URAM, DSPs"):
        reports.utilisation(report)
    with pytest.raises(ToolError, match=r"no line 'Total On-Chip Power \(W\)'"):
        reports.power(report)


def test_the_manifest_holds_the_model_and_refuses_other_files(bitfile: Path) -> None:
    params, _ = read_manifest(bitfile)
    for name, array in PARAMS.arrays.items():
        np.testing.assert_array_equal(params.arrays[name], array)
    path = bitfile.with_suffix(".json")
    good = path.read_text()
    for old, new, message in (
        ('"format": 1', '"format": 7', "has format 7, but this package reads 1"),
        ('"n_steps"', '"steps"', "unknown key steps"),
        ('"t1": 1.0', '"t1": 2.0', "edited or mixed"),
        ('"sha256"', '"md5"', "not the JSON of an overlay"),
        ('base64": "', 'base64": "!', "not the JSON of an overlay"),
        ("{", "", "not the JSON of an overlay"),
    ):
        path.write_text(good.replace(old, new, 1))
        with pytest.raises(RunError, match=message):
            read_manifest(bitfile)
    path.write_text(good)
    bitfile.write_bytes(b"other")
    with pytest.raises(RunError, match=r"\.bit is not the file that .*json was written for"):
        read_manifest(bitfile)
    path.unlink()
    with pytest.raises(RunError, match="it holds the model, so copy it together"):
        read_manifest(bitfile)


def test_the_archive_for_the_board_is_whole_and_checks_itself(
    bitfile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "dsodenet-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    notebook = tmp_path / "a.ipynb"
    notebook.write_text("{}")
    out = package(bitfile, wheel, tmp_path / "board.zip", [notebook])
    again = package(bitfile, wheel, tmp_path / "again.zip", [notebook])
    assert out.read_bytes() == again.read_bytes()
    with zipfile.ZipFile(out) as packed:
        packed.extractall(tmp_path / "board")
    folder = tmp_path / "board" / bitfile.stem
    sums = [line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines()]
    assert {name for _, name in sums} == {file.name for file in folder.iterdir()} - {"SHA256SUMS"}
    for digest, name in sums:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert read_manifest(folder / bitfile.name)[0].fingerprint == PARAMS.fingerprint
    assert f"pip install --no-deps {wheel.name}" in (folder / "INSTALL.txt").read_text()
    with pytest.raises(InputError, match=r"it must be a dsodenet-\*\.whl"):
        package(bitfile, notebook, out)
    with pytest.raises(InputError, match=r"absent: no such file"):
        package(bitfile, wheel, out, [tmp_path / "absent"])
    with pytest.raises(InputError, match="two files of one name"):
        package(bitfile, wheel, out, [notebook, notebook])
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in ("01_train.ipynb", "03_run_on_the_zcu104.ipynb", "04_fpga_against_software.ipynb", "04_notes.txt"):
        (folder / name).write_text("{}")
    with monkeypatch.context() as patch:
        patch.setattr(archive, "source_folder", lambda name: tmp_path / name)
        with zipfile.ZipFile(package(bitfile, wheel, tmp_path / "notebooks.zip")) as packed:
            found = {Path(name).name for name in packed.namelist()}
    assert {name for name in found if name[0] == "0"} == {
        "03_run_on_the_zcu104.ipynb",
        "04_fpga_against_software.ipynb",
    }
    bitfile.write_bytes(b"other")
    with pytest.raises(RunError, match="is not the file that"):
        package(bitfile, wheel, out)
    assert out.read_bytes() == again.read_bytes()
