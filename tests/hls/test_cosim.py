"""The co-simulation's test bench, on the C++ that it would hold the Verilog against, and the script's call of it.

No Vitis HLS runs here: the bench is compiled with the kernel's C simulation, and the script meets the recorder.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dsodenet.bench.studies.ladder_grid import CASES, make_run
from dsodenet.contract import design
from dsodenet.contract.registers import Kind
from dsodenet.errors import InputError
from dsodenet.files import source_folder
from dsodenet.hls import find_compiler, lowered_folder
from dsodenet.overlay import build
from dsodenet.overlay.cosim import cosim_text
from dsodenet.runs import Run
from dsodenet.runtime.simulated import hwh
from dsodenet.spec import Params
from tests.vivado import recorder
from tests.vivado.block_designs import lowered

pytestmark = pytest.mark.usefixtures("compiler")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The compiled bench of a timed model, and its commands."""
    folder = tmp_path_factory.mktemp("cosim")
    run = folder / "run"
    make_run(CASES["low_rank"].spec("cosim"), run, seed=5)
    hls = lowered_folder(run)
    includes = [f"-I{hls / part}" for part in ("", "include", "include/csim", "include/ap_types")]
    source = source_folder("overlays") / "zcu104" / "cosim.cpp"
    command = [find_compiler(), "-O1", "-std=c++14", "-w", *includes, str(source), str(Run(run).csim)]
    subprocess.run([*command, f"-Wl,-rpath,{hls}", "-o", str(folder / "bench")], check=True, timeout=300)
    return folder / "bench", cosim_text(Params.load(run))


def answer(bench: Path, text: str, tmp_path: Path) -> tuple[int, str]:
    file = tmp_path / "commands.txt"
    file.write_text(text)
    result = subprocess.run([bench, file], capture_output=True, text=True, timeout=120)
    return result.returncode, result.stdout + result.stderr


def test_bench_takes_the_kernel_for_right(bench: tuple[Path, str], tmp_path: Path) -> None:
    assert answer(*bench, tmp_path) == (0, "cosim: 2 commands, 0 words differ\n")


def test_bench_sees_one_wrong_word_and_a_short_file(bench: tuple[Path, str], tmp_path: Path) -> None:
    lines = bench[1].splitlines()
    words = lines[-1].split()
    words[0] = f"{int(words[0], 16) ^ 1:x}"
    code, said = answer(bench[0], "\n".join([*lines[:-1], " ".join(words)]), tmp_path)
    assert (code, said) == (1, "cosim: 2 commands, 1 words differ\n")
    code, said = answer(bench[0], "\n".join(lines[:-1]), tmp_path)
    assert code == 1
    assert "ends before its commands do" in said


def test_script_simulates_only_where_it_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bit = hwh.write_overlay(design.block_design("any", Kind.HLS, 200), "kernel_0", tmp_path)
    tools = recorder.make(tmp_path / "tools", bit, monkeypatch)
    tools.install("vivado", "vitis-run")
    lowered(tmp_path / "run")
    build(tmp_path / "run", "hls")
    assert tools.of("cosim") == []
    build(tmp_path / "run", "hls", cosim=True)
    assert tools.of("testbench") == [["cosim.cpp"]]
    assert tools.of("cosim") == [["cosim.txt", "verilog"]]
    with pytest.raises(InputError, match="only the hls kernel has a co-simulation"):
        build(tmp_path / "run", "rtl", cosim=True)
