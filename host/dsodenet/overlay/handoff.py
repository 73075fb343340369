"""What Vivado left in a build folder, checked: whose build it is, its timing, its bitstream, and the clock to publish.

Files from outside: every one is parsed here without a vendor tool and without pynq.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from dsodenet.contract import BOARDS, CONTRACT_VERSION, Board, PlClock
from dsodenet.errors import RunError, ToolError, shown
from dsodenet.files import atomic_file
from dsodenet.outside import guard, read_json
from dsodenet.overlay.project import BUILD_FORMAT, inputs_digest
from dsodenet.overlay.reports import Timing, pairs
from dsodenet.spec import Params, lanes_text

PL0 = "PSU__CRL_APB__PL0_REF_CTRL__"


@dataclass(frozen=True)
class Built:
    """A finished build that fits its run."""

    about: dict[str, Any]  # inputs/build.json
    board: Board
    timing: Timing
    clock: PlClock | None  # slower than what was built for; None: as built

    @property
    def clock_mhz(self) -> float:
        return self.timing.clock_mhz if self.clock is None else self.clock.mhz


def check_inputs(folder: Path) -> dict[str, Any]:
    """inputs/build.json of a build folder; RunError when it is missing, malformed, or not that of its inputs."""
    path = folder / "inputs" / "build.json"
    if not path.is_file():
        raise RunError(f"{path}: no such file; {folder} is not a folder that `dsodenet overlay --inputs-only` wrote")
    with guard(path, "the description of a build", RunError):
        about = dict(read_json(path, "the description of a build", RunError))
        if about["format"] != BUILD_FORMAT:
            raise RunError(f"{path}: has format {shown(about['format'])}, but this package reads {BUILD_FORMAT}")
        build_id = about.pop("build_id")
        if inputs_digest(folder / "inputs", about) != build_id:
            raise RunError(f"{path}: edited or mixed: the inputs beside it are not those that it was written for")
    return about | {"build_id": build_id}


def check_build(folder: Path, params: Params, kernel: str, at_most_mhz: float | None, auto: bool) -> Built:
    """What is in `folder`, for this run; RunError or ToolError names what does not fit.

    at_most_mhz: publish with a clock of the board that is not over it. auto: take a slower one where setup is missed.
    """
    about = check_inputs(folder)
    if about["kernel"] != kernel:
        raise RunError(f"{folder}: was built with kernel {shown(about['kernel'])}, but {kernel} was asked for")
    if about["contract"] != CONTRACT_VERSION:
        raise RunError(f"{folder}: has contract version {about['contract']}, but this package has {CONTRACT_VERSION}")
    if kernel == "hls" and about["fingerprint"] != params.kernel_fingerprint:
        raise RunError(
            f"{folder}: was built for model {shown(about['model'])} ({about['fingerprint'][:16]}), "
            f"but the run holds {params.spec.name} ({params.kernel_fingerprint[:16]})"
        )
    if kernel == "rtl" and about["lanes"] != lanes_text(params.spec.kernel):
        raise RunError(
            f"{folder}: was built with {about['lanes']} lanes, but the run has {lanes_text(params.spec.kernel)}"
        )
    with guard(folder / "inputs" / "build.json", "the description of a build", RunError):
        board = BOARDS[about["board"]]
    made = pairs(folder / "reports" / "implement_built.txt", "step implement did not end well here; see logs/")
    if made.get("build_id") != about["build_id"]:
        raise RunError(f"{folder}: the reports are from other inputs than those that lie there; build again")
    if made.get("part") != board.part:
        raise RunError(f"{folder}: was built for part {made.get('part')}, but the {board.title} has {board.part}")
    timing = Timing.read(folder / "reports")
    check_bit(folder / "artefacts" / "overlay.bit", board)
    check_hwh(folder / "artefacts" / "overlay.hwh")
    clock = publishable_clock(timing, board, at_most_mhz, auto or about["clock"] == "auto")
    if clock is not None and kernel == "rtl" and params.spec.kernel.double_pumped:
        raise ToolError(
            f"{folder}: the array's clock is made from the fabric's for {timing.clock_mhz:g} MHz and no other; build "
            f"again with --clock {clock.mhz:g}"
        )
    return Built(about, board, timing, clock)


def publishable_clock(timing: Timing, board: Board, at_most_mhz: float | None, auto: bool) -> PlClock | None:
    """The clock of the board under which the build meets timing; None where that is the one that it was built for.

    With one clock in the fabric, the slack grows by what its period grows. ToolError when a slower clock would be
    needed and none may be taken, or none helps: hold and pulse width do not follow the period.
    """
    if timing.lost:
        raise ToolError(f"timing is not met ({timing.lost}), and a slower clock does not mend that")
    limit = min(timing.fastest_mhz, at_most_mhz or timing.fastest_mhz)
    if timing.setup_slack_ns >= 0 and (at_most_mhz is None or at_most_mhz >= timing.clock_mhz):
        return None
    clock = next(clock for clock in board.clocks if clock.mhz <= limit)
    if timing.setup_slack_ns < 0 and not auto and (at_most_mhz is None or at_most_mhz > timing.fastest_mhz):
        raise ToolError(
            f"timing is missed at {timing.clock_mhz:g} MHz by {-timing.setup_slack_ns:g} ns of setup (wns); "
            f"`--clock auto` publishes this build at {clock.mhz:g} MHz"
        )
    return clock


def check_bit(path: Path, board: Board) -> None:
    """ToolError unless `path` is a whole .bit file for the part of the board.

    The header has five fields, a to e; e says how many bytes follow.
    """
    if not path.is_file():
        raise ToolError(f"{path}: no such file; the build did not come to its end")
    with guard(path, "a .bit file", ToolError):
        data = path.read_bytes()
        place = 2 + struct.unpack_from(">H", data)[0]
        place += 2
        fields = {}
        while (key := data[place : place + 1]) != b"e":
            (size,) = struct.unpack_from(">H", data, place + 1)
            fields[key] = data[place + 3 : place + 3 + size].rstrip(b"\0").decode("ascii")
            place += 3 + size
        (promised,) = struct.unpack_from(">I", data, place + 1)
        part, held = fields[b"b"], len(data) - place - 5
    if part.removeprefix("xc").split("-")[:2] != board.part.removeprefix("xc").split("-")[:2]:
        raise ToolError(f"{path}: is for part {part}, but the {board.title} has {board.part}")
    if held != promised:
        raise ToolError(f"{path}: truncated: it promises {promised:,} bytes and holds {held:,}")


def check_hwh(path: Path) -> None:
    """ToolError unless `path` is a hand-off file with the fabric's clock."""
    _clock_parameters(_hwh(path), path)


def with_clock(hwh: Path, clock: PlClock, out: Path) -> None:
    """A hand-off file with another clock of the fabric: what pynq sets when it loads the overlay."""
    tree = _hwh(hwh)
    values = {"FREQMHZ": f"{clock.asked_mhz:g}", "ACT_FREQMHZ": f"{clock.mhz:.6f}"}
    values |= {f"DIVISOR{i}": str(divisor) for i, divisor in enumerate(clock.divisors)}
    for name, parameter in _clock_parameters(tree, hwh).items():
        if name in values:
            parameter.set("VALUE", values[name])
    with atomic_file(out) as path:
        tree.write(path, encoding="UTF-8", xml_declaration=True)


def _hwh(path: Path) -> ET.ElementTree[ET.Element]:
    if not path.is_file():
        raise ToolError(f"{path}: no such file; the build did not come to its end")
    with guard(path, "a hand-off file of Vivado", ToolError):
        return ET.ElementTree(ET.fromstring(path.read_bytes()))


def _clock_parameters(tree: ET.ElementTree[ET.Element], path: Path) -> dict[str, ET.Element]:
    found = {
        str(item.get("NAME")).removeprefix(PL0): item
        for item in tree.iter("PARAMETER")
        if str(item.get("NAME")).startswith(PL0)
    }
    if missing := {"ACT_FREQMHZ", "DIVISOR0", "DIVISOR1"} - set(found):
        raise ToolError(f"{path}: has no parameter {PL0}{min(missing)}; this form of hand-off file is not known")
    return found
