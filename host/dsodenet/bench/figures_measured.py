"""Blocks of the documents from kept results: demo, host library, cycles, reference, gradients, notebooks; and the table of all."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from dsodenet.bench.figures_counted import FULL_LANES, device_macs, size_l, smaller, yosys
from dsodenet.bench.kept import KINDS, load
from dsodenet.bench.markdown import markdown_table, missing, percent, times
from dsodenet.bench.published import FINN_CALL_US
from dsodenet.bench.ratios import HERE
from dsodenet.bench.rows import END_TO_END, KERNEL
from dsodenet.ladder import show_rungs

NOTEBOOKS = ("01_train_and_quantise", "02_lower_and_simulate", "03_run_on_the_zcu104", "04_fpga_against_software")
TimedRow = tuple[str, Callable[[dict[str, Any]], str], str]  # figure, its value, what it is


def of(name: str, text: Callable[[dict[str, Any]], str]) -> str:
    """The text of a kept result; what to run where there is none."""
    result = load(name)
    return missing(target(name)) if result is None else text(result)


def target(name: str) -> str:
    """What a reader runs to measure a kept result; a comparison is named after its model."""
    return KINDS[name].target if name in KINDS else f"dsodenet bench {name.removeprefix('bench-')}"


def machine(result: dict[str, Any]) -> str:
    """What a result was measured on: processor, how many threads it has, day, versions."""
    cpu = f"{result['cpu']}, {result.get('threads', result.get('cpu_threads'))} threads"
    found = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return f"{cpu}, {result['date']}; {found}" if result.get("date") else f"{cpu}; {found}"


def ladder() -> str:
    return of("demo", lambda demo: f"```\n{show_rungs(demo)}\n```")


def demo_time() -> str:
    return of("demo", lambda demo: f"{sum(demo['seconds'].values()):.0f} s on {demo['cpu']}, {demo['threads']} threads")


def _accuracies(demo: dict[str, Any]) -> str:
    return ", ".join(f"{percent(value, 2)} ({name})" for name, value in demo["accuracy"].items())


def _differing(demo: dict[str, Any]) -> str:
    words = sum(rung["words"] for rung in demo["rungs"])
    return f"{demo['differing']} of {words:,} words on {len(demo['rungs'])} rungs"


def _cycles(lanes: str) -> Callable[[dict[str, Any]], str]:
    def text(result: dict[str, Any]) -> str:
        row = cycles_row(result, "l", "euler", lanes)
        return f"{row['cycles']:,} cycles; {row['latency_us']:.0f} µs at an assumed {row['assumed_clock_mhz']:g} MHz"

    return text


def cycles_row(result: dict[str, Any], size: str, solver: str, lanes: str) -> dict[str, Any]:
    for row in result["rows"]:
        if (row["size"], row["solver"], row["lanes"]) == (size, solver, lanes):
            found: dict[str, Any] = row
            return found
    return {"cycles": 0, "latency_us": 0.0, "assumed_clock_mhz": 0.0, "share_of_device": 0.0}


def _share(result: dict[str, Any]) -> str:
    return percent(cycles_row(result, "l", "euler", FULL_LANES[1])["share_of_device"])


def _reference(result: dict[str, Any]) -> str:
    best = min(result["reference"], key=lambda row: row["ms_per_image"])
    threads = f"{best['threads']} thread{'s' * (best['threads'] > 1)}"
    speed = f"{best['ms_per_image']:.1f} ms per image, {best['gmac_per_s']:.1f} GMAC/s, {best['of_sgemm']:.2f} of sgemm"
    return f"{speed}; {threads}, batch {result['batch']}"


def _accesses(host: dict[str, Any]) -> str:
    return str(max(row["accesses"] for row in host["calls"]))


def _share_of_call(host: dict[str, Any]) -> str:
    return f"{host['calls'][0]['median_us']:.0f} µs"


def _on_board(host: dict[str, Any]) -> str:
    own = host["board_estimate"][0]
    return f"{own['us']:.0f} µs, {own['us_each']:g} µs for each"


def _speed_up(scope: str) -> Callable[[dict[str, Any]], str]:
    """Of size l at batch 1, against both ends of the software on the same processor."""

    def text(result: dict[str, Any]) -> str:
        mine = (r for r in result["ratios"] if (r["batch"], r["scope"], r["software_is"]) == (1, scope, HERE))
        r = next(mine, None)
        if r is None:
            return "-"
        kernel = next(row["machine"] for row in result["rows"] if row["clock_mhz"])
        software = f"{r['ratio_to_best']:.1f} × the best ({r['best']}), {r['ratio_to_weakest']:.0f} × the weakest ({r['weakest']})"
        return f"{software}; {kernel}"

    return text


TABLE: dict[str, tuple[TimedRow, ...]] = {
    "demo": (
        ("accuracy on the test digits, size `xs`", _accuracies, "measured"),
        ("words that differ between torch, reference, C simulation, RTL simulation and simulated board", _differing, "counted"),
    ),
    "cycles": (
        (f"{size_l()} on the `rtl` engine of {times(FULL_LANES[0])} lanes", _cycles(FULL_LANES[0]), "simulated"),
        (f"the same on {times(FULL_LANES[1])} lanes", _cycles(FULL_LANES[1]), "simulated"),
        (f"of the {device_macs()} MAC per cycle that the device's DSPs allow, {times(FULL_LANES[1])} lanes", _share, "simulated"),
    ),
    "bench-l": (
        ("kernel of `l` against software on this processor, batch 1", _speed_up(KERNEL), "estimated against measured"),
        ("the same end to end, with our host library", _speed_up(END_TO_END), "estimated against measured"),
    ),
    "reference": (("the integer reference on `l`, this processor", _reference, "measured"),),
    "host": (
        ("register accesses of a call of the host library", _accesses, "counted, simulated board"),
        ("a call outside the kernel, one 32 × 32 × 3 image", _share_of_call, "measured, simulated board"),
        (f"register accesses of a call on a ZCU104 (FINN's whole call: {FINN_CALL_US:.0f} µs)", _on_board, "estimated"),
    ),
}


def table() -> str:
    """The table at the head of README.md."""
    rows: list[Sequence[str]] = []
    full, residual = smaller()
    for name, figures in TABLE.items():
        rows += [(what, of(name, value), label, f"`{target(name)}`") for what, value, label in figures]
        if name == "demo":
            size = "parameters of ODE blocks and downs of `xs`, fewer than with full convolutions; than with unshared blocks"
            rows.append((size, f"{full}; {residual}", "counted", "`dsodenet estimate xs`"))
        if name == "cycles":
            used = yosys()["lanes"][FULL_LANES[1]]
            what = (
                f"DSP, BRAM36, URAM, LUT of the {times(FULL_LANES[1])} engine ({used['DSP_by_construction']:,} DSP by construction)"
            )
            values = ", ".join(f"{used[kind]:,.0f}" for kind in ("DSP", "BRAM36", "URAM", "LUT"))
            rows.append((what, values, "estimated by Yosys", "`make synth-rtl`"))
    return markdown_table(("figure", "value", "is", "command"), rows)


def machines() -> str:
    """What each measurement of the documents ran on."""
    kept = ((name, load(name)) for name in ("demo", "reference", "host", "cycles", "gradients", "notebooks"))
    lines = [f"- `{KINDS[name].target}`: {machine(result)}." for name, result in kept if result is not None]
    return "\n".join(lines) or missing("make demo bench bench-host cycles gradients notebooks")


def cycles() -> str:
    """All simulated sizes, for overlays/rtl/README.md."""

    def text(result: dict[str, Any]) -> str:
        rows = [
            (
                *(row["size"], f"{row['solver']} N={row['n_steps']}", times(row["lanes"]), f"{row['cycles']:,}"),
                *(percent(row["occupancy_in_ode_blocks"]), f"{row['macs_per_cycle']:,.0f}", percent(row["share_of_own_peak"])),
                percent(row["share_of_device"]),
            )
            for row in result["rows"]
        ]
        peak = f"of {result['device_macs_per_cycle']:,}"
        return markdown_table(("size", "solver", "lanes", "cycles", "array busy", "MAC/cycle", "of own peak", peak), rows)

    return of("cycles", text)


def gradients() -> str:
    """What irdm saves and what it costs, at the middle of the measured step counts."""

    def text(result: dict[str, Any]) -> str:
        steps = sorted({row["n_steps"] for row in result["rows"]})[-2:][0]
        cell = {(row["activation"], row["gradient"]): row for row in result["rows"] if row["n_steps"] == steps}
        try:
            backprop, irdm, smooth = (cell[key] for key in (("relu", "backprop"), ("relu", "irdm"), ("softplus", "irdm")))
        except KeyError:
            return missing("make gradients")
        return (
            f"at {steps} steps of {result['solver']}, irdm takes {irdm['peak_mib']:.1f} MiB where backpropagation takes "
            f"{backprop['peak_mib']:.1f} MiB ({result['spec']}, float64, batch {result['batch']}). With a smooth f the relative error of its "
            f"gradient is {smooth['error_discrete']:.0e}, with ReLU {irdm['error_discrete']:.0e}"
        )

    return of("gradients", text)


def many_calls() -> str:
    def text(host: dict[str, Any]) -> str:
        many = host["endurance"]
        after = f"{many['different']} other logits, {many['buffers_after_close']} buffers left"
        right = sum(fault["next_call_right"] for fault in host["faults"])
        return f"{many['calls']:,} calls with {after}; {right} of {len(host['faults'])} faults with a right call after them"

    return of("host", text)


def notebook_time(name: str) -> str:
    def text(result: dict[str, Any]) -> str:
        seconds = {row["name"]: row["seconds"] for row in result["notebooks"]}
        return f"{seconds[name]:.0f} s" if name in seconds else missing("make notebooks")

    return of("notebooks", text)


def notebook_machine() -> str:
    return of("notebooks", machine)


MEASURED: dict[str, Callable[[], str]] = {
    "table": table,
    "machines": machines,
    "ladder": ladder,
    "demo-time": demo_time,
    "cycles": cycles,
    "gradients": gradients,
    "many-calls": many_calls,
    "notebook-machine": notebook_machine,
} | {f"time-{name[:2]}": functools.partial(notebook_time, name) for name in NOTEBOOKS}
