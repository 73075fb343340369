"""Trainings in several processes, which end with the work that they were started for."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dsodenet.errors import RunError
from dsodenet.exploration.sampling import ended_by_sigterm
from dsodenet.exploration.trial import alone


@contextmanager
def mapped(workers: int, folder: Path) -> Iterator[Callable[..., Iterator[Any]]]:
    """The built-in map, or one over so many processes that keeps the order. RunError, naming the folder, when one of them is killed."""
    if workers == 1:
        yield map
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=alone)
    try:
        with ended_by_sigterm():
            yield pool.map
    except BaseException as error:
        for (
            process
        ) in multiprocessing.active_children():  # in the middle of a training they would not hear of a shutdown
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise RunError(f"{folder}: a worker was killed, perhaps for want of memory") from None
        raise
    finally:
        pool.shutdown(cancel_futures=True)
