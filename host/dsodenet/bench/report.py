"""A comparison as text for a terminal."""

from __future__ import annotations

from typing import Any

from dsodenet.bench.machine import blas_advice
from dsodenet.bench.rows import END_TO_END
from dsodenet.bench.speedups import USUAL_BEST
from dsodenet.bench.subject import RANDOM
from dsodenet.files import how_to_install
from dsodenet.text import paragraph, table

UNSTEADY = 3


def comparison_text(result: dict[str, Any]) -> str:
    """The comparison for a terminal."""
    steps = ",".join(map(str, result["n_steps"]))
    lines = [
        f"{result['model']}, {result['solver']} n_steps {steps}, {result['macs_per_image']:,} MAC per image, "
        f"fingerprint {result['fingerprint'][:16]}; images: {result['images']}",
        f"measured on {result['cpu']}, {result['cpu_threads']} threads; "
        + ", ".join(f"{name} {found}" for name, found in result["versions"].items()),
        f"µs of a call: median, least and most of {result['repeats']}"
        + ("" if result["weights"] == RANDOM else "; class: images with the reference's class"),
    ]
    if result["weights"] == RANDOM:
        lines.insert(
            1, "weights: random. Times depend on shapes alone; accuracy is not claimed, and classes are not compared"
        )
    parts = [paragraph(line) for line in lines]
    for batch in dict.fromkeys(row["batch"] for row in result["rows"]):
        rows = [_cells(row) for row in result["rows"] if row["batch"] == batch]
        header = (f"batch {batch}", "threads", "numbers", "scope", "kind", "µs", "min", "max", "img/s", "class")
        columns = len(header) - (result["weights"] == RANDOM)  # the class has no meaning there
        parts.append(table(header[:columns], [row[:columns] for row in rows]))
    notes = [f"{r['path']} ({r['kind']}): {r['machine']}; {r['note']}" for r in result["rows"] if r["note"]]
    notes += [f"{name} is left out: {why}" for name, why in result["left_out"].items()]
    unsteady = [r for r in result["rows"] if r["max_us"] > UNSTEADY * r["min_us"]]
    if unsteady:
        worst = max(unsteady, key=lambda r: r["max_us"] / r["min_us"])
        notes.append(
            f"unsteady: {len(unsteady)} rows vary more than {UNSTEADY}-fold, most of all {worst['path']} "
            f"with {worst['threads']} threads at batch {worst['batch']}; "
            "on a machine with other work, repeat the run before quoting it"
        )
    if not result["energy_sensors"]:
        notes.append(
            "energy: no sensor can be read here "
            "(RAPL counters of the processor, often for root only; a board's power rails)"
        )
    if not any(row["path"].startswith(USUAL_BEST) for row in result["rows"]):
        notes.append(
            f"no ratio to software measured here: {USUAL_BEST}, which is usually the best, has no row; "
            f"{how_to_install('bench')} brings it"
        )
    notes += filter(None, [blas_advice(result["versions"])])
    if result["differing"]:
        notes.append(f"{result['differing']} integer logits differ from the reference")
    parts += [paragraph(note) for note in dict.fromkeys(notes)]
    parts += [_energy(result), _reference(result), _speed_ups(result)]
    return "\n".join(filter(None, parts))


def _energy(result: dict[str, Any]) -> str:
    """What sensors saw: with everything else that they see, idle included."""
    sensors = result["energy_sensors"]
    rows = [
        (
            row["path"],
            row["threads"],
            row["batch"],
            *(f"{row['energy_mj'][name]:.3g}" if name in row["energy_mj"] else "-" for name in sensors),
        )
        for row in result["rows"]
        if row["energy_mj"]
    ]
    return table(("energy, mJ/image, measured", "threads", "batch", *sensors), rows) if rows else ""


def _reference(result: dict[str, Any]) -> str:
    """The integer reference beside the library that computes the same network."""
    rows = [
        (_times(r["ratio"]), r["batch"], r["threads"], f"{r['against']}, {r['numbers']}",
         f"{r['reference_us']:,.0f}", f"{r['against_us']:,.0f}")
        for r in result["reference_ratios"]
    ]  # fmt: skip
    return table(("reference is as fast", "batch", "threads", "as", "µs", "its µs"), rows) if rows else ""


WHERE = {"measured": "", "estimated": " on the A53"}  # kind of the software's figure -> where it runs


def _speed_ups(result: dict[str, Any]) -> str:
    """Ours beside the published ones."""
    rows = [
        (_times(r[f"ratio_to_{which}"]), r["scope"], str(r["batch"]), f"{r['accelerator']}, {r['accelerator_kind']}",
         f"{which}{WHERE[r['software_kind']]}: {r[which]}")
        for r in result["ratios"]
        for which in ("best", "weakest")
    ]  # fmt: skip
    rows += [
        (f"{p['factor']:.2f}x", p["timed"], "-", p["system"], f"{p['against']}, published") for p in result["published"]
    ]
    legend = (
        "best and weakest: measured on this processor, each library with the number of threads that suits it best; "
        "on the A53: estimated; published: on a ZCU104, by their authors: "
        + ", ".join(dict.fromkeys(f"{p['system']} ({p['source']})" for p in result["published"]))
    )
    speed_ups = table(("as fast", "timed", "batch", "accelerator", "against software"), rows)
    return f"{speed_ups}\n{paragraph(legend)}"


def _times(value: float) -> str:
    """At most seven characters, up to a hundred thousand times."""
    return f"{value:.2f}x" if value < 1000 else f"{value:,.0f}x"


def _us(value: float) -> str:
    """At most seven characters, up to a thousand seconds."""
    if value >= 1e6:
        return f"{value / 1e6:.2f}e6"
    return f"{value:,.0f}" if value >= 1e3 else f"{value:.1f}"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    median, low, high = (_us(row[key]) for key in ("median_us", "min_us", "max_us"))
    per_second = f"{1e6 * row['batch'] / row['median_us']:,.0f}"
    same = "-" if row["same_class"] is None else f"{row['same_class']:.0%}"
    threads = str(row["threads"]) if row["scope"] == END_TO_END else "-"
    spread = (low, high) if row["calls"] else ("-", "-")
    return row["path"], threads, row["numbers"], row["scope"], row["kind"], median, *spread, per_second, same
