"""Check what a search found: train it in full, export it, and run the test split on the simulated rtl kernel."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from dsodenet.errors import RunError
from dsodenet.exploration.pool import worker_pool
from dsodenet.reference import Reference
from dsodenet.spec import Params, Spec
from dsodenet.text import Spread, percent_text, spread


@dataclass(frozen=True)
class FullTraining:
    """One training in full, measured on the test split."""

    seed: int
    run: str  # its folder
    test_accuracy: float  # of the integers, 0 to 1
    test_images: int
    simulated_cycles_per_image: float  # of the rtl kernel
    differing: int  # words that differ between kernel and reference


@dataclass(frozen=True)
class Confirmation:
    """Several trainings of a spec in full; one prints itself as a line of text."""

    test_accuracy: Spread | None
    simulated_cycles_per_image: float
    test_images: int
    differing: int
    seeds: tuple[FullTraining, ...]

    @classmethod
    def of(cls, seeds: Sequence[FullTraining]) -> Confirmation:
        """What trainings with several seeds come to."""
        return cls(
            spread([each.test_accuracy for each in seeds]),
            statistics.mean(each.simulated_cycles_per_image for each in seeds),
            seeds[0].test_images,
            sum(each.differing for each in seeds),
            tuple(seeds),
        )

    def __str__(self) -> str:
        return (
            f"{percent_text(self.test_accuracy, 2)} % of {self.test_images} test images after full training with "
            f"{len(self.seeds)} seeds (measured), {self.simulated_cycles_per_image:,.0f} cycles per image (simulated), "
            f"{self.differing} words differ"
        )


def confirm(
    spec: Spec, data_name: str, folder: Path, seeds: Sequence[int], workers: int = 1, progress: bool = True
) -> Confirmation:
    """Train `spec` once per seed in FOLDER/seed-N (or take the run that is there), and measure each on the test split.

    One training says little: on a few hundred test images, two seeds of one spec differ by more than many specs do.
    Whatever the spec's kernel, its lanes count. Cycles are those of the rtl kernel, and depend on the spec alone.
    RunError on a differing word.
    """
    with worker_pool(workers, folder) as pool:
        return Confirmation.of(
            list(pool.map(partial(_confirm, spec, data_name, folder, progress and workers == 1), seeds))
        )


def _confirm(spec: Spec, data_name: str, folder: Path, progress: bool, seed: int) -> FullTraining:
    from dsodenet.data import load_dataset
    from dsodenet.exporting import export
    from dsodenet.runtime import Accelerator
    from dsodenet.training import Options, train

    run = folder / f"seed-{seed}"
    data = load_dataset(data_name, spec.network, spec.images)
    if not _is_of(spec, run):
        train(spec, data, run, replace(Options(), seed=seed, progress=progress))
        export(run)
    params = Params.load(run)
    truth = Reference(params).predict(data.test_images)
    with Accelerator(params, "rtl", images_at_once=1) as accelerator:  # the search counts an image by itself
        differing = int((accelerator.predict(data.test_images) != truth).sum())
        assert accelerator.last_call is not None
        cycles = accelerator.last_call.cycles
    if differing:
        raise RunError(f"{run}: {differing} words of the rtl kernel differ from the reference")
    assert cycles is not None
    accuracy = float(np.mean(truth.argmax(axis=1) == data.test_labels))
    images = len(data.test_images)
    return FullTraining(seed, str(run), accuracy, images, cycles / images, differing)


def _is_of(spec: Spec, run: Path) -> bool:
    try:
        return Params.load(run).spec == spec
    except RunError:
        return False
