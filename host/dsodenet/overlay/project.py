"""The inputs of an overlay build: the scripts, the kernel's sources, and the block design table as Tcl data.

They are one folder that stands alone: it can be taken to the machine where Vivado is, built there by `build.sh`, and
brought back to `dsodenet overlay RUN --from`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsodenet.contract import (
    ADDRESS_BLOCK,
    CONTRACT_VERSION,
    CTRL_FIELDS,
    FAST_CLOCK_PIN,
    KERNEL_VLNVS,
    REGISTERS,
    WINDOW_BYTES,
    ZCU104,
    Board,
    Design,
    Kind,
    block_design,
)
from dsodenet.errors import InputError
from dsodenet.files import atomic_file, atomic_folder, source_folder, write_json
from dsodenet.overlay import tcl
from dsodenet.overlay.cosim import cosim_text
from dsodenet.overlay.kernel_files import SOURCES, TOPS
from dsodenet.spec import KERNELS, Params, lanes_text

FIRST_RELEASE = "2023.1"
RELEASES = ("2024.1", "2025.2")  # PYNQ 3.1 and PYNQ 4.0 are made with them
KINDS = {"rtl": Kind.RTL, "hls": Kind.HLS}
assert set(KINDS) == set(KERNELS)
KERNEL_SCRIPTS = {Kind.HLS: "hls.tcl", Kind.RTL: "package_rtl.tcl"}
ACCESS = {"rw": "read-write", "ro": "read-only"}  # the words of IP-XACT
# Strategies of the implementation, by Vivado's names (UG904); none has steps after the route: the gate comes there.
STRATEGIES = {
    "standard": "Vivado Implementation Defaults",
    "explore": "Performance_Explore",
    "extra": "Performance_ExtraTimingOpt",
    "congestion": "Congestion_SpreadLogic_high",
}
BUILD_FORMAT = 1


@dataclass(frozen=True)
class Order:
    """What is to be built of a run."""

    kind: Kind
    board: Board = ZCU104
    clock_mhz: float | None = None  # the fastest that is wanted; None: what the spec says
    auto: bool = False  # take a slower clock where this one is missed
    strategy: str = "standard"
    debug: bool = False  # with a logic analyser on streams and registers
    cosim: bool = False  # with a co-simulation of the hls kernel

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise InputError(f"strategy is {self.strategy!r}, but it must be one of {', '.join(STRATEGIES)}")
        if self.cosim and self.kind is not Kind.HLS:
            raise InputError(f"kernel is {self.kind.name.lower()!r}, but only the hls kernel has a co-simulation")

    def design(self, params: Params) -> Design:
        kernel = params.spec.kernel
        wanted = kernel.clock_mhz if self.clock_mhz is None else self.clock_mhz
        pumped = kernel.double_pumped and self.kind is Kind.RTL
        if pumped and self.auto:
            raise InputError(
                f"clock is 'auto', but the array of {lanes_text(kernel)} lanes has a clock that is made from the "
                "fabric's, for one frequency; give it, such as --clock 187.5"
            )
        return block_design(params.spec.name, self.kind, wanted, self.board, self.debug, pumped)


def kernel_kind(name: str) -> Kind:
    """hls or rtl as a Kind; InputError for another name."""
    if name not in KINDS:
        raise InputError(f"kernel is {name!r}, but it must be one of {', '.join(KINDS)}")
    return KINDS[name]


def write_inputs(run: Path, params: Params, order: Order, folder: Path) -> None:
    """Write everything the tools read to `folder`/inputs, which appears whole or stays as it was.

    Beside it README and build.sh, for a person. RunError when a part is missing.
    """
    design = order.design(params)
    with atomic_folder(folder / "inputs") as new:
        sources = SOURCES[order.kind](run, params, order.board, new / "src")
        shutil.copytree(source_folder("overlays") / "zcu104", new / "scripts", ignore=shutil.ignore_patterns("*.in"))
        if order.cosim:
            # Beside the sources, so that the kernel is built again when they change.
            shutil.copy(new / "scripts" / "cosim.cpp", new / "src")
            (new / "src" / "cosim.txt").write_text(cosim_text(params), encoding="utf-8")
        (new / "spec.json").write_text(json.dumps(params.to_dict(), indent=2) + "\n", encoding="utf-8")
        about = {
            "format": BUILD_FORMAT,
            "model": params.spec.name,
            "fingerprint": params.kernel_fingerprint,
            "contract": CONTRACT_VERSION,
            "kernel": order.kind.name.lower(),
            "lanes": lanes_text(params.spec.kernel),
            "board": order.board.name,
            "part": order.board.part,
            "clock_mhz": design.pl_clock.mhz,
            "clock": "auto" if order.auto else "fixed",
            "strategy": order.strategy,
            "debug": order.debug,
        }
        config = config_text(params, order, design, sources)
        (new / "config.tcl").write_text(config, encoding="utf-8")
        build_id = inputs_digest(new, about)
        (new / "config.tcl").write_text(config + _id_line(build_id), encoding="utf-8")
        write_json(about | {"build_id": build_id}, new / "build.json")
    for name in ("README", "build.sh"):
        text = (source_folder("overlays") / "zcu104" / f"{name}.in").read_text(encoding="utf-8")
        with atomic_file(folder / name) as path:
            path.write_text(_filled(text, params, order, design), encoding="utf-8")
            path.chmod(0o755 if name.endswith(".sh") else 0o644)


def _id_line(build_id: str) -> str:
    return f"dict set config build_id {build_id}\n"


def inputs_digest(inputs: Path, about: dict[str, Any]) -> str:
    """What tells one set of inputs from another: every file that the tools read, and what build.json says."""
    config = (inputs / "config.tcl").read_text(encoding="utf-8")
    config = "".join(line for line in config.splitlines(True) if not line.startswith("dict set config build_id "))
    parts: list[Path | str] = [inputs / "src", inputs / "scripts", inputs / "spec.json"]
    return digest(*parts, config, json.dumps(about, sort_keys=True))


def _filled(text: str, params: Params, order: Order, design: Design) -> str:
    values = {
        "MODEL": params.spec.name,
        "KERNEL": order.kind.name.lower(),
        "BOARD": order.board.title,
        "PART": order.board.part,
        "BOARD_PART": order.board.board_part,
        "CLOCK": f"{design.pl_clock.mhz:g}",
        "SCRIPT": KERNEL_SCRIPTS[order.kind],
        "TOOLS": "Vivado and Vitis HLS" if order.kind is Kind.HLS else "Vivado",
        "RELEASES": " or ".join(RELEASES),
        "FIRST": FIRST_RELEASE,
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def config_text(params: Params, order: Order, table: Design, sources: list[str]) -> str:
    """The text of config.tcl: every number and name that the scripts use.

    sources: files of the kernel, in the order of compilation.
    """
    kind = order.kind
    entries: dict[str, Any] = {
        "releases": RELEASES,
        "first_release": FIRST_RELEASE,
        "strategy": STRATEGIES[order.strategy],
        "clock_auto": int(order.auto),
        "part": table.board.part,
        "board": table.board.board_part,
        "clock_mhz": f"{table.pl_clock.mhz:g}",
        "clock_period_ns": f"{1e3 / table.pl_clock.mhz:.4f}",
        "fast_clocks": [pin for net in table.derived_nets for _, pin in net.loads if pin == FAST_CLOCK_PIN],
        "top": TOPS[kind],
        "ip": KERNEL_VLNVS[kind],
        "sources": sources,
        "address_block": ADDRESS_BLOCK,
        "window_bytes": WINDOW_BYTES,
        "registers": [
            (r.name, f"{r.offset:#x}", 32 * r.words, ACCESS[r.access], r.description or r.name)
            for r in REGISTERS.values()
        ],
        "control_fields": [(field.name, field.bit, ACCESS[field.access]) for field in CTRL_FIELDS],
        "processor": table.control[0],
        "clock": "/".join(table.clock),
        "instances": [
            (i.name, i.vlnv, tuple(word for name, value in i.parameters for word in (f"CONFIG.{name}", value)))
            for i in table.instances
        ],
        "buses": [("/".join(master), "/".join(slave)) for master, slave in table.buses],
        "monitors": [("/".join(watched), "/".join(monitor)) for watched, monitor in table.monitors],
        "nets": [("/".join(net.driver), tuple("/".join(load) for load in net.loads)) for net in table.nets],
        "addresses": [
            (f"{table.control[0]}/Data", f"{w.instance}/{w.interface}/{ADDRESS_BLOCK}", f"{w.base:#x}", f"{w.size:#x}")
            for w in table.windows
        ]
        + [
            ("/".join(space), f"{table.memory.port}/{window.segment}", f"{window.base:#x}", f"{window.size:#x}")
            for window in table.memory.windows
            for space in table.memory.spaces
        ],
        "excluded": [("/".join(space), segment) for space in table.memory.spaces for segment in table.memory.excluded],
    }
    head = (
        f"# Generated by dsodenet overlay for model {params.spec.name}, fingerprint {params.model_fingerprint[:16]}.\n"
    )
    return head + tcl.dictionary("config", entries)


def digest(*parts: Path | str) -> str:
    """SHA-256 over texts, files and folders, names included; hexadecimal."""
    result = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            result.update(f"text {part}\n".encode())
            continue
        for file in sorted(part.rglob("*")) if part.is_dir() else (part,):
            if file.is_file():
                result.update(f"file {file.relative_to(part.parent)} {file.stat().st_size}\n".encode())
                result.update(file.read_bytes())
    return result.hexdigest()
