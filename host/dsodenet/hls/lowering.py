"""Exported run -> RUN/hls: HLS C++ of the whole kernel, and its C simulation as a shared library.

RUN/hls/<section>/          hls4ml's projects of stem, each f, downs and head, each in its own namespace
RUN/hls/include/            headers that the projects share, and the written half of the kernel (hls/)
RUN/hls/config.h            types and chain of this model
RUN/hls/model.h kernel.cpp  its top function
RUN/hls/manifest.json       the fingerprint of the model in it, its reuse factors, what they are estimated to cost, and
                            the seal of all other files
RUN/hls/libdsodenet_csim.so
RUN/hls/concurrent/         the concurrent simulation, when it was asked for
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dsodenet.contract import cpp_header
from dsodenet.errors import RunError, ToolError
from dsodenet.files import atomic_folder, source_folder
from dsodenet.hls.cplusplus import parser
from dsodenet.hls.plan_search import check_plan_fits, choose_plan
from dsodenet.hls.reuse import Plan
from dsodenet.hls.rules import check_rules
from dsodenet.native import check_seal, seal
from dsodenet.runs import Run, read_manifest, write_manifest
from dsodenet.spec import Params, all_layers, sections

CONCURRENT = "concurrent"  # folder in RUN/hls; made later, under a seal of its own
SHARED_HEADERS = ("nnet_utils", "ap_types")
COMPILE_TIMEOUT_S = 1800
# Vitis HLS takes INTERFACE on the top function alone.
INTERFACE = r"^\s*#pragma HLS INTERFACE .*\n"
# hls4ml wants all weights of a pointwise layer in registers, whatever their strategy; those that share a multiplier are
# in memories, and the constants of the others need no pragma.
POINTWISE_WEIGHTS = r"^\s*#pragma HLS ARRAY_PARTITION variable=weights complete\n"
# -O1 compiles twice as fast as -O2 and simulates nearly as fast. hls4ml's headers draw warnings: not ours to mend.
CXX_FLAGS = ("-O1", "-std=c++14", "-fPIC", "-w", "-fno-gnu-unique")


def lower(
    run: str | Path,
    progress: Callable[[str], None] = lambda step: None,
    reuse_factor: int | None = None,
    force: bool = False,
) -> Path:
    """Lower an exported run and compile its C simulation; returns RUN/hls, which appears whole or not at all.

    reuse_factor: of every layer, or the largest below it that the layer can have; without one the fastest choice that
    leaves the device room. SpecError for a kernel that is estimated not to fit the device, unless forced.
    """
    run = Path(run)
    params = Params.load(run)
    plan = choose_plan(params.spec, reuse_factor)
    if not force:
        check_plan_fits(plan)
    compiler = find_compiler()
    parser()  # now, so that a missing package shows before the work
    from dsodenet.qonnx_graph import check_pieces

    pieces = check_pieces(params, run)
    with atomic_folder(Run(run).hls) as folder:
        write_sources(params, plan, pieces, folder, progress)
        progress("rules of Vitis HLS")
        if findings := check_rules(folder):
            raise ToolError(f"the kernel breaks {len(findings)} rules of Vitis HLS, first {findings[0]}")
        compile_csim(params, compiler, folder, progress)
        model = {"model": params.spec.name, "fingerprint": params.kernel_fingerprint}
        write_manifest(folder, model | plan.to_dict() | seal(folder))
    return Run(run).hls


def lowered_folder(run: str | Path) -> Path:
    """RUN/hls of a lowered run; RunError when it is missing or was made from other integers."""
    return _lowered(run, Params.load(run))[0]


def _lowered(run: str | Path, params: Params) -> tuple[Path, dict[str, Any]]:
    """RUN/hls and its manifest."""
    if name := Run(Path(run)).zoo_name:
        raise RunError(
            f"{name} comes without an HLS kernel, so it has no C simulation; run it on cpu, rtl or zcu104-sim"
        )
    folder, made = Run(Path(run)).hls, "lowered kernel and no C simulation"
    return folder, read_manifest(folder, params.kernel_fingerprint, made, f"dsodenet lower {run}")


def lowered_plan(run: str | Path) -> Plan:
    """The reuse factors that a run was lowered with, and their estimated cost; RunError where they are unknown."""
    params = Params.load(run)
    folder, manifest = _lowered(run, params)
    spec, factors = params.spec, manifest.get("reuse_factors")
    names = {layer.name for layer in all_layers(spec.network)}
    if not isinstance(factors, dict) or set(factors) != names or not all(isinstance(n, int) for n in factors.values()):
        raise RunError(
            f"{folder}: its manifest does not say each layer's reuse factor; run `dsodenet lower {run}` again"
        )
    return Plan(spec, factors)


def csim_library(run: str | Path) -> Path:
    """The C simulation of a lowered run.

    RunError when it is missing, was made from other integers, or was not compiled by this account.
    """
    library = Run(Path(run)).csim
    sealed_folder(run)
    if not library.is_file():
        raise RunError(f"{library.parent}: no C simulation here; run `dsodenet lower {run}`")
    return library


def sealed_folder(run: str | Path) -> Path:
    """RUN/hls, all of it as `lower` left it in this account: its code may run. RunError where it may not."""
    folder, manifest = _lowered(run, Params.load(run))
    check_seal(folder, manifest, f"dsodenet lower {run}", (CONCURRENT,))
    return folder


def find_compiler() -> str:
    """The C++ compiler: $CXX, or g++."""
    name = os.environ.get("CXX", "g++")
    compiler = shutil.which(name)
    if compiler is None:
        raise ToolError(f"the C simulation needs a C++ compiler, but {name} is not on the PATH; install g++ or set CXX")
    return compiler


def write_sources(params: Params, plan: Plan, qonnx: Path, folder: Path, progress: Callable[[str], None]) -> None:
    """Write every C++ file of the kernel into `folder`."""
    from dsodenet.hls.graph import project, quiet, streaming_graph
    from dsodenet.hls.kernel import config_header, kernel_source, model_header

    include = folder / "include"
    include.mkdir()
    for section in sections(params.spec.network):
        progress(f"hls4ml {section.name}")
        with quiet():
            model = streaming_graph(qonnx / f"{section.name}.onnx")
            project(params, section, model, folder / section.name, plan.factors).write()
        firmware = folder / section.name / "firmware"
        _keep_only(folder / section.name, firmware)
        for file in firmware.glob("*.cpp"):
            _edit(file, INTERFACE, "")
        for name in SHARED_HEADERS:  # the same in every project: kept once
            if not (include / name).exists():
                shutil.move(firmware / name, include / name)
            else:
                shutil.rmtree(firmware / name)
    _edit(include / "nnet_utils" / "nnet_sepconv2d_stream.h", POINTWISE_WEIGHTS, "")
    shutil.copytree(source_folder("hls"), include, dirs_exist_ok=True)
    (include / "contract.h").write_text(cpp_header(), encoding="utf-8")
    (folder / "config.h").write_text(config_header(params, plan), encoding="utf-8")
    (folder / "model.h").write_text(model_header(params), encoding="utf-8")
    (folder / "kernel.cpp").write_text(kernel_source(params), encoding="utf-8")


def _keep_only(project: Path, firmware: Path) -> None:
    """Delete what hls4ml writes to build a section alone: its test bench, its bridge and its scripts."""
    for item in project.iterdir():
        if item != firmware:
            shutil.rmtree(item) if item.is_dir() else item.unlink()


def _edit(file: Path, pattern: str, replacement: str) -> None:
    """Replace every match of a pattern; ToolError when there is none, as in another release of hls4ml."""
    text, count = re.subn(pattern, replacement, file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if not count:
        raise ToolError(
            f"{file.name}: hls4ml wrote nothing like {pattern!r}; the release that this was made for is 1.3.0"
        )
    file.write_text(text, encoding="utf-8")


def compile_csim(params: Params, compiler: str, folder: Path, progress: Callable[[str], None]) -> None:
    """Compile the sources in `folder`, several at a time, into the C-simulation library."""
    names = [f"{s.name}/firmware/{s.name}.cpp" for s in sections(params.spec.network)]
    sources = [Path(name) for name in ("kernel.cpp", "include/csim/csim.cpp", *names)]
    includes = [f"-I{path}" for path in (".", "include", "include/csim", "include/ap_types")]

    def compile_one(source: Path) -> str:
        target = source.with_suffix(".o")
        _run([compiler, *CXX_FLAGS, *includes, "-c", str(source), "-o", str(target)], folder)
        progress(f"g++ {source.stem}")
        return str(target)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, sources))
    _run([compiler, "-shared", *objects, "-o", Run(folder).csim.name], folder)
    for item in objects:
        (folder / item).unlink()


def _run(command: list[str], folder: Path) -> None:
    """Run a compiler; ToolError with the first lines of what it said when it fails."""
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise ToolError(f"{command[0]} did not finish {command[-3]} within {COMPILE_TIMEOUT_S} s") from None
    if result.returncode:
        raise ToolError(f"{' '.join(command)} failed: {' / '.join(result.stderr.strip().splitlines()[:5])}")
