"""How many threads torch may use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dsodenet.spec import Spec, macs

SMALL_MACS = 4_000_000  # per image, all evaluations counted


@contextmanager
def threads_for(spec: Spec) -> Iterator[None]:
    """One thread for a small network.

    A second one gains nothing, loses minutes where another program wants its core, and
    changes the order of sums, so that the result of training would depend on the machine's number of cores."""
    before = torch.get_num_threads()
    if sum(macs(spec).values()) < SMALL_MACS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
