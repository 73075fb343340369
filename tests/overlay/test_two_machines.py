"""Inputs written here, built there by build.sh, brought back: with NumPy alone, and a recorder in place of Vivado."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dsodenet.contract import BOARDS, ZCU104, Kind, block_design
from dsodenet.errors import DsodenetError, InputError
from dsodenet.overlay import build, first_clock, publish_from
from dsodenet.runtime import read_manifest, selftest
from dsodenet.spec import Params
from tests.models import MODELS
from tests.vivado import block_designs, recorder

PARAMS = MODELS["time_bias"]
# Nothing but NumPy and the package itself can be imported.
NUMPY_ALONE = """
import sys
class Alone:
    def find_spec(self, name, path=None, target=None):
        if path is None and name not in sys.stdlib_module_names and name not in ("numpy", "dsodenet"):
            raise ModuleNotFoundError(f"{name} is not installed")
sys.meta_path.insert(0, Alone())
from dsodenet.cli import main
sys.exit(main(sys.argv[1:]))
"""


def numpy_alone(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", NUMPY_ALONE, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(a lowered run, the folder that build.sh left for it on the other machine)."""
    pytest.importorskip("hls4ml")
    pytest.importorskip("pynq")
    from dsodenet.runtime.simulated import write_overlay

    place = tmp_path_factory.mktemp("two")
    block_designs.lowered(place / "run")
    order = ("--kernel", "hls", "--inputs-only", "--out", place / "inputs", "--force")
    made = numpy_alone("overlay", place / "run", *order)
    assert made.returncode == 0, made.stderr
    other = place / "other"
    shutil.move(place / "inputs/overlay/hls", other)
    with pytest.MonkeyPatch.context() as patch:
        bit = write_overlay(block_design("built", Kind.HLS, 200), "kernel_0", place)
        path = os.environ["PATH"]
        recorder.make(place / "tools", bit, patch).install("vivado", "vitis-run")
        environment = dict(os.environ) | {"PATH": f"{place / 'tools' / 'bin'}:{path}"}
        ended = subprocess.run([other / "build.sh", "2"], env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert "--from FOLDER" in ended.stdout
    return place / "run", other


@pytest.fixture
def built(parts: tuple[Path, Path], tmp_path: Path) -> Path:
    shutil.copytree(parts[1], tmp_path / "built")
    return tmp_path / "built"


def test_a_person_finds_what_to_do(built: Path) -> None:
    text = (built / "README").read_text()
    assert "./build.sh 8" in text
    assert "@" not in text
    for words, message in ((["x"], "JOBS is x, but"), (["0"], "JOBS is 0, but"), ([], "no vivado on the PATH")):
        ended = subprocess.run(
            [built / "build.sh", *words], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}
        )
        assert (ended.returncode, message in ended.stderr) == (2, True), ended.stderr
    reports = {file.name for file in (built / "reports").iterdir()}
    for name in ("timing", "paths", "logic_levels", "congestion", "fanout", "methodology", "ram", "drc", "hierarchy"):
        assert f"implement_{name}.rpt" in reports
    assert (built / "checkpoints/routed.dcp").is_file()


def test_from_there_to_a_board_with_numpy_alone(parts: tuple[Path, Path], built: Path, tmp_path: Path) -> None:
    import pynq

    wheel = tmp_path / "dsodenet-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    out = tmp_path / "out"
    words = ("overlay", parts[0], "--kernel", "hls", "--from", built, "--out", out, "--package", wheel)
    ended = numpy_alone(*words)
    assert ended.returncode == 0, ended.stderr
    bit = out / f"{PARAMS.spec.name}.bit"
    with zipfile.ZipFile(bit.with_suffix(".zip")) as archive:
        archive.extractall(tmp_path)
    on_board = tmp_path / bit.stem / bit.name
    facts = read_manifest(on_board)[1]["build"]
    assert facts["clock_mhz"] == facts["clock_built_mhz"] == pytest.approx(187.498123)
    assert (facts["vivado"], facts["part"]) == ("2024.1", ZCU104.part)
    from dsodenet.runtime.simulated import ReferenceKernel, SimulatedZcu104

    overlay = pynq.Overlay(str(on_board), device=SimulatedZcu104(ReferenceKernel(PARAMS)))
    assert "kernel_0" in overlay.ip_dict
    report = selftest("sim", on_board)
    assert report.ok, str(report)


def edit(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(change((folder / name).read_text())) and None


def cut(folder: Path) -> None:
    bit = folder / "artefacts/overlay.bit"
    bit.write_bytes(bit.read_bytes()[:-3])


def another_part(folder: Path) -> None:
    bit = folder / "artefacts/overlay.bit"
    bit.write_bytes(bit.read_bytes().replace(b"xczu7ev", b"xczu9eg"))


WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "setup": (
        edit("reports/implement_timing.txt", lambda text: text.replace("wns 0.125", "wns -0.25")),
        r"timing is missed at 187\.498 MHz by 0\.25 ns of setup \(wns\); `--clock auto` publishes this build at 166",
    ),
    "hold": (
        edit("reports/implement_timing.txt", lambda text: text.replace("whs 0.012", "whs -0.1")),
        r"not met \(hold by 0\.1 ns\), and a slower clock does not mend that",
    ),
    "no timing": (edit("reports/implement_timing.txt", lambda text: ""), "wns is None, but it must be a number"),
    "another part": (another_part, r"overlay\.bit: is for part xczu9eg-ffvc1156-2-e, but the ZCU104 has xczu7ev"),
    "project of another part": (
        edit("reports/implement_built.txt", lambda text: text.replace("xczu7ev", "xczu9eg")),
        "was built for part xczu9eg-ffvc1156-2-e, but the ZCU104 has",
    ),
    "truncated": (cut, r"overlay\.bit: truncated: it promises 32 bytes and holds 29"),
    "edited JSON": (
        edit("inputs/build.json", lambda text: text.replace('"fixed"', '"auto"')),
        r"build\.json: edited or mixed: the inputs beside it are not those",
    ),
    "edited script": (edit("inputs/scripts/implement.tcl", lambda text: text + "#"), "edited or mixed"),
    "broken JSON": (edit("inputs/build.json", lambda text: text[:-9]), "not the description of a build"),
    "other inputs": (
        edit("reports/implement_built.txt", lambda text: re.sub("build_id .*", "build_id 0", text)),
        "the reports are from other inputs than those that lie there",
    ),
    "hand-off": (edit("artefacts/overlay.hwh", lambda text: text[:-30]), r"overlay\.hwh: not a hand-off file"),
    "other offsets": (
        edit("reports/xdsodenet_hls_hw.h", lambda text: text.replace("0x18", "0x1c")),
        "Vitis HLS put FRAMES at 0x1c, but the contract has it at 0x18",
    ),
    "not built": (lambda folder: shutil.rmtree(folder / "reports"), "step implement did not end well here; see logs/"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_refused_by_name(name: str, parts: tuple[Path, Path], built: Path, tmp_path: Path) -> None:
    spoil, message = WRONG[name]
    spoil(built)
    with pytest.raises(DsodenetError, match=message):
        publish_from(built, parts[0], "hls", tmp_path / "out")
    assert not list(tmp_path.glob("out/*.bit"))


def test_another_model_or_kernel_is_refused(parts: tuple[Path, Path], built: Path, tmp_path: Path) -> None:
    MODELS["plain"].save(tmp_path / "plain")
    with pytest.raises(DsodenetError, match=r"was built for model '\w+' \([0-9a-f]{16}\), but the run holds \w+"):
        publish_from(built, tmp_path / "plain", "hls")
    with pytest.raises(DsodenetError, match="was built with kernel 'hls', but rtl was asked for"):
        publish_from(built, parts[0], "rtl")
    with pytest.raises(DsodenetError, match="is not a folder that `dsodenet overlay --inputs-only` wrote"):
        publish_from(tmp_path, parts[0], "hls")


def test_a_missed_clock_becomes_the_next_one_that_the_board_has(
    parts: tuple[Path, Path], built: Path, tmp_path: Path
) -> None:
    """5.3334 ns and 0.25 ns missed: 1 / 5.5834 ns is 179.1 MHz, and the next clock of the board 166.665 MHz."""
    import pynq

    from dsodenet.runtime.simulated import ReferenceKernel, SimulatedZcu104

    WRONG["setup"][0](built)
    bit = publish_from(built, parts[0], "hls", tmp_path / "out", clock="auto")
    facts = read_manifest(bit)[1]["build"]
    assert (facts["clock_mhz"], facts["timing"]["setup_slack_ns"]) == (pytest.approx(166.665), -0.25)
    pynq.Overlay(str(bit), device=SimulatedZcu104(ReferenceKernel(PARAMS)))
    assert pynq.Clocks.fclk0_mhz == pytest.approx(166.665)
    slower = publish_from(built, parts[0], "hls", tmp_path / "slow", clock=101)
    assert read_manifest(slower)[1]["build"]["clock_mhz"] == pytest.approx(99.999)


def test_a_build_may_take_a_slower_clock(
    tmp_path: Path, parts: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(parts[0], run)
    tools = recorder.make(tmp_path / "tools", parts[0].parent / "built.bit", monkeypatch)
    tools.install("vivado", "vitis-run")
    tools.faults("setup")
    bit = build(run, "hls", clock="auto", strategy="explore", debug=True, jobs=2)
    assert read_manifest(bit)[1]["build"]["clock_mhz"] == pytest.approx(166.665)
    assert ["impl_1", "strategy", "Performance_Explore"] in tools.of("property")
    assert tools.of("monitor") == [
        [f"kernel_0/{pin}", f"system_ila_0/SLOT_{i}_{kind}"]
        for i, (pin, kind) in enumerate((("s_axis", "AXIS"), ("m_axis", "AXIS"), ("s_axi_control", "AXI")))
    ]
    tools.faults("setup", "hold")
    with pytest.raises(DsodenetError, match=r"setup by 0\.25 ns, hold by 0\.01 ns\): no bitstream"):
        build(run, "hls", clock=150.0)
    for options, message in (
        ({"clock": 5.0}, "clock is 5.0, but it must be 10 to 600 MHz, or auto"),
        ({"jobs": 0}, "jobs is 0, but it must be 1 to 99"),
        ({"strategy": "fast"}, "strategy is 'fast', but it must be one of standard, explore"),
    ):
        with pytest.raises(InputError, match=message):
            build(run, "hls", **options)  # type: ignore[arg-type]


def test_the_engine_alone_gives_a_first_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Params.save(MODELS["plain"], tmp_path / "run")
    tools = recorder.make(tmp_path / "tools", tmp_path, monkeypatch)
    tools.install("vivado")
    found = first_clock(tmp_path / "run", clock=250.0)
    assert found == {"wns": 0.125, "period_ns": 4.0, "fastest_mhz": pytest.approx(1e3 / 3.875)}
    assert [step for (step,) in tools.of("step")] == ["opt_design", "place_design", "phys_opt_design", "route_design"]
    assert not tools.of("bitstream")


def test_pynq_z2_is_refused_with_the_reason() -> None:
    ended = numpy_alone(
        "overlay", "zoo:digits-xs", "--kernel", "rtl", "--out", "x", "--board", "pynq-z2", "--inputs-only"
    )
    assert ended.returncode == 2
    assert f"must be one of {', '.join(BOARDS)}; pynq-z2: its XC7Z020 has DSP48E1" in ended.stderr
    assert json.dumps(ended.stdout) == '""'
