"""Training: recipes by name, and the run folder that they leave. Imports torch.

train(spec, data, out) runs a recipe and writes OUT/checkpoint.pt and OUT/metrics.json; load_checkpoint(out) reads the model back.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from dsodenet.data import Dataset
from dsodenet.errors import InputError
from dsodenet.spec import Spec
from dsodenet.threads import threads_for
from dsodenet.train.checkpoint import load_checkpoint, load_float_model, save_checkpoint
from dsodenet.train.loop import Options, Trained
from dsodenet.train.supervised import supervised

__all__ = ["RECIPES", "Options", "load_checkpoint", "load_float_model", "train"]

Recipe = Callable[[Spec, Dataset, Options], Trained]

RECIPES: dict[str, Recipe] = {"supervised": supervised}


def train(spec: Spec, data: Dataset, out: str | Path, options: Options | None = None, recipe: str = "supervised") -> dict[str, Any]:
    """Train `spec` on `data`, write the run folder `out` and return its metrics (the content of metrics.json).

    The result depends on spec, data, options and library versions, and for networks of threads.SMALL_MACS and more on the number of
    torch's threads. torch's global random state and thread count are left as they were.
    Nothing in `out` changes before training has ended. InputError when the data does not fit the spec.
    """
    options = options or Options()
    if recipe not in RECIPES:
        raise InputError(f"recipe is {recipe!r}, but it must be one of {', '.join(RECIPES)}")
    network = spec.network
    if data.train_images.shape[1:] != network.image_shape or len(data.class_names) != network.num_classes:
        raise InputError(
            f"{data.name} has images of {data.train_images.shape[1:]} in {len(data.class_names)} classes, "
            f"but the spec's network takes {network.image_shape} in {network.num_classes}"
        )
    with torch.random.fork_rng(devices=[]), threads_for(spec):
        torch.manual_seed(options.seed)
        trained = RECIPES[recipe](spec, data, options)
        return save_checkpoint(Path(out), spec, data, recipe, options, trained)
