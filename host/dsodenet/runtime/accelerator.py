"""The user's handle on a model that runs somewhere."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dsodenet.errors import DeviceError, InputError
from dsodenet.runs import Run
from dsodenet.runtime.artefacts import read_manifest
from dsodenet.runtime.backends import backend_options, open_backend
from dsodenet.runtime.driver import KernelDriver
from dsodenet.runtime.pixels import as_pixels
from dsodenet.spec import Params

STREAM_DEPTH = 2  # batches under way in a stream: one on the device, one prepared


@dataclass(frozen=True)
class CallInfo:
    """About one predict call."""

    backend: str
    kind: str  # "measured", or "simulated": then the times say nothing about hardware
    images: int
    batches: int  # commands that the images were split into
    seconds: float  # of the whole call on this host
    cycles: int | None  # clock cycles, where the kernel counts them
    stages_us: dict[str, float] = field(
        default_factory=dict
    )  # microseconds by stage, see Backend.stages; the sum is `seconds`


class Accelerator:
    """A dsODENet on one of BACKENDS; all of them return the same integers.

    run: a folder that `dsodenet export` wrote, `zoo:NAME`, the .bit of a built overlay with its .hwh and .json beside, or loaded
    Params.
    backend: by default cpu, or zcu104 for a .bit. options: those of the backend's entry in BACKENDS.
    Calls from several threads run one after another.
    """

    def __init__(self, run: str | Path | Params, backend: str | None = None, **options: Any) -> None:
        folder = None
        if isinstance(run, Params):
            self._params = run
        elif Path(run).suffix == ".bit":
            self._params, _ = read_manifest(Path(run))
            backend = backend or "zcu104"
            if "bitfile" in backend_options(backend):
                options = {"bitfile": run} | options
        else:
            folder = Run.of(run).folder
            self._params = Params.load(folder)
        self.backend = backend or "cpu"
        self._lock = threading.Lock()
        self._last_call: CallInfo | None = None
        self._worker: ThreadPoolExecutor | None = None  # of predict_async
        self._backend = open_backend(self.backend, self._params, folder, options)
        self._closed = False

    @property
    def params(self) -> Params:
        """The model, with the solver that runs now; `params.logits_scale` is the value of one LSB of the logits."""
        return self._params

    @property
    def kind(self) -> str:
        """As CallInfo.kind."""
        return self._backend.kind

    @property
    def clock_mhz(self) -> float | None:
        """Clock of the fabric, where there is one; on the simulated board a setting without effect."""
        return self._backend.clock_mhz

    @property
    def last_call(self) -> CallInfo | None:
        """About the last predict that returned."""
        return self._last_call

    def predict(self, images: ArrayLike) -> NDArray[np.int32]:
        """images: uint8, or float in [0, 1], (N, channels, height, width) -> int32 logits (N, num_classes).

        InputError for images that do not fit; DeviceError when the device fails (the next call starts it afresh) or is closed.
        """
        start = time.perf_counter()
        pixels = as_pixels(images, self._params.spec.network)
        return self._predict(pixels, time.perf_counter() - start)

    def predict_async(self, images: ArrayLike) -> Future[NDArray[np.int32]]:
        """predict in the background: a Future of the logits. Calls run in the order in which they were made, each under the solver
        that is set when it begins.

        Images are checked and copied now, so that the caller may use their memory again; `close` cancels what has not begun.
        """
        start = time.perf_counter()
        pixels = as_pixels(images, self._params.spec.network)
        if pixels is images or pixels.base is not None:  # else it is new already
            pixels = pixels.copy()
        convert_s = time.perf_counter() - start
        with self._lock:
            self._check_open()
            if self._worker is None:
                self._worker = ThreadPoolExecutor(1, "dsodenet")
            return self._worker.submit(self._predict, pixels, convert_s)

    def stream(self, batches: Iterable[ArrayLike], depth: int = STREAM_DEPTH) -> Iterator[NDArray[np.int32]]:
        """Logits of each batch, in order; the next batches are fetched and converted while the device works.

        At most `depth` batches are under way. An error of a batch is raised in its turn, and ends the stream.
        """
        if depth < 1:
            raise InputError(f"depth is {depth}, but at least one batch must be under way")
        waiting: deque[Future[NDArray[np.int32]]] = deque()
        try:
            for images in batches:
                waiting.append(self.predict_async(images))
                if len(waiting) >= depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def set_solver(self, method: str | None = None, n_steps: int | tuple[int, ...] | None = None) -> None:
        """Another solver or step count from the next call on, on the same kernel; SpecError when the model cannot run it."""
        with self._lock:
            self._check_open()
            params = self._params.with_solver(method, n_steps)
            self._backend.set_solver(params)
            self._params = params

    def power_rails(self) -> Mapping[str, Any]:
        """The power rails of the board, name -> pynq.pmbus.Rail; none for a backend that is no board. ToolError when pynq cannot look.

        With kind "simulated" their readings are made up.
        """
        return self._backend.power_rails()

    @contextmanager
    def driver(self) -> Iterator[KernelDriver]:
        """The kernel's driver for tests of the device itself, with no call in between; afterwards the kernel is set up afresh.

        InputError for a backend that has no kernel.
        """
        with self._lock:
            self._check_open()
            if not isinstance(self._backend, KernelDriver):
                raise InputError(f"backend {self.backend} has no kernel to test")
            try:
                yield self._backend
            finally:
                self._backend.forget()

    def close(self) -> None:
        """Give the device back, after the call under way; more than once is fine."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            worker = self._worker
        if worker is not None:
            worker.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            self._backend.close()

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _predict(self, pixels: NDArray[np.uint8], convert_s: float) -> NDArray[np.int32]:
        with self._lock:
            self._check_open()
            start = time.perf_counter()
            logits = self._backend.predict(pixels)
            seconds = time.perf_counter() - start
            stages = {"convert": convert_s} | self._backend.stages
            stages["other"] = max(0.0, convert_s + seconds - sum(stages.values()))
            self._last_call = CallInfo(
                self.backend,
                self.kind,
                len(pixels),
                self._backend.batches,
                convert_s + seconds,
                self._backend.cycles,
                {name: 1e6 * value for name, value in stages.items()},
            )
        return logits

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceError("this Accelerator is closed; open another one")
