"""The user's handle on a model that runs somewhere."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dsodenet.contract import Kind
from dsodenet.errors import DeviceError, InputError, shown
from dsodenet.runs import Run
from dsodenet.runtime.artefacts import read_manifest
from dsodenet.runtime.backends import backend_options, check_number, open_backend
from dsodenet.runtime.cascade import Cascade
from dsodenet.runtime.classification import Classification
from dsodenet.runtime.driver import KernelDriver
from dsodenet.runtime.inputs import named_pixels
from dsodenet.runtime.pixels import NCHW, UINT8, as_pixels
from dsodenet.runtime.prepared import Pending
from dsodenet.spec import Params, split_features, with_features

STREAM_DEPTH = 2  # batches under way in a stream: one on the device, one prepared
MAX_STREAM_DEPTH = 1 << 16


@dataclass(frozen=True)
class CallInfo:
    """What one call of predict took."""

    backend: str
    kind: str  # "measured", or "simulated": then the times say nothing about hardware
    images: int
    batches: int  # commands that the images were split into
    seconds: float  # the whole call, on this host
    cycles: int | None  # clock cycles, where the kernel counts them
    stages_us: dict[str, float] = field(
        default_factory=dict
    )  # microseconds by stage of the call, where Accelerator.timed was set; their sum is `seconds`


@dataclass(frozen=True)
class CascadeInfo:
    """How a cascade went."""

    ended: NDArray[np.int64]  # solver steps that each image ended with, (N,)
    cycles: int | None  # clock cycles of all stages together, where the kernel counts them


class Accelerator:
    """A dsODENet on one of BACKENDS; all of them return the same integers.

    Calls from several threads run one after another. After a fork, the child may go on with backend cpu. Every other
    backend belongs to the process that opened it, and tells the child so by DeviceError.
    """

    def __init__(
        self,
        run: str | Path | Params,
        backend: str | None = None,
        *,
        simulate_with: str | None = None,
        library: str | Path | None = None,
        bitfile: str | Path | None = None,
        device: Any = None,
        timeout_s: float | None = None,
        max_batch_bytes: int | None = None,
        threads: int | None = None,
        images_at_once: int | None = None,
        wait: str | None = None,
        native: bool | None = None,
    ) -> None:
        """Open a model on a backend. InputError for an option that the backend does not take.

        run: a folder that `dsodenet export` wrote, `zoo:NAME`, loaded Params, or the .bit of a built overlay with its
            .hwh and .json beside it.
        backend: torch, cpu, cpu-fast, csim, csim-concurrent, rtl, zcu104-sim or zcu104; by default zcu104 for a .bit,
            else cpu.
        simulate_with: what computes inside the board of zcu104-sim: csim, rtl, or reference, which needs no compiler.
            By default it is the kernel of the spec.
        library: the compiled kernel that csim, rtl or zcu104-sim uses. By default csim takes the one that `dsodenet
            lower` made, and rtl builds one for the lanes of the spec.
        bitfile: the overlay of zcu104 or zcu104-sim. By default zcu104 takes RUN/<name>.bit, and zcu104-sim makes one.
        device: the SimulatedZcu104 that zcu104-sim uses. By default it makes one.
        timeout_s: seconds after which a command of zcu104 or zcu104-sim fails; 10 by default.
        max_batch_bytes: bytes of the images or logits of one command, for every kernel; 4 MiB by default. More images
            take several commands.
        images_at_once: small images that the rtl kernel computes as one, 1 to 8; by default as many as its closed form
            says to pay for each batch.
        threads: chunks of images that cpu computes at once, or threads of cpu-fast; by default one per core.
        wait: how zcu104 and zcu104-sim wait for commands that take over 150 us: "poll" (the default) sleeps almost to
            their end and then asks, "interrupt" sleeps until the kernel says so, which takes less of the processor and
            wakes some 50 us later. DeviceError where the interrupt does not reach this program.
        native: whether zcu104 makes small calls in native code, which it compiles once: by default where that can be
            done and calls do not wait by interrupt. True: ToolError says why it cannot.
        """
        given = {
            "simulate_with": simulate_with, "library": library, "bitfile": bitfile, "device": device,
            "timeout_s": timeout_s, "max_batch_bytes": max_batch_bytes, "threads": threads,
            "images_at_once": images_at_once, "wait": wait, "native": native,
        }  # fmt: skip
        options = {name: value for name, value in given.items() if value is not None}
        folder = None
        if isinstance(run, Params):
            self._params = run
        elif not isinstance(run, (str, Path)):
            raise InputError(f"run is {shown(run)}, but it must be a run folder, zoo:NAME, a .bit file or Params")
        elif Path(run).suffix == ".bit":
            self._params, _ = read_manifest(Path(run))
            backend = backend or "zcu104"
            if "bitfile" in backend_options(backend):
                options = {"bitfile": run} | options
        else:
            folder = Run.of(run).folder
            self._params = Params.load(folder)
        self._network = self._params.spec.network  # the same under every solver
        self._usual: dict[str, tuple[int, ...]] = {}  # layout -> shape of the last images that were taken
        self.backend = backend or "cpu"
        self._lock = threading.Lock()  # whoever uses the backend holds it, for as long as the call takes
        self._door = threading.Lock()  # for `_refusal` and `_worker`; never held while something takes long
        self._worker: ThreadPoolExecutor | None = None  # for predict_async
        self._worker_thread: int | None = None  # the worker's identifier, once it has begun
        self._last: tuple[int, float, float] | None = None  # images, seconds of their conversion and of all
        self._backend = open_backend(self.backend, self._params, folder, options)
        self._closed = False
        self._last_cascade: CascadeInfo | None = None
        self._refusal: str | None = None  # why no call is possible
        _LIVING.add(self)

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
    def timed(self) -> bool:
        """Whether calls are timed by stage, for `last_call.stages_us`; it takes some microseconds of each call."""
        return self._backend.timed

    @timed.setter
    def timed(self, on: bool) -> None:
        with self._lock:
            self._backend.timed = on

    @property
    def last_call(self) -> CallInfo | None:
        """About the last predict that returned. The cycles are read from the device when this is asked for."""
        with self._lock:
            if self._last is None:
                return None
            images, convert_s, seconds = self._last
            stages = self._backend.stages
            if stages:
                stages = {"convert": convert_s} | stages
                stages["other"] = max(0.0, seconds - sum(stages.values()))
            return CallInfo(
                self.backend,
                self.kind,
                images,
                self._backend.batches,
                seconds,
                self._backend.cycles,
                {name: 1e6 * value for name, value in stages.items()},
            )

    def predict(
        self,
        images: ArrayLike,
        layout: str = NCHW,
        *,
        cascade: Sequence[int] | None = None,
        threshold: float | None = None,
    ) -> NDArray[np.int32]:
        """images: uint8, or float in [0, 1], (N, channels, height, width) -> int32 logits (N, num_classes).

        layout: "nhwc" for images of (N, height, width, channels), as cameras and decoders give them; a kernel takes
        them faster, since its stream has that order.
        cascade, threshold: rising step counts, such as 2, 8, and a probability, which belong together: every image is
        solved with 2 steps, and those whose largest probability is under the threshold once more with 8.
        `dsodenet calibrate` finds a threshold. `last_cascade` tells where each image ended.

        InputError for images that do not fit. DeviceError when the device fails or is closed; after a failure the next
        call starts it afresh.
        """
        if cascade is not None or threshold is not None:
            return self._cascaded(images, layout, cascade, threshold)
        start = perf_counter()
        pixels: NDArray[np.uint8]
        if type(images) is np.ndarray and images.dtype is UINT8 and images.shape == self._usual.get(layout):
            pixels, convert_s = images, 0.0
        else:
            pixels = as_pixels(images, self._network, layout)
            self._usual[layout] = pixels.shape
            convert_s = perf_counter() - start
        lock = self._lock
        lock.acquire()  # what `with` does takes twice as long
        try:
            if self._refusal is not None:
                raise DeviceError(self._refusal)
            logits = self._backend.predict(pixels, layout)
            self._last = len(pixels), convert_s, perf_counter() - start
        finally:
            lock.release()
        return logits

    def classify(self, images: Any, layout: str = NCHW) -> Classification:
        """Class names and probabilities of a picture file, a folder of them, a Pillow image, or what `predict` takes.

        Pictures are resized and converted as in training; a picture that is an array already goes through
        `prepare(image, params)` first. InputError and DeviceError as `predict` raises them.
        """
        pixels, sources = named_pixels(images, self._params, layout)
        logits = self.predict(pixels)
        return Classification(self._params.spec.labels, logits, self._params.logits_scale, tuple(sources))

    def predict_async(self, images: ArrayLike, layout: str = NCHW) -> Future[NDArray[np.int32]]:
        """predict in the background: a Future of the logits.

        Calls run in the order in which they were made, each under the solver that is set when it begins. Images are
        checked and copied now, so that the caller may use their memory again. `close` cancels what has not begun.
        """
        start = perf_counter()
        pixels = as_pixels(images, self._network, layout)
        if pixels is images or pixels.base is not None:  # else it is new already
            pixels = pixels.copy()
        convert_s = perf_counter() - start
        with self._door:
            self._check_open()
            if self._worker is None:
                self._worker = ThreadPoolExecutor(1, "dsodenet")
            return self._worker.submit(self._predict_in_background, pixels, layout, convert_s)

    def stream(
        self, batches: Iterable[ArrayLike], depth: int = STREAM_DEPTH, layout: str = NCHW
    ) -> Iterator[NDArray[np.int32]]:
        """Logits of each batch, in order; the next batches are fetched, converted and packed while the device works.

        At most `depth` batches are under way. An error of a batch is raised in its turn, and ends the stream.
        """
        check_number("depth", depth, int, 1, MAX_STREAM_DEPTH)
        backend = self._backend
        if isinstance(backend, KernelDriver) and backend.works_alone and not backend.timed and depth > 1:
            return self._kernel_stream(backend, batches, layout)
        return self._stream(batches, depth, layout)

    def _kernel_stream(
        self, driver: KernelDriver, batches: Iterable[ArrayLike], layout: str
    ) -> Iterator[NDArray[np.int32]]:
        """A kernel works by itself once it is started, so that no thread is needed: one run is under way."""
        before: Pending | None = None
        try:
            for images in batches:
                pixels = as_pixels(images, self._network, layout)
                with self._lock:
                    self._check_open()
                    pending = driver.begin(pixels, layout)
                if before is not None:
                    done, before = before, pending
                    yield self._result(driver, done)
                before = pending
            if before is not None:
                done, before = before, None
                yield self._result(driver, done)
        finally:
            if before is not None:
                with self._lock:
                    driver.settle()

    def _result(self, driver: KernelDriver, pending: Pending) -> NDArray[np.int32]:
        with self._lock:
            logits = driver.result(pending)
            self._last = pending.count, 0.0, perf_counter() - pending.began
            return logits

    def _stream(self, batches: Iterable[ArrayLike], depth: int, layout: str) -> Iterator[NDArray[np.int32]]:
        waiting: deque[Future[NDArray[np.int32]]] = deque()
        try:
            for images in batches:
                waiting.append(self.predict_async(images, layout))
                if len(waiting) >= depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def set_solver(self, method: str | None = None, n_steps: int | tuple[int, ...] | None = None) -> None:
        """Another solver or step count from the next call on, on the same kernel.

        SpecError when the model cannot run it.
        """
        self.set_params(self._params.with_solver(method, n_steps))

    def set_params(self, params: Params) -> None:
        """Other integers of a network of the same shape, from the next call on.

        Backend cpu and the rtl kernel take any; an hls kernel takes other bias tables of f, and DeviceError says so of
        the rest; backend torch takes none.
        """
        if params.spec.network != self._network:
            raise InputError("params are of another network; open another Accelerator for it")
        with self._lock:
            self._check_open()
            self._backend.set_model(params)
            self._params = params

    def features(self, images: ArrayLike, layout: str = NCHW) -> NDArray[np.int32]:
        """What the head sees: int32 (N, channels), the integers of `head.x`, word for word the same on every backend.

        The model's head is widened for this call (spec.with_features), so an rtl kernel loads two programs more. An hls
        kernel has its head built in, and DeviceError says so.
        """
        pixels = as_pixels(images, self._network, layout)
        with self._lock:
            self._check_open()
            if isinstance(self._backend, KernelDriver) and self._backend.kernel_kind() is Kind.HLS:
                raise DeviceError(
                    "features are what the head sees, but the head of an hls kernel is fixed logic; the rtl kernel and "
                    "backends cpu, cpu-fast and torch give them"
                )
        with self._other(with_features(self._params)):
            words = self._backend.predict(pixels, layout)
        return split_features(words, self._params)[0]

    @contextmanager
    def _other(self, params: Params) -> Iterator[None]:
        """Hold the backend with another model in it, for images of the same shape."""
        with self._lock:
            self._check_open()
            self._backend.set_model(params)
            try:
                yield
            finally:
                self._backend.set_model(self._params)

    def _cascaded(
        self, images: ArrayLike, layout: str, cascade: Sequence[int] | None, threshold: float | None
    ) -> NDArray[np.int32]:
        """One call of the backend for each stage; the solver is afterwards what it was."""
        if cascade is None or threshold is None:
            raise InputError("cascade and threshold belong together: give both, such as cascade=[2, 8], threshold=0.9")
        plan = Cascade(tuple(cascade), threshold)
        start = perf_counter()
        pixels = as_pixels(images, self._network, layout)
        convert_s = perf_counter() - start
        cycles: list[int | None] = []

        def solve(n_steps: int, waiting: NDArray[np.uint8]) -> NDArray[np.int32]:
            self._backend.set_model(self._params.with_solver(n_steps=n_steps))
            logits = self._backend.predict(waiting, layout)
            cycles.append(self._backend.cycles)
            return logits

        with self._other(self._params.with_solver(n_steps=plan.steps[0])):
            logits, ended = plan.predict(solve, pixels, self._params.logits_scale)
            self._last = len(pixels), convert_s, perf_counter() - start
            known = [count for count in cycles if count is not None]
            self._last_cascade = CascadeInfo(ended, sum(known) if len(known) == len(cycles) else None)
        return logits

    @property
    def last_cascade(self) -> CascadeInfo | None:
        """About the last predict with a cascade that returned."""
        return self._last_cascade

    def power_rails(self) -> Mapping[str, Any]:
        """The power rails of the board, name -> pynq.pmbus.Rail; none for a backend that is no board.

        With kind "simulated" their readings are made up. ToolError when pynq cannot look.
        """
        with self._lock:
            self._check_open()
            return self._backend.power_rails()

    @contextmanager
    def driver(self) -> Iterator[KernelDriver]:
        """The kernel's driver for tests of the device itself, with no call in between.

        Afterwards the kernel is set up afresh. InputError for a backend that has no kernel.
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
        """Give the device back, after the call under way.

        It may be called more than once, and by a callback of a Future of predict_async. The child of a fork gives back
        only what is its own.
        """
        with self._door:
            if self._closed:
                return
            self._closed, is_own = True, self._refusal is None
            self._refusal = "this Accelerator is closed; open another one"
        if self._worker is not None:
            # A callback runs in the worker, which cannot wait for itself. Its call has ended by then.
            self._worker.shutdown(wait=self._worker_thread != threading.get_ident(), cancel_futures=True)
        with self._lock:
            if is_own:
                self._backend.close()

    def __repr__(self) -> str:
        state = f", {self._refusal}" if self._refusal is not None else ""
        return f"<Accelerator of {self._params.spec.name} on {self.backend}, {self.kind}{state}>"

    def __enter__(self) -> Accelerator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _predict_in_background(self, pixels: NDArray[np.uint8], layout: str, convert_s: float) -> NDArray[np.int32]:
        self._worker_thread = threading.get_ident()
        with self._lock:
            self._check_open()
            start = perf_counter()
            logits = self._backend.predict(pixels, layout)
            self._last = len(pixels), convert_s, convert_s + perf_counter() - start
        return logits

    def _check_open(self) -> None:
        if self._refusal is not None:
            raise DeviceError(self._refusal)

    def _enter_child(self, parent: int) -> None:
        """After a fork: the parent's locks may be held here for ever, its worker does not run, nor may its device."""
        self._lock, self._door = threading.Lock(), threading.Lock()
        self._worker, self._worker_thread = None, None
        if self._refusal is None and not self._backend.survives_fork:
            self._refusal = (
                f"this Accelerator belongs to process {parent}, which opened it before the fork; "
                f"backend {self.backend} cannot be shared: open another Accelerator in process {os.getpid()}"
            )


_LIVING: weakref.WeakSet[Accelerator] = weakref.WeakSet()


def _enter_child() -> None:
    for accelerator in list(_LIVING):
        accelerator._enter_child(os.getppid())


os.register_at_fork(after_in_child=_enter_child)
