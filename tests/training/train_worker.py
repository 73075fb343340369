"""A training that a test starts as a process of its own: under torchrun, or to be killed.

arguments: OUT EPOCHS [resume] [slow].
"""

from __future__ import annotations

import dataclasses
import sys
import time
from typing import Any

import numpy as np

from dsodenet.data.dataset import Dataset
from dsodenet.spec.specification import Spec
from dsodenet.spec.synthetic import random_images
from dsodenet.training import journal
from dsodenet.training.options import Options
from dsodenet.training.trainer import train


def task(epochs: int) -> tuple[Spec, Dataset, Dataset, Options]:
    """A small spec, two domains of two classes that differ in brightness, and options."""
    xs = Spec.named("xs")
    network = dataclasses.replace(xs.network, channels=(4, 6), height=8, width=8, num_classes=2)
    spec = Spec("tiny", network, dataclasses.replace(xs.solver, n_steps=(2, 2)), xs.quantisation, xs.kernel)
    images, labels = random_images(spec, 96, seed=1) // 2, np.arange(96) % 2
    images[labels == 1] += 100
    domains = [
        Dataset(name, x[:64], labels[:64], x[64:], labels[64:], ("a", "b"))
        for name, x in (("s", images), ("t", 255 - images))
    ]
    return spec, *domains, Options(epochs=epochs, qat_epochs=2, batch_size=16, device="cpu", progress=False)


def main() -> None:
    out, epochs, *flags = sys.argv[1:]
    spec, data, target, options = task(int(epochs))
    journal.SAVE_SECONDS = 0.0  # every epoch is saved
    if "slow" in flags:  # so that there is time to be killed in
        quick = journal.Journal.epoch

        def slow(self: Any, *args: Any) -> None:
            quick(self, *args)
            time.sleep(0.2)

        journal.Journal.epoch = slow  # type: ignore[method-assign]
    train(spec, data, out, options, "dann", target=target, resume="resume" in flags)


if __name__ == "__main__":
    main()
