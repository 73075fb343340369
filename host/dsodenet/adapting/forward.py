"""Adapting by forward passes alone: CMA-ES over the biases, with the accelerator in the loop.

After FOA (ICML 2024, arXiv 2404.01650), which moves prompts of a transformer the same way.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.adapting.heads import entropy
from dsodenet.adapting.statistics import Statistics
from dsodenet.adapting.tables import moved, units
from dsodenet.errors import InputError, ToolError
from dsodenet.files import how_to_install
from dsodenet.runtime import probabilities
from dsodenet.spec import Params

Ints = NDArray[np.int32]
Evaluate = Callable[[Params, NDArray[np.uint8]], tuple[Ints, Ints]]  # -> features (N, channels), logits (N, classes)
BATCH = 256  # images that a candidate is judged by
FEATURES = 1.0  # weight of the features' distance from the source's, beside entropies in nats


def misfit(params: Params, features: Ints, logits: Ints, source: Statistics | None) -> float:
    """How badly a model fits unlabelled images; lower is better.

    Sure of each image, unsure of all together (information maximisation, 2002.08546), and with features as on the
    source: mean entropy - entropy of the mean + FEATURES * (mean distance of the features' means and deviations, in
    the source's deviations).
    """
    p = probabilities(logits, params.logits_scale)
    value = float(entropy(p).mean() - entropy(p.mean(axis=0)))
    if source is None:
        return value
    spread = source.deviation + 1.0
    far = np.abs(features.mean(axis=0) - source.mean) + np.abs(features.std(axis=0) - source.deviation)
    return value + FEATURES * float((far / spread).mean())


def forward(
    params: Params,
    images: NDArray[np.uint8],
    evaluate: Evaluate,
    source: Statistics | None,
    *,
    budget_s: float,
    generations: int,
    seed: int,
    journal: Path | None = None,
    progress: Callable[[int, float], None] = lambda generation, value: None,
) -> Params:
    """The model with the biases of f that the search found: the mean of its last distribution.

    It ends after `generations`, or when budget_s seconds have passed. journal: one line of misfits per generation;
    a search that finds one there asks for the same candidates again, and takes the values from it.
    """
    cma = import_cma()
    scale = units(params)
    names, sizes = list(scale), [len(unit) for unit in scale.values()]
    step = np.concatenate(list(scale.values()))
    search = cma.CMA(mean=np.zeros(len(step)), sigma=1.0, seed=seed)
    random = np.random.default_rng(seed)

    def model(vector: NDArray[np.float64]) -> Params:
        parts = np.split(vector * step, np.cumsum(sizes)[:-1])
        return moved(params, dict(zip(names, parts)))

    known = _read(journal, search.population_size)
    start = time.perf_counter()
    for generation in range(generations):
        batch = images[random.permutation(len(images))[:BATCH]]
        asked = [search.ask() for _ in range(search.population_size)]
        if generation < len(known):
            values = known[generation]
        elif time.perf_counter() - start > budget_s:
            break
        else:
            values = []
            for vector in asked:
                candidate = model(vector)
                values.append(misfit(candidate, *evaluate(candidate, batch), source))
            if journal is not None:
                with open(journal, "a", encoding="utf-8") as file:
                    file.write(json.dumps(values) + "\n")
        search.tell(list(zip(asked, values)))
        progress(generation + 1, min(values))
    return model(search.mean)


def _read(journal: Path | None, population: int) -> list[list[float]]:
    """Whole generations of a journal; a last line that was cut short does not count."""
    if journal is None or not journal.exists():
        return []
    result: list[list[float]] = []
    for line in journal.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            values = [float(value) for value in json.loads(line)]
        except (ValueError, TypeError):
            values = []
        if len(values) != population or not np.isfinite(values).all():
            raise InputError(f"{journal}: not the journal of this search; remove it to begin again")
        result.append(values)
    return result


def import_cma() -> Any:
    try:
        import cmaes
    except ImportError as error:
        raise ToolError(f"cmaes is not installed ({error}); {how_to_install('adapt')} brings it") from None
    return cmaes
