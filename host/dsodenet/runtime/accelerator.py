"""The user's handle on a model that runs somewhere."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dsodenet.errors import DeviceError
from dsodenet.params import Params
from dsodenet.runtime.backends import open_backend
from dsodenet.runtime.images import as_pixels


@dataclass(frozen=True)
class CallInfo:
    """About one predict call."""

    backend: str
    label: str  # "measured", or "simulated": then `seconds` says nothing about hardware
    images: int
    batches: int  # commands that the images were split into
    seconds: float  # of the whole call on this host
    cycles: int | None  # clock cycles, where the kernel counts them


class Accelerator:
    """A dsODENet on one of BACKENDS; all of them return the same integers.

    run: a folder that `dsodenet export` wrote, or loaded Params. options: those of the backend's entry in BACKENDS.
    Calls from several threads run one after another.
    """

    def __init__(self, run: str | Path | Params, backend: str = "cpu", **options: Any) -> None:
        folder = None if isinstance(run, Params) else Path(run)
        self._params = run if isinstance(run, Params) else Params.load(run)
        self._lock = threading.Lock()
        self._last_call: CallInfo | None = None
        self.backend = backend
        self._backend = open_backend(backend, self._params, folder, options)
        self._closed = False

    @property
    def params(self) -> Params:
        """The model, with the solver that runs now; `params.logits_scale` is the value of one LSB of the logits."""
        return self._params

    @property
    def label(self) -> str:
        """As CallInfo.label."""
        return self._backend.label

    @property
    def last_call(self) -> CallInfo | None:
        """About the last predict that returned."""
        return self._last_call

    def predict(self, images: ArrayLike) -> NDArray[np.int32]:
        """images: uint8, or float in [0, 1], (N, channels, height, width) -> int32 logits (N, num_classes).

        InputError for images that do not fit; DeviceError when the device fails (the next call starts it afresh) or is closed.
        """
        pixels = as_pixels(images, self._params.spec.network)
        with self._lock:
            self._check_open()
            start = time.perf_counter()
            logits = self._backend.predict(pixels)
            seconds = time.perf_counter() - start
            self._last_call = CallInfo(self.backend, self.label, len(pixels), self._backend.batches, seconds, self._backend.cycles)
        return logits

    def set_solver(self, method: str | None = None, n_steps: int | tuple[int, ...] | None = None) -> None:
        """Another solver or step count from the next call on, on the same kernel; SpecError when the model cannot run it."""
        with self._lock:
            self._check_open()
            params = self._params.with_solver(method, n_steps)
            self._backend.set_solver(params)
            self._params = params

    def close(self) -> None:
        """Give the device back; more than once is fine."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._backend.close()

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceError("this Accelerator is closed; open another one")
