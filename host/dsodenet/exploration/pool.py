"""The processes that a search trains in. They end with the process that started them, however that ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dsodenet.errors import RunError


@contextmanager
def worker_pool(workers: int, folder: Path) -> Iterator[Executor]:
    """An executor with so many processes; one worker is this process itself.

    Any exception in here, Ctrl-C too, ends them at once. RunError, naming the folder of the search, when one is killed.
    """
    if workers == 1:
        yield _Here()
        return
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_be_a_worker)
    try:
        yield pool
    except BaseException as error:
        for process in multiprocessing.active_children():
            if process not in others:
                process.terminate()  # in the middle of a training it would not hear of a shutdown
        if isinstance(error, BrokenProcessPool):
            raise RunError(f"{folder}: a worker was killed, perhaps for want of memory") from None
        raise
    finally:
        pool.shutdown(cancel_futures=True)


class _Here(Executor):
    """Calls in this process: what is submitted is done at once, what is mapped when its result is wanted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    def map(self, fn: Callable[..., Any], *iterables: Any, **_: Any) -> Iterator[Any]:
        return map(fn, *iterables)


def _be_a_worker() -> None:
    """Ctrl-C in a terminal reaches each process, and the parent alone answers to it."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
