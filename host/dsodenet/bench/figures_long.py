"""Blocks of the documents from the long measurements: training recipes, a search, comparisons with software."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dsodenet.bench.figures_measured import machine, of
from dsodenet.bench.kept import KINDS, load_models
from dsodenet.bench.markdown import markdown_table, missing, percent, times
from dsodenet.bench.rows import END_TO_END

WHERE = {"measured here": "here", "estimated for the A53": "on the A53"}


def recipes() -> str:
    """Rows of the recipe table with mean ± sd over the seeds."""
    return of("recipes", _recipes)


def _recipes(result: dict[str, Any]) -> str:
    rows = [
        (
            *(row["row"], _spread(row.get("float_accuracy")), _spread(row.get("integer_accuracy"))),
            *(_spread(row.get("gain"), signed=True), row["verdict"], f"{row['parameters']:,.0f}"),
            f"{row['student_seconds']['mean']:.0f}" if row.get("student_seconds") else "-",
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
    if result.get("teacher_accuracy"):
        notes.append(f"Teacher {result['teacher']}: {_spread(result['teacher_accuracy'])} % in float.")
    if result.get("moved") is not None:
        notes.append(
            "batch_shared takes one mean for all evaluations of f; measured, it moves by "
            f"{result['moved']['mean']:.2f} ± {result['moved']['sd']:.2f} standard deviations over them in this network: too little to hurt."
        )
    header = ("row", "float %", "w8a8 integers %", "gain", "verdict", "parameters", "training, s")
    return f"{markdown_table(header, rows)}\n\n{' '.join(notes)}"


def _spread(spread: dict[str, float] | None, signed: bool = False) -> str:
    if spread is None:
        return "-"
    return f"{100 * spread['mean']:{'+' if signed else ''}.1f} ± {100 * spread['sd']:.1f}"


def front() -> str:
    """The Pareto front of the kept search."""
    return of("front", _front)


def _front(result: dict[str, Any]) -> str:
    plan = result["plan"]
    objective, limits = plan["goal"]["objective"], plan["goal"]["limits"]
    rows = []
    for point in sorted(result["points"], key=lambda point: point["figures"][objective]):
        choice, found = point["choice"], point["figures"]
        roles = [role for role in ("base", "chosen") if result.get(role) == point["number"]]
        channels = "/".join(str(choice["channels"] << block) for block in range(choice["blocks"]))
        accuracy = "-" if point.get("accuracy") is None else percent(point["accuracy"], 2)
        about = (point["number"], channels, choice["stem"], f"{choice['method']} {choice['n_steps']}", choice["weight_bits"])
        counts = (f"{found[name]:,.0f}" for name in ("cycles", "DSP", "LUT", "parameters"))
        rows.append((*about, times(str(choice["lanes"])), *counts, accuracy, ", ".join(roles) or "front"))
    header = ("trial", "channels", "stem", "solver", "bits", "lanes", "cycles", "DSP", "LUT", "parameters", "accuracy", "is")
    limited = ", ".join(f"{name} {limit:g}" for name, limit in limits.items())
    notes = [
        f"{result['points_in_all']} points of {result['specs_in_space']:,} around {plan['spec']['name']} on {plan['data']}, "
        f"{result['trained']} trained for {plan['epochs']} + {plan['qat_epochs']} epochs, {result['over_a_limit']} over a limit ({limited}).",
        "Accuracy: of the integers on validation images (measured); cycles and resources are estimated.",
    ]
    for name, final in result["final"].items():
        notes.append(
            f"{name.capitalize()}, trained in full with {len(final['seeds'])} seeds: {100 * final['test_accuracy']:.2f} ± "
            f"{100 * final['test_accuracy_sd']:.2f} % of {final['test_images']} test images (measured), "
            f"{final['simulated_cycles_per_image']:,.0f} cycles per image (simulated), {final['differing']} words differ."
        )
    return f"{markdown_table(header, rows)}\n\n{' '.join(notes)}"


def bench() -> str:
    """Each kept comparison with software, smallest network first."""
    results = load_models()
    return "\n\n".join(map(_bench, results)) if results else missing(KINDS["bench"].target)


def _bench(result: dict[str, Any]) -> str:
    batches = list(dict.fromkeys(row["batch"] for row in result["rows"]))
    rows: dict[tuple[str, ...], dict[int, str]] = {}
    for row in result["rows"]:
        threads = str(row["threads"]) if row["scope"] == END_TO_END else "-"
        per_image = row["median_us"] / row["batch"]
        cells = rows.setdefault((row["path"], row["numbers"], threads, row["scope"], row["label"]), {})
        cells[row["batch"]] = f"{per_image:,.0f}" if per_image >= 100 else f"{per_image:.1f}"
    header = ("path", "numbers", "threads", "timed", "time is", *(f"µs per image, batch {batch}" for batch in batches))
    parts = [markdown_table(header, [(*key, *(cells.get(batch, "-") for batch in batches)) for key, cells in rows.items()])]
    steps = ",".join(map(str, result["n_steps"]))
    work = f"{result['macs_per_image']:,} MAC per image"
    trained = "" if result["weights"] == "trained" else f", {result['weights']} weights"
    about = f"**{result['model']}**{trained}, {result['solver']} with n_steps {steps}, {work}; median of {result['repeats']} calls on {machine(result)}."
    kernels = sorted({row["machine"] for row in result["rows"] if row.get("cycles")})
    ratios = [
        f"batch {r['batch']}, {r['scope']}, {r['accelerator']} ({r['accelerator_is']}): {r['ratio_to_best']:.2f} times as fast as the best software "
        f"{WHERE.get(r['software_is'], r['software_is'])} ({r['best']}), {r['ratio_to_weakest']:.2f} times as the weakest ({r['weakest']})"
        for r in result["ratios"]
    ]
    ratios += [
        f"batch {r['batch']}, {r['threads']} thread{'s' * (r['threads'] > 1)}: the integer reference is {r['ratio']:.2f} times as fast as "
        f"{r['against']} ({r['numbers']})"
        for r in result["reference_ratios"]
    ]
    return "\n\n".join((f"{about} {'; '.join(kernels)}.", *parts, "\n".join(f"- {ratio}." for ratio in ratios)))


LONG: dict[str, Callable[[], str]] = {"recipes": recipes, "front": front, "bench": bench}
