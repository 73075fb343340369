"""Modules of the engine as Yosys reads and maps them, with some modules inside them as black boxes."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dsodenet.errors import ToolError
from dsodenet.files import how_to_install
from dsodenet.rtl import build as rtl
from dsodenet.rtl.engine import Engine

Unit = tuple[str, tuple[tuple[str, str], ...]]  # module and its parameters


def engine_unit(engine: Engine) -> Unit:
    """The whole engine."""
    return rtl.ENGINE_TOP, tuple((name, str(value)) for name, value in rtl.engine_parameters(engine).items())


def unit_name(unit: Unit) -> str:
    return " ".join([unit[0], *(f"{name}={value}" for name, value in unit[1])])


class Netlists:
    """Runs Yosys on one module at a time, in a folder of its own."""

    def __init__(self, boxes: tuple[str, ...]) -> None:
        """boxes: names of modules that stay black boxes inside others. ToolError without Yosys."""
        try:
            from pyosys import libyosys
        except ImportError as error:
            raise ToolError(f"pyosys is not installed ({error}); {how_to_install('rtl')} brings it") from None
        self.yosys, self.boxes = libyosys, boxes
        self.folder = Path(tempfile.mkdtemp(prefix="dsodenet-synth-"))
        self.files = " ".join(map(str, [*rtl.generated_sources(self.folder), *rtl.engine_sources()]))

    def read(self, unit: Unit) -> tuple[Path, dict[str, Unit]]:
        """A file with the netlist of a module, and what the types of its black boxes mean."""
        module, parameters = unit
        boxes = " ".join(f"--blackboxed-module {name}" for name in self.boxes if name != module)
        values = " ".join(f"-G {name}={value}" for name, value in parameters)
        netlist = self.run(f"read_slang --top {module} {values} {boxes} {self.files}")
        units = self._name_units(netlist)
        source = self.folder / "units.json"
        source.write_text(json.dumps(netlist), encoding="utf-8")
        return source, units

    def mapped(self, source: Path, module: str, family: str) -> dict[str, Any]:
        """The module as primitives of a family."""
        synth = f"synth_xilinx -family {family} -top {module} -flatten -noiopad -noclkbuf"
        mapped: dict[str, Any] = self.run(f"read_json {source}", synth)["modules"][module]
        return mapped

    def run(self, *commands: str) -> dict[str, Any]:
        """The netlist after some commands on an empty design."""
        design, output = self.yosys.Design(), self.folder / "netlist.json"
        with _silence():
            for command in (*commands, f"write_json {output}"):
                self.yosys.run_pass(f"tee -q -o {self.folder / 'yosys.log'} {command}", design)
        netlist: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
        return netlist

    def _name_units(self, netlist: dict[str, Any]) -> dict[str, Unit]:
        """Give the black boxes of each set of parameters a module of their own, with their widths.

        Returns what the names mean.
        """
        modules = netlist["modules"]
        boxes = {
            name: modules.pop(name)
            for name in list(modules)
            if name in self.boxes and "blackbox" in modules[name]["attributes"]
        }
        names: dict[Unit, str] = {}
        for module in list(modules.values()):
            for cell in module["cells"].values():
                if cell["type"] not in boxes:
                    continue
                # Parameters are in capitals; what else is here are local ones.
                values = ((name, _value(bits)) for name, bits in cell["parameters"].items() if name.isupper())
                unit = cell["type"], tuple(sorted(values))
                if unit not in names:
                    names[unit] = f"unit_{len(names)}"
                    directions = {name: port["direction"] for name, port in boxes[cell["type"]]["ports"].items()}
                    ports, first = {}, 2
                    for name, bits in cell["connections"].items():
                        ports[name] = {"direction": directions[name], "bits": list(range(first, first + len(bits)))}
                        first += len(bits)
                    modules[names[unit]] = {
                        "attributes": {"blackbox": "1"},
                        "ports": ports,
                        "cells": {},
                        "netnames": {},
                    }
                cell["type"], cell["parameters"] = names[unit], {}
        return {name: unit for unit, name in names.items()}


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Yosys writes each command to the process's standard output."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)


def _value(text: str) -> str:
    """A parameter of a netlist as a command-line value: a number, or a string."""
    if not set(text) <= {"0", "1"}:
        return f'"{text.strip()}"'
    return str(int(text, 2)) if len(text) <= 32 else f"{len(text)}'b{text}"
