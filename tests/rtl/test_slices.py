"""packed_mac as named DSP slices, which is what Vivado gets, against its behaviour, which is what is simulated."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dsodenet.errors import ToolError
from dsodenet.rtl import build as rtl

pytestmark = pytest.mark.slow

try:
    VERILATOR = rtl.verilator()
except ToolError as error:
    pytest.skip(str(error), allow_module_level=True)
HERE = Path(__file__).parent / "slices"
MAC = rtl.engine_folder() / "packed_mac.sv"


def simulated(mac: Path, folder: Path) -> str:
    """What the bench prints."""
    sources = [mac, HERE / "DSP48E2.sv", HERE / "packed_mac_bench.sv"]
    command = [VERILATOR, "--binary", "--timing", "-Wno-fatal", "-Wno-lint", "--x-initial", "fast", "--Mdir", folder]
    build = [*command, "--top-module", "packed_mac_bench", "-CFLAGS", "-std=gnu++20", *sources]
    made = subprocess.run(
        list(map(str, build)), env=rtl.environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert made.returncode == 0, made.stderr
    return subprocess.run(
        [folder / "Vpacked_mac_bench"], capture_output=True, text=True, timeout=120, check=False
    ).stdout


def test_named_slices_give_the_sums_of_the_behaviour(tmp_path: Path) -> None:
    """Four kinds: weights held or not, operands of eight and nine bits; cascades of three, 20,000 cycles."""
    assert "0 of 239856 differ" in simulated(MAC, tmp_path / "build")
