"""`dsodenet adapt`: a model to a new domain, from images alone, where it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.adapting.forward import Evaluate, import_cma, misfit
from dsodenet.adapting.heads import entropy
from dsodenet.adapting.methods import METHODS, Method, Task
from dsodenet.adapting.statistics import Statistics
from dsodenet.errors import InputError
from dsodenet.spec import Params

HELD_BACK = 0.2  # share of the images that judges the adapted model and is not adapted to
FEWEST = 20  # images
SPREAD = 0.9  # of the entropy of the predicted classes that an adapted model must keep


@dataclass(frozen=True)
class Adapted:
    """params: the model to use, the source's own where `kept` says so. reason: why it was kept, or empty."""

    params: Params
    methods: tuple[str, ...]
    images: int
    seconds: float
    judged: dict[str, dict[str, float]]  # "source" and "adapted": spread of the predicted classes, misfit
    reason: str

    @property
    def kept(self) -> bool:
        """Whether the source model was kept, because the adapted one looks worse."""
        return bool(self.reason)

    def to_dict(self) -> dict[str, Any]:
        return {
            "methods": list(self.methods),
            "images": self.images,
            "seconds": self.seconds,
            "kept": self.kept,
            "reason": self.reason,
            "judged": self.judged,
            "fingerprint": self.params.fingerprint,
        }


def chosen_methods(text: str, kernel: str, has_labels: bool, has_source: bool) -> dict[str, Method]:
    """Methods by name, in the order of a text such as "t3a,pseudo"; InputError for what cannot be, and why."""
    names = text.split(",")
    for name in names:
        if name not in METHODS:
            raise InputError(f"method is {name!r}, but it must be one or more of {', '.join(METHODS)}")
        method = METHODS[name]
        if method.changes_head and kernel == "hls":
            free = ", ".join(key for key, other in METHODS.items() if not other.changes_head)
            raise InputError(
                f"method {name} changes the head, which is fixed in the hls kernel of this run; {free} change only the "
                f"bias tables, which that kernel takes at run time, and a spec with kernel rtl takes every method"
            )
        if method.needs_labels and not has_labels:
            raise InputError(f"method {name} needs labels: give --images a folder with one subfolder per class")
        if method.needs_source and not has_source:
            raise InputError(
                f"method {name} needs the source's statistics; `dsodenet export RUN --data DIR` stores them"
            )
        if name == "forward":
            import_cma()
    return {name: METHODS[name] for name in names}


def adapt(
    params: Params,
    images: NDArray[np.uint8],
    evaluate: Evaluate,
    methods: dict[str, Method],
    *,
    labels: NDArray[np.int64] | None = None,
    source: Statistics | None = None,
    budget_s: float = 600.0,
    generations: int = 60,
    seed: int = 0,
    journal: Path | None = None,
    progress: Callable[[int, float], None] = lambda generation, value: None,
) -> Adapted:
    """The model after every method in turn; or as it was, where images held back say that it has become worse.

    images: uint8 (N, channels, height, width) of the new domain, at least FEWEST. labels: int64 (N,), where known.
    """
    if len(images) < FEWEST:
        raise InputError(f"there are {len(images)} images, but adapting needs at least {FEWEST}")
    start = time.perf_counter()
    order = np.random.default_rng(seed).permutation(len(images))
    held, used = np.split(order, [max(1, int(HELD_BACK * len(order)))])
    task = Task(
        images[used],
        None if labels is None else labels[used],
        evaluate,
        source,
        budget_s,
        generations,
        seed,
        journal,
        progress,
    )
    result = params
    for method in methods.values():
        result = method.adapt(result, task)
    before, after = (_judged(model, images[held], evaluate, source) for model in (params, result))
    reason = _worse(before, after, methods)
    return Adapted(
        params if reason else result,
        tuple(methods),
        len(used),
        time.perf_counter() - start,
        {"source": before, "adapted": after},
        reason,
    )


def _judged(
    params: Params, images: NDArray[np.uint8], evaluate: Evaluate, source: Statistics | None
) -> dict[str, float]:
    features, logits = evaluate(params, images)
    counts = np.bincount(logits.argmax(axis=1), minlength=params.spec.network.num_classes)
    return {
        "spread": float(entropy(counts / counts.sum())),
        "misfit": misfit(params, features, logits, source),
    }


def _worse(before: dict[str, float], after: dict[str, float], methods: dict[str, Method]) -> str:
    """Why the adapted model is not to be used, or empty.

    A collapse shows as fewer predicted classes. A misfit compares models only where the head, and with it the scale of
    the logits, is the same.
    """
    if after["spread"] < SPREAD * before["spread"]:
        fall = f"{before['spread']:.2f} to {after['spread']:.2f} nats"
        return f"its predictions collapse: the spread of classes falls from {fall}"
    if not any(method.changes_head for method in methods.values()) and after["misfit"] >= before["misfit"]:
        values = f"misfit {before['misfit']:.2f} before, {after['misfit']:.2f} after"
        return f"it fits the images held back no better: {values}"
    return ""
