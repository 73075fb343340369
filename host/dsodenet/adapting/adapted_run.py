"""An exported run, adapted on a backend, as another exported run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsodenet.adapting.adapted import Adapted, adapt, chosen_methods
from dsodenet.adapting.statistics import Statistics
from dsodenet.errors import InputError
from dsodenet.files import write_json
from dsodenet.runs import Run, check_folder
from dsodenet.runtime import Accelerator
from dsodenet.spec import Params, split_features, with_features


def adapt_run(
    run: Run,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64] | None,
    out: Path,
    method: str,
    *,
    backend: str = "cpu",
    budget_s: float = 600.0,
    generations: int = 60,
    seed: int = 0,
    progress: Callable[[int, float], None] = lambda generation, value: None,
) -> Adapted:
    """Adapt RUN to images (N, channels, height, width), uint8, and write OUT: spec.json, params.npz, adapted.json.

    labels: int64 (N,), where known. Interrupted, `forward` goes on from OUT/forward.journal when called again.
    InputError for a method that this run cannot have, before any work.
    """
    params = Params.load(run)
    check_folder(out)
    if Run(out).spec.exists():
        raise InputError(f"{out} holds a model already; choose another folder for --out")
    source = Statistics.load(run.statistics, params) if run.statistics.exists() else None
    methods = chosen_methods(method, params.spec.kernel.name, labels is not None, source is not None)
    out.mkdir(parents=True, exist_ok=True)
    journal = out / "forward.journal"
    with Accelerator(with_features(params), backend=backend) as accelerator:

        def evaluate(model: Params, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
            accelerator.set_params(with_features(model))
            return split_features(accelerator.predict(pixels), model)

        result = adapt(
            params,
            images,
            evaluate,
            methods,
            labels=labels,
            source=source,
            budget_s=budget_s,
            generations=generations,
            seed=seed,
            journal=journal,
            progress=progress,
        )
    if source is not None:
        source.save(Run(out).statistics)
    write_json(
        result.to_dict() | {"source": params.fingerprint, "backend": backend, "seed": seed}, out / "adapted.json"
    )
    result.params.save(out)
    journal.unlink(missing_ok=True)
    return result
