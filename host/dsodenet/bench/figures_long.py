"""Blocks of the documents from the long measurements: training recipes, a search, comparisons with software."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dsodenet.bench.figures_measured import machine, of
from dsodenet.bench.kept import KINDS, load_models
from dsodenet.bench.markdown import markdown_table, missing
from dsodenet.bench.ratios import HERE
from dsodenet.bench.rows import END_TO_END
from dsodenet.bench.subject import TRAINED
from dsodenet.explore.report import about, final_lines, front_table
from dsodenet.spread import percent_text

WHICH = ("best", "weakest")


def recipes() -> str:
    """Rows of the recipe table with mean ± sd over the seeds."""
    return of("recipes", _recipes)


def _recipes(result: dict[str, Any]) -> str:
    rows = [
        (
            *(row["row"], percent_text(row["float_accuracy"]), percent_text(row["integer_accuracy"])),
            *(percent_text(row["gain"], signed=True), row["verdict"], f"{row['parameters']:,.0f}"),
            f"{row['student_seconds']['mean']:.0f}" if row["student_seconds"] else "-",
        )
        for row in result["rows"]
    ]
    epochs, adapted = result["options"], result["adaptation_options"]
    on = f"{result['processor']}, {result['workers']} processes at a time, one thread each"
    seeds = max(row["seeds"] for row in result["rows"])
    notes = [
        f"Network {result['spec']}; accuracies and seconds measured on {on}; mean ± standard deviation of {seeds} seeds.",
        f"{epochs['epochs']} + {epochs['qat_epochs']} epochs in float and quantised, {adapted['epochs']} + {adapted['qat_epochs']} "
        "where there is a target domain; such a row's accuracy is that of the target's test images.",
        "Gain: points over the row it is compared with, at equal seeds.",
    ]
    if result["teacher_accuracy"]:
        notes.append(f"Teacher {result['teacher']}: {percent_text(result['teacher_accuracy'])} % in float.")
    if result["moved"] is not None:
        notes.append(
            "batch_shared takes one mean for all evaluations of f; measured, it moves by "
            f"{result['moved']['mean']:.2f} ± {result['moved']['sd']:.2f} standard deviations over them in this network: too little to hurt."
        )
    header = ("row", "float %", "w8a8 integers %", "gain", "verdict", "parameters", "training, s")
    return f"{markdown_table(header, rows)}\n\n{' '.join(notes)}"


def front() -> str:
    """The Pareto front of the kept search."""
    return of("front", _front)


def _front(result: dict[str, Any]) -> str:
    header, rows, common = front_table(result)
    notes = [about(result), *([f"In every row: {common}"] if common else []), *final_lines(result)]
    return "\n\n".join((markdown_table(header, rows), " ".join(f"{note}." for note in notes)))


def bench() -> str:
    """Each kept comparison with software, smallest network first."""
    results = load_models()
    return "\n\n".join(map(_bench, results)) if results else missing(KINDS["bench"].target)


def _bench(result: dict[str, Any]) -> str:
    batches = list(dict.fromkeys(row["batch"] for row in result["rows"]))
    steps = ",".join(map(str, result["n_steps"]))
    trained = "" if result["weights"] == TRAINED else f", {result['weights']} weights"
    kernels = sorted({row["machine"] for row in result["rows"] if row["cycles"]})
    about = (
        f"**{result['model']}**{trained}, {result['solver']} with n_steps {steps}, {result['macs_per_image']:,} MAC per image; median of "
        f"{result['repeats']} calls on {machine(result)}. {'; '.join(kernels)}."
    )
    return "\n\n".join((about, _times(result["rows"], batches), *_speeds(result, batches)))


def _times(rows: list[dict[str, Any]], batches: list[int]) -> str:
    cells: dict[tuple[Any, ...], dict[Any, str]] = {}
    for row in rows:
        threads = str(row["threads"]) if row["scope"] == END_TO_END else "-"
        per_image = row["median_us"] / row["batch"]
        of_path = cells.setdefault((row["path"], row["numbers"], threads, row["scope"], row["label"]), {})
        of_path[row["batch"]] = f"{per_image:,.0f}" if per_image >= 100 else f"{per_image:.1f}"
    header = ("path", "numbers", "threads", "timed", "time is", *(f"µs per image, batch {batch}" for batch in batches))
    return _grid(header, cells, batches)


def _speeds(result: dict[str, Any], batches: list[int]) -> list[str]:
    """How many times as fast: the accelerator as software, and the integer reference as onnxruntime."""
    accelerators: dict[tuple[Any, ...], dict[Any, str]] = {}
    for r in result["ratios"]:
        cells = accelerators.setdefault((f"{r['accelerator']} ({r['accelerator_is']})", r["scope"], r["software_is"]), {})
        cells |= {(r["batch"], which): f"{r[f'ratio_to_{which}']:.2f} × {r[which]}" for which in WHICH}
    columns = [(batch, which) for batch in batches for which in WHICH]
    header = ("times as fast", "timed", "as software", *(f"{which}, batch {batch}" for batch, which in columns))
    found = [_grid(header, accelerators, columns)]
    references: dict[tuple[Any, ...], dict[Any, str]] = {}
    for r in result["reference_ratios"]:
        references.setdefault((f"{r['against']} ({r['numbers']})", r["threads"]), {})[r["batch"]] = f"{r['ratio']:.2f}"
    header = ("integer reference is as fast, times, as", "threads", *(f"batch {batch}" for batch in batches))
    return [*found, _grid(header, references, batches)] if references else found


def _grid(header: Sequence[str], rows: dict[tuple[Any, ...], dict[Any, str]], columns: Sequence[Any]) -> str:
    """A row per key, and a cell of it per column."""
    return markdown_table(header, [(*key, *(cells.get(column, "-") for column in columns)) for key, cells in rows.items()])


def speed_ups() -> str:
    """All kept comparisons at batch 1: the accelerator as the best and as the weakest software path of the same processor."""
    found: dict[str, list[dict[str, Any]]] = {}
    for result in load_models():
        name = result["model"] + ("" if result["weights"] == TRAINED else f" ({result['weights']} weights)")
        found[name] = [ratio for ratio in result["ratios"] if ratio["batch"] == 1 and ratio["software_is"] == HERE]
    paths = list(dict.fromkeys((r["accelerator"], r["scope"]) for ratios in found.values() for r in ratios))
    rows = []
    for name, ratios in found.items():
        cells = {r["accelerator"]: f"{r['ratio_to_best']:.2f} and {r['ratio_to_weakest']:.1f}" for r in ratios}
        software = (ratios[0]["best"], ratios[0]["weakest"]) if ratios else ("-", "-")
        rows.append((name, *(cells.get(path, "-") for path, _ in paths), *software))
    header = ("network", *(f"{path}, {scope}" for path, scope in paths), "best software", "weakest software")
    return markdown_table(header, rows) if rows else missing(KINDS["bench"].target)


LONG: dict[str, Callable[[], str]] = {"recipes": recipes, "front": front, "bench": bench, "speed-ups": speed_ups}
