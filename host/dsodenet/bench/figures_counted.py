"""Blocks of the documents that follow from the code and from Yosys' figures beside the engine: nothing here is timed."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable
from typing import Any

from dsodenet.bench.markdown import markdown_table, percent, times
from dsodenet.data_domains import ANGLE
from dsodenet.engine import CASCADE_LENGTH, Engine
from dsodenet.estimate import COMMAND_CYCLES, DEVICE_MACS, Estimate, estimate, of_spec
from dsodenet.files import read_text
from dsodenet.lanes import with_lanes
from dsodenet.layers import all_layers, macs, parameter_comparison, parameters
from dsodenet.params import Params
from dsodenet.registers import (
    ADDRESS_BITS,
    BEAT_BYTES,
    CONTRACT_VERSION,
    CTRL_FIELDS,
    IDENTITY,
    REGISTERS,
    Command,
    Kind,
    Status,
)
from dsodenet.resources import BUDGET, DEVICE, DEVICE_FF, URAM, blocks, rtl_resources
from dsodenet.runtime.design import KERNEL_PINS
from dsodenet.runtime.driver import STATUS_TEXT
from dsodenet.solvers import MAX_STAGES
from dsodenet.sources import source_folder
from dsodenet.spec import MAX_BLOCKS, MAX_CHANNELS, MAX_STEPS, Spec
from dsodenet.zoo import PREFIX, names, resolve

FULL_LANES = ("1x32x64", "3x16x64")
SMALL_LANES = "1x4x8"
CARD_ROW = re.compile(r"\| accuracy(?P<on> on [^,|]+)?, (?P<what>[^|]+) \| (?P<value>[\d.]+ %) \|")
COMMANDS = {
    Command.IDENTIFY: "fills the read-only registers",
    Command.LOAD: "reads a program from `s_axis`: `hls` its bias tables, `rtl` weights and layer descriptors",
    Command.RUN: "reads FRAMES images from `s_axis`, writes the logits of each to `m_axis`",
}
MADE_FOR = {"hls": "one model", "rtl": "any model that fits"}


@functools.cache
def cycles_of(size: str, lanes: str) -> Estimate:
    return of_spec(with_lanes(Spec.named(size), lanes, "rtl"))


@functools.cache
def yosys() -> dict[str, Any]:
    """resources.json beside the engine, as `make synth-rtl` left it."""
    found: dict[str, Any] = json.loads(read_text(source_folder("overlays") / "rtl" / "resources.json"))
    return found


def engine(lanes: str) -> Engine:
    return Engine.of(with_lanes(Spec.named("l"), lanes, "rtl").kernel)


# hls/README.md: the contract of both kernels


def registers() -> str:
    rows = [(f"`{r.offset:#05x}`", r.name + (f"[{r.words}]" * (r.words > 1)), r.access, r.description) for r in REGISTERS.values()]
    return markdown_table(("offset", "register", "access", "meaning"), rows)


def control_bits() -> str:
    return ", ".join(f"{field.bit} {field.name}" for field in CTRL_FIELDS)


def commands() -> str:
    return markdown_table(("COMMAND", "name", "does"), [(command.value, command.name, COMMANDS[command]) for command in Command])


def statuses() -> str:
    texts = {Status.OK: "done"} | STATUS_TEXT
    return markdown_table(("STATUS", "name", "meaning"), [(status.value, status.name, texts[status]) for status in Status])


def ports() -> str:
    bits = 8 * BEAT_BYTES
    pins = "; ".join(f"`{clock}`, `{reset}` ({kind.name.lower()})" for kind, (clock, reset) in KERNEL_PINS.items())
    rows = [
        ("`s_axi_control`", "AXI4-Lite", f"32 bits of data, {ADDRESS_BITS} of address", "registers"),
        ("`s_axis`", "AXI4-Stream in", f"{bits} bits, TLAST", "a program, or images: uint8 in (height, width, channel) order"),
        ("`m_axis`", "AXI4-Stream out", f"{bits} bits, TLAST", "logits: int32 for each class"),
        (pins, "clock and reset", "1 bit each", "the reset is active low"),
    ]
    return markdown_table(("port", "what", "width", "carries"), rows)


def contract_limits() -> str:
    return (
        f"Contract version {CONTRACT_VERSION}, identity {IDENTITY:#x}; a beat is {BEAT_BYTES} bytes; at most {MAX_BLOCKS} ODE blocks, "
        f"{MAX_STAGES} stages and {MAX_STEPS} steps."
    )


def kernel_kinds() -> str:
    return markdown_table(
        ("VERSION, upper half", "kernel", "made for"),
        [(kind.value, f"`{kind.name.lower()}`", MADE_FOR[kind.name.lower()]) for kind in Kind],
    )


# sizes and models


def sizes() -> str:
    """Each ready size: counted, and its cycles by the closed form on its own lanes."""
    rows = []
    for name in ("xs", "s", "m", "l"):
        spec = Spec.named(name)
        network, result = spec.network, cycles_of(name, FULL_LANES[0])
        shape = f"{network.in_channels} × {network.height} × {network.width}"
        steps = f"{spec.solver.method} {','.join(map(str, spec.solver.n_steps))}"
        total = f"{sum(parameters(spec).values()):,}"
        rows.append(
            (f"`{name}`", "/".join(map(str, network.channels)), shape, steps, total, f"{result.macs:,}", f"{result.cycles:,}")
        )
    lanes = times(FULL_LANES[0])
    header = ("size", "channels", "image", "solver, steps", "parameters", "MAC per image", f"cycles on {lanes} lanes (estimated)")
    note = f"Cycles of one image; the register CYCLES counts {COMMAND_CYCLES} more for the command."
    return f"{markdown_table(header, rows)}\n\n{note}"


def zoo() -> str:
    """What the cards say, which a test computes anew, and what can be counted."""
    rows = []
    for name in names():
        folder = resolve(f"{PREFIX}{name}")
        params = Params.load(folder)
        result = estimate(params)
        found: dict[str, list[str]] = {}
        for match in CARD_ROW.finditer(read_text(folder / "README.md")):
            found.setdefault((match["on"] or " on digits").removeprefix(" on "), []).append(match["value"])
        for data, accuracies in found.items():
            counted = (f"{sum(parameters(params.spec).values()):,}", f"{sum(macs(params.spec).values()):,}")
            rows.append((f"`{PREFIX}{name}`", data, *accuracies, *counted, f"{result.cycles:,}", times(result.to_dict()["lanes"])))
    header = ("model", "test images of", "float", "Brevitas", "integers", "parameters", "MAC", "cycles (estimated)", "on lanes")
    return markdown_table(header, rows)


def size_l() -> str:
    spec = Spec.named("l")
    channels, network = "/".join(map(str, spec.network.channels)), spec.network
    solver = f"{spec.solver.method.capitalize()} N={spec.solver.n_steps[0]}"
    work = f"{sum(macs(spec).values()) / 1e6:.0f} MMAC"
    return f"size `l` ({channels} channels, {network.height} × {network.width}, {solver}, {work} per image)"


def smaller() -> tuple[str, str]:
    """By how much the parameters of ODE blocks and downs of xs are fewer than with full convolutions, and than unshared."""
    compared = parameter_comparison(Spec.named("xs"))
    full, residual = (100 * (1 - compared["dsodenet"] / compared[key]) for key in ("full", "residual"))
    return f"{full:.1f} %", f"{residual:.1f} %"


def angle() -> str:
    return f"{ANGLE} degrees"


# the device and the engine


def device() -> str:
    return f"{DEVICE['DSP']:,} DSP, {DEVICE['BRAM36']} BRAM36, {DEVICE['URAM']} URAM, {DEVICE['LUT']:,} LUT, {DEVICE_FF:,} FF"


def resources() -> str:
    """Whole engines by Yosys beside the device and what a build may take of it."""
    found, whole = yosys()["lanes"], DEVICE | {"FF": DEVICE_FF}
    columns = (SMALL_LANES, *FULL_LANES)
    rows = []
    for name, most in whole.items():
        used = [found[lanes][name] for lanes in columns]
        shares = ", ".join(percent(value / most) for value in used[1:])
        rows.append((name, f"{most:,}", percent(BUDGET[name], 0), *(f"{value:,.0f}" for value in used), shares))
    built = [f"{found[lanes]['DSP_by_construction']:,}" for lanes in columns]
    rows.insert(1, ("of the DSP by construction", "", "", *built, ""))
    header = ("", "XCZU7EV", "most", *map(times, columns), f"of the device ({', '.join(map(times, FULL_LANES))})")
    return markdown_table(header, rows)


def unit(start: str) -> int:
    """LUTs of the synthesised unit whose name starts like this."""
    (found,) = (row["LUT"] for name, row in yosys()["units"].items() if name.startswith(start))
    return int(found)


def luts() -> str:
    """Where the LUTs of the full engines are: synthesised units times how often each occurs."""
    output, depthwise, divider = unit("output_lane "), unit("depthwise_lane"), unit("divide_lane ")
    columns: list[list[int]] = []
    pairs = []
    for lanes in FULL_LANES:
        build = engine(lanes)
        pixel, inputs, outputs = build.pixel_lanes, build.input_lanes, build.output_lanes
        pairs.append(unit(f"pointwise_pair CHAINS={inputs // build.cascade} LENGTH={CASCADE_LENGTH} PIXEL_LANES={pixel} "))
        memories = f"ram DEPTH={build.dw_words} LANES={inputs * 3 // 4} LANE_BITS=128 READ_LATENCY=2 "
        known = [output * pixel * inputs, depthwise * pixel * inputs, unit(memories), pairs[-1] * outputs // 2, divider * inputs]
        columns.append([*known, yosys()["lanes"][lanes]["LUT"] - sum(known)])
    names = (
        ("output lanes (bias, state update, three requantisations)", output),
        ("depthwise lanes (nine products, one requantisation)", depthwise),
        (f"depthwise weights, in LUT RAM of {engine(FULL_LANES[0]).dw_words} words", ""),
        ("pairs of outputs of the pointwise array, with all their pixels (sums of the cascades)", ", ".join(map(str, pairs))),
        ("dividers of the average", divider),
        ("all else", ""),
    )
    rows = [(what, each, *(f"{column[i]:,}" for column in columns)) for i, (what, each) in enumerate(names)]
    return markdown_table(("LUTs sit in", "each", *map(times, FULL_LANES)), rows)


def lut_products() -> str:
    return f"{unit('lut_product A_BITS=9 ')} and {unit('lut_product A_BITS=18 ')} LUTs each"


def engine_limits() -> str:
    builds = [engine(lanes) for lanes in FULL_LANES]
    weights = sum(math.prod(layer.weight_shape) for layer in all_layers(Spec.named("l").network) if not layer.depthwise)
    words = [f"{b.pixel_lanes} × {b.map_words:,} of {b.input_lanes} channels" for b in builds]
    values = [b.pixel_lanes * b.input_lanes * b.map_words for b in builds]
    sides = [math.isqrt(value // 64) for value in values]
    maps = []
    for b in builds:
        small, state = (blocks(b.map_words, bits * b.input_lanes, URAM) for bits in (8, 16))
        maps.append(f"{b.pixel_lanes * ((2 + MAX_STAGES - 1) * small + state)} of the {rtl_resources(b).URAM:.0f} URAM")
    kib = [b.input_lanes * b.output_lanes * b.pw_words // 1024 for b in builds]
    rows = [
        ("words of a map", *words),
        ("values of a map", *(f"{value:,}" for value in values)),
        ("largest square map with 64 channels", *(f"{side} × {side}" for side in sides)),
        ("maps, state and slopes, which bound it", *maps),
        ("pointwise weights", *(f"{b.pw_words} words, {size:,} KiB" for b, size in zip(builds, kib))),
    ]
    note = f"Size `l` has {weights / 1024:.0f} KiB of pointwise weights. Up to {MAX_CHANNELS:,} channels and {MAX_STEPS} steps."
    return f"{markdown_table(('', *map(times, FULL_LANES)), rows)}\n\n{note}"


def image_in() -> str:
    result = cycles_of("l", FULL_LANES[0])
    return f"{result.other:,} cycles per 32 × 32 RGB image, {percent(result.other / result.cycles)} of size `l`"


def device_macs() -> str:
    return f"{DEVICE_MACS:,}"


COUNTED: dict[str, Callable[[], str]] = {
    "registers": registers,
    "control-bits": control_bits,
    "commands": commands,
    "statuses": statuses,
    "ports": ports,
    "contract-limits": contract_limits,
    "kernel-kinds": kernel_kinds,
    "sizes": sizes,
    "zoo": zoo,
    "angle": angle,
    "device": device,
    "resources": resources,
    "luts": luts,
    "lut-products": lut_products,
    "engine-limits": engine_limits,
    "image-in": image_in,
}
