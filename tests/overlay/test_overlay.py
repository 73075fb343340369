"""The overlay scripts against a recorder of the vendor's tools.

No such tool runs here (see recorder.py and overlays/README.md).
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from dsodenet.contract import design
from dsodenet.contract.registers import CTRL_FIELDS, REGISTERS, Kind
from dsodenet.errors import InputError, RunError, ToolError
from dsodenet.files import only_one
from dsodenet.overlay import project
from dsodenet.overlay.flow import build
from dsodenet.overlay.kernel_files import wrapper_text
from dsodenet.overlay.tools import run_tool
from dsodenet.runtime.artefacts import read_manifest
from dsodenet.runtime.simulated import hwh
from dsodenet.spec.layers import sections
from dsodenet.spec.params import Params
from tests.models import MODELS
from tests.vivado import block_designs, recorder
from tests.vivado.recorder import Recorder

PARAMS = MODELS["time_bias"]
ENGINE = """// a kernel
module dsodenet_engine
  import some_pkg::*;
#(
    parameter int unsigned LANES = 1
) (
    input  logic         clk,
    input  logic         rst_n,
    input  logic [8:0]   s_axi_control_awaddr,
    input  logic [127:0] s_axis_tdata,
    output logic [127:0] m_axis_tdata,  // logits
    output logic         interrupt
);
endmodule
"""


@pytest.fixture(scope="module")
def bit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the recorder's write_bitstream yields."""
    pytest.importorskip("pynq")
    return hwh.write_overlay(design.block_design("any", Kind.HLS, 200), "kernel_0", tmp_path_factory.mktemp("bit"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A lowered run whose kernel.cpp is the real one; the sections, which hls4ml writes, are empty."""
    pytest.importorskip("hls4ml")
    folder = tmp_path / "run"
    block_designs.lowered(folder)
    return folder


@pytest.fixture
def tools(tmp_path: Path, bit: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = recorder.make(tmp_path / "tools", bit, monkeypatch)
    made.install("vivado", "vitis-run")
    return made


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the sources of the rtl kernel."""

    def sources(run: Path, params: Params, board: design.Board, folder: Path) -> list[str]:
        folder.mkdir()
        (folder / "engine.sv").write_text(ENGINE)
        (folder / "dsodenet_rtl.v").write_text(wrapper_text(ENGINE, "dsodenet_engine", {"LANES": 4}))
        return ["engine.sv", "dsodenet_rtl.v"]

    monkeypatch.setitem(project.SOURCES, Kind.RTL, sources)


# the whole flow


def check_design(tools: Recorder, kind: Kind, double_pumped: bool = False) -> None:
    """What the recorder saw is what the table says."""
    table = design.block_design(PARAMS.spec.name, kind, PARAMS.spec.kernel.clock_mhz, double_pumped=double_pumped)
    assert ["project", table.board.part] in tools.of("project")
    assert ["current_project", "board_part", f"{table.board.board_part}:9.9"] in tools.of("property")
    assert tools.of("cell") == [[i.name, i.vlnv] for i in table.instances]
    settings = {(name, key): value for name, key, value in tools.of("property") if key.startswith("CONFIG.")}
    assert settings == {(i.name, f"CONFIG.{key}"): value for i in table.instances for key, value in i.parameters}
    assert tools.of("bus") == [["/".join(master), "/".join(slave)] for master, slave in table.buses]
    nets = [["/".join(net.driver), *("/".join(load) for load in net.loads)] for net in table.nets]
    assert tools.of("net") == nets
    assert tools.of("address") == [
        ["zynq_ultra_ps_e_0/Data", f"{w.instance}/{w.interface}/Reg", str(w.base), str(w.size)] for w in table.windows
    ] + [
        [f"axi_dma_0/{space}", "zynq_ultra_ps_e_0/SAXIGP2/HP0_DDR_LOW", "0", str(2 << 30)]
        for space in ("Data_MM2S", "Data_S2MM")
    ]
    assert len(tools.of("excluded")) == 4
    assert tools.of("automation") == [
        ["zynq_ultra_ps_e_0", "xilinx.com:bd_rule:zynq_ultra_ps_e", "apply_board_preset 1"]
    ]
    assert len(tools.of("validated")) == len(tools.of("bitstream")) == 1
    order = [event[0] for event in tools.events]
    assert order.index("net") > order.index("cell")
    assert order.index("automation") < order.index("property", order.index("automation")), (
        "a preset would undo the settings"
    )


def test_the_hls_overlay(run: Path, tools: Recorder, bit: Path) -> None:
    steps: list[str] = []
    result = build(run, "hls", progress=steps.append, jobs=3)
    assert result == run / f"{PARAMS.spec.name}.bit"
    check_design(tools, Kind.HLS)
    assert tools.of("top") == [["dsodenet_hls"]]
    assert tools.of("ip") == [[design.KERNEL_VLNVS[Kind.HLS]]]
    assert tools.of("clock") == [["5.3334"]]
    assert [name for name, _ in tools.of("source")] == [
        "kernel.cpp",
        *(f"{s.name}.cpp" for s in sections(PARAMS.spec.network)),
    ]
    assert not list((run / "overlay/hls/inputs/src").rglob("ap_types")), "Vitis HLS has its own"
    assert result.read_bytes() == bit.read_bytes()
    params, manifest = read_manifest(result)
    assert params.fingerprint == PARAMS.fingerprint
    facts = manifest["build"]
    assert facts["clock_mhz"] == pytest.approx(187.498123)
    assert facts["timing"]["setup_slack_ns"] == 0.125
    assert facts["utilisation"]["bram36"] == {"used": 100.5, "available": 312}
    assert facts["power_estimate"]["total_w"] == 4.321
    assert [step.split(":")[0] for step in steps] == ["inputs", "kernel", "design", "implement"]
    assert set(facts["seconds"]) == {"kernel", "design", "implement"}


@pytest.mark.parametrize("release", ["2024.1", "2024.1.2", "2025.2"])
def test_the_rtl_overlay(
    tmp_path: Path, bit: Path, engine: None, monkeypatch: pytest.MonkeyPatch, release: str
) -> None:
    tools = recorder.make(tmp_path / "tools", bit, monkeypatch, release)
    tools.install("vivado")  # no HLS needed
    PARAMS.save(tmp_path / "run")
    build(tmp_path / "run", "rtl", tmp_path / "out")
    check_design(tools, Kind.RTL)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        f"{PARAMS.spec.name}.{x}" for x in ("bit", "hwh", "json")
    ]
    assert tools.of("source") == [["engine.sv"], ["dsodenet_rtl.v"]]
    properties = {(name, key): value for name, key, value in tools.of("property")}
    assert [words[2] for words in tools.of("property") if words[:2] == ["current_fileset", "top"]] == [
        "dsodenet_rtl",
        "overlay_wrapper",
    ]
    assert properties["core", "name"] == "dsodenet_rtl"
    assert properties["block Reg", "range"] == str(design.WINDOW_BYTES)
    for register in REGISTERS.values():
        assert int(properties[f"register {register.name}", "address_offset"], 0) == register.offset
        assert int(properties[f"register {register.name}", "size"]) == 32 * register.words
        assert properties[f"register {register.name}", "description"] == register.description
    assert properties["field AP_IDLE", "bit_offset"] == "2"
    assert len([key for key in properties if key[0].startswith("field")]) == 3 * len(CTRL_FIELDS)


def test_the_rtl_kernel_of_this_tree(tmp_path: Path) -> None:
    rtl = pytest.importorskip("dsodenet.rtl")
    PARAMS.save(tmp_path / "run")
    inputs = build(tmp_path / "run", "rtl", inputs_only=True)
    names = {file.name for file in (inputs / "inputs/src").iterdir()}
    assert {file.name for file in rtl.engine_sources()} < names
    wrapper = (inputs / "inputs" / "src" / "dsodenet_rtl.v").read_text()
    assert f"{rtl.ENGINE_TOP} #(" in wrapper
    assert "s_axi_control AWADDR" in wrapper


def test_the_older_hls_program_is_used_when_the_newer_is_missing(run: Path, tools: Recorder) -> None:
    (tools.folder / "bin" / "vitis-run").unlink()
    tools.install("vitis_hls")
    build(run, "hls")
    assert tools.of("ip")


@pytest.mark.parametrize("kernel", ["hls", "rtl"])
def test_the_summary_shows_the_recorded_design(tmp_path: Path, kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = block_designs.summary(block_designs.record(kernel, tmp_path, monkeypatch))
    table = design.block_design("any", project.KINDS[kernel], 200)
    for instance in table.instances:
        assert re.search(rf"^{instance.name} +{instance.vlnv} +{len(instance.parameters)}$", text, re.MULTILINE)
    for master, slave in table.buses:
        assert re.search(rf"^{'/'.join(master)} +{'/'.join(slave)}$", text, re.MULTILINE)
    for net in table.nets:
        assert all("/".join(load) in text for load in net.loads)
    assert max(map(len, text.splitlines())) <= 110


# steps


def test_a_step_is_run_again_only_when_its_inputs_change(run: Path, tools: Recorder) -> None:
    build(run, "hls")
    tools.forget()
    result = build(run, "hls")
    assert tools.events == []
    (run / "overlay/hls/artefacts/overlay.bit").unlink()
    build(run, "hls")
    assert [event[0] for event in tools.events] == ["reset", "property", "run", "run", *["report"] * 11, "bitstream"]
    tools.forget()
    (run / "hls/kernel.cpp").write_text((run / "hls/kernel.cpp").read_text() + "// changed\n")
    build(run, "hls")
    for event in ("ip", "cell", "bitstream"):
        assert tools.of(event)
    logs = sorted(log.name for log in (run / "overlay/hls/logs").iterdir())
    assert logs == [
        "design_1.log",
        "design_2.log",
        "implement_1.log",
        "implement_2.log",
        "implement_3.log",
        "kernel_1.log",
        "kernel_2.log",
    ]
    assert result.exists()


FAULTS = {
    "csynth": "vitis-run failed with status 1: .*undefined function; its log is .*kernel_1.log",
    "offset": r"Vitis HLS put FRAMES at 0x1c, but the contract has it at 0x18",
    "board": "finds no board xilinx.com:zcu104:part0; install its board files",
    "ip": "finds no IP xilinx.com:ip:axi_dma",
    "validate": "BD 41-237",
    "synth_1": "synth_1 ended as 'synth_design ERROR'; its log is in vivado/project.runs/synth_1",
    "impl_1": "impl_1 ended as 'route_design ERROR'",
    "setup": r"timing is not met at 187.498 MHz \(setup by 0.25 ns\): no bitstream is written",
    "hold": r"hold by 0.01 ns",
    "pulse": r"pulse width by 0.5 ns",
    "route": "3 nets without a route",
    "unknown_timing": "timing is unknown: Vivado reports no wns",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failed_step_says_why_and_keeps_what_was_built(run: Path, tools: Recorder, fault: str) -> None:
    tools.faults(fault)
    for _ in range(2):
        with pytest.raises(ToolError, match=FAULTS[fault].replace("kernel_1", r"kernel_\d")):
            build(run, "hls")
    assert not (run / f"{PARAMS.spec.name}.bit").exists()
    assert not (run / "overlay/hls/artefacts/overlay.bit").exists()
    tools.faults()
    result = build(run, "hls")
    before = {file.name: file.read_bytes() for file in run.glob(f"{PARAMS.spec.name}.*")}
    assert len(before) == 3
    kernel = run / "hls/kernel.cpp"
    kernel.write_text(kernel.read_text() + "// changed\n")
    tools.faults(fault)
    with pytest.raises(ToolError):
        build(run, "hls")
    assert {file.name: file.read_bytes() for file in run.glob(f"{PARAMS.spec.name}.*")} == before
    assert not (run / "overlay/hls/artefacts/overlay.bit").exists() or fault in (
        "csynth",
        "offset",
        "board",
        "ip",
        "validate",
    )
    read_manifest(result)


def test_the_host_looks_at_the_timing_too(run: Path, tools: Recorder) -> None:
    build(run, "hls")
    file = run / "overlay/hls/reports/implement_timing.txt"
    file.write_text(file.read_text().replace("wns 0.125", "wns -0.001"))
    with pytest.raises(ToolError, match=r"timing is missed at 187\.498 MHz by 0\.001 ns of setup \(wns\)"):
        build(run, "hls")


def test_a_tool_that_does_not_end_is_ended(run: Path, tools: Recorder) -> None:
    build(run, "hls")
    (run / "overlay/hls/artefacts/overlay.bit").unlink()  # only the last step is run again
    tools.faults("endless")
    start = time.monotonic()
    with pytest.raises(ToolError, match=r"vivado did not finish in 2 s; its log is .*implement_2\.log"):
        build(run, "hls", timeout_s=2)
    assert time.monotonic() - start < 15


def test_an_interrupt_ends_the_tool_and_keeps_what_was_built(
    run: Path, tools: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = build(run, "hls")
    before = {file.name: file.read_bytes() for file in run.glob(f"{PARAMS.spec.name}.*")}
    (run / "overlay/hls/artefacts/overlay.bit").unlink()
    tools.faults("endless")
    started: list[subprocess.Popen[bytes]] = []
    wait = subprocess.Popen.wait

    def interrupted(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        if process in started or "implement.tcl" not in " ".join(map(str, process.args)):  # type: ignore[arg-type]
            return wait(process, timeout)
        started.append(process)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(subprocess.Popen, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            build(run, "hls")
    assert started[0].poll() is not None, "the tool still runs"
    assert {file.name: file.read_bytes() for file in run.glob(f"{PARAMS.spec.name}.*")} == before
    tools.faults()
    assert build(run, "hls") == result


def test_a_tool_that_ignores_the_signal_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dsodenet.overlay import tools as module

    monkeypatch.setattr(module, "KILL_AFTER_S", 0.2)
    command = ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]
    with pytest.raises(ToolError, match=r"sh did not finish in 0\.3 s"):
        run_tool(command, tmp_path, tmp_path / "log", 0.3)


# refusals, before any work


def test_missing_tools_are_named_before_anything_is_written(run: Path, tools: Recorder) -> None:
    for name in ("vivado", "vitis-run"):
        (tools.folder / "bin" / name).unlink()
    with pytest.raises(
        ToolError,
        match=r"hls kernel needs vivado and vitis-run \(or the older vitis_hls\) on the PATH; source settings64",
    ):
        build(run, "hls")
    with pytest.raises(ToolError, match="rtl kernel needs vivado on the PATH"):
        build(run, "rtl")
    assert not (run / "overlay").exists()
    inputs = build(run, "hls", inputs_only=True)
    assert (inputs / "inputs/config.tcl").is_file()
    assert (inputs / "inputs/scripts/design.tcl").is_file()


def test_an_older_release_is_refused_and_a_later_one_warned_of(
    tmp_path: Path, run: Path, bit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = recorder.make(tmp_path / "tools", bit, monkeypatch, "2022.2")
    tools.install("vivado", "vitis-run")
    with pytest.raises(ToolError, match=r"is version 2022\.2, but the scripts need 2023\.1 or later"):
        build(run, "hls")
    # The scripts check it too, for those who start them by hand.
    monkeypatch.setattr("dsodenet.overlay.tools.FIRST_RELEASE", "2022.1")
    with pytest.raises(ToolError, match=r"this is Vivado 2022\.2, but the scripts need 2023\.1 or later"):
        build(run, "hls")
    monkeypatch.setenv("RECORD_VIVADO", "2024.10")
    steps: list[str] = []
    build(run, "hls", progress=steps.append)
    assert "warning: Vivado is 2024.10; the scripts are made for 2024.1 and 2025.2" in steps


def test_other_bad_input_is_refused_in_words(run: Path, tools: Recorder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="kernel is 'vhdl', but it must be one of rtl, hls"):
        build(run, "vhdl")
    shutil.copytree(run, run.parent / "my run [1]")
    with pytest.raises(InputError, match=r"has ' ' '\[' '\]' in its path, but the tools take letters"):
        build(run.parent / "my run [1]", "hls")
    with only_one(run / "overlay/hls", "build"), pytest.raises(RunError, match="another build is running here"):
        build(run, "hls")
    shutil.rmtree(run / "hls")
    with pytest.raises(RunError, match="no lowered kernel and no C simulation here; run `dsodenet lower"):
        build(run, "hls")
    with pytest.raises(InputError, match="module other has the ports none, but needs clk and rst_n"):
        wrapper_text(ENGINE, "other", {})


# the recorder itself must be able to say no


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("validate_bd_design\n", "validate_design\n", "unknown command: validate_design"),
        ("connect_bd_net {*}$pins", "connect_bd_net -net x {*}$pins", "unknown option -net"),
        ("-type ip -vlnv", "-type ip -vlvn", "unknown option -vlvn"),
    ],
)
def test_a_wrong_script_is_noticed(
    run: Path, tools: Recorder, monkeypatch: pytest.MonkeyPatch, old: str, new: str, message: str
) -> None:
    broken = run.parent / "sources" / "overlays"
    shutil.copytree(Path(__file__).parents[2] / "overlays" / "zcu104", broken / "zcu104")
    script = broken / "zcu104" / "design.tcl"
    assert old in script.read_text()
    script.write_text(script.read_text().replace(old, new))
    monkeypatch.setattr(project, "source_folder", lambda name: broken)
    with pytest.raises(ToolError, match=message):
        build(run, "hls")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clock": ("zynq_ultra_ps_e_0", "pl_clk9")}, "finds no pin zynq_ultra_ps_e_0/pl_clk9"),
        ({"buses": ((("axi_dma_0", "M_AXIS"), ("kernel_0", "s_axis")),)}, "finds no interface axi_dma_0/M_AXIS"),
    ],
)
def test_a_wrong_table_is_noticed(
    run: Path, tools: Recorder, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], message: str
) -> None:
    good = project.block_design
    monkeypatch.setattr(project, "block_design", lambda *args: dataclasses.replace(good(*args), **change))
    with pytest.raises(ToolError, match=message):
        build(run, "hls")
