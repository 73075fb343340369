"""Check what a search found: train it in full, export it, and run the test split on the simulated rtl kernel, word for word."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dsodenet.errors import RunError
from dsodenet.exploration.pool import mapped
from dsodenet.reference import Reference
from dsodenet.spec import Params, Spec
from dsodenet.text import spread


def confirm(
    spec: Spec, data_name: str, folder: Path, seeds: Sequence[int], workers: int = 1, progress: bool = True
) -> dict[str, Any]:
    """Train `spec` once per seed in FOLDER/seed-N (or take the run that is there), and measure each on the test split.

    One training says little: on a few hundred test images, two seeds of one spec differ by more than many specs do. Accuracies in
    [0, 1]. The spec's lanes count, whatever its kernel: cycles are those of the rtl kernel, simulated, and depend on the spec alone.
    RunError on a differing word.
    """
    with mapped(workers, folder) as each:
        results = list(each(partial(_confirm, spec, data_name, folder, progress and workers == 1), seeds))
    return {
        "test_accuracy": spread([result["test_accuracy"] for result in results]),
        "simulated_cycles_per_image": statistics.mean(result["simulated_cycles_per_image"] for result in results),
        "test_images": results[0]["test_images"],
        "differing": sum(result["differing"] for result in results),
        "seeds": results,
    }


def _confirm(spec: Spec, data_name: str, folder: Path, progress: bool, seed: int) -> dict[str, Any]:
    from dsodenet.data import load_dataset
    from dsodenet.exporting import export
    from dsodenet.runtime import Accelerator
    from dsodenet.training import Options, train

    run = folder / f"seed-{seed}"
    data = load_dataset(data_name, spec.network)
    if not _is_of(spec, run):
        train(spec, data, run, replace(Options(), seed=seed, progress=progress))
        export(run)
    params = Params.load(run)
    truth = Reference(params).predict(data.test_images)
    with Accelerator(params, "rtl") as accelerator:
        differing = int((accelerator.predict(data.test_images) != truth).sum())
        assert accelerator.last_call is not None
        cycles = accelerator.last_call.cycles
    if differing:
        raise RunError(f"{run}: {differing} words of the rtl kernel differ from the reference")
    assert cycles is not None
    return {
        "seed": seed,
        "run": str(run),
        "test_accuracy": float(np.mean(truth.argmax(axis=1) == data.test_labels)),
        "test_images": len(data.test_images),
        "simulated_cycles_per_image": cycles / len(data.test_images),
        "differing": differing,
    }


def _is_of(spec: Spec, run: Path) -> bool:
    try:
        return Params.load(run).spec == spec
    except RunError:
        return False
