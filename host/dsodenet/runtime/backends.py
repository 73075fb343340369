"""What can run a model: one entry per backend. Whatever is heavy or optional is imported when the backend is opened."""

from __future__ import annotations

import dataclasses
import inspect
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dsodenet.errors import DeviceError, InputError, RunError, ToolError, shown
from dsodenet.files import how_to_install
from dsodenet.reference import Reference
from dsodenet.runtime.driver import MAX_BATCH_BYTES, KernelDriver
from dsodenet.runtime.interrupt import POLL, WAITS
from dsodenet.runtime.pixels import NCHW
from dsodenet.runtime.power import board_rails
from dsodenet.runtime.simulated.kernels import SIMULATED_KERNELS, concurrent_library, csim_library, rtl_library
from dsodenet.runtime.stages import Stages
from dsodenet.runtime.transport import Transport
from dsodenet.spec import Params, with_features

TIMEOUT_S = 10.0
Predict = Callable[[NDArray[np.uint8]], NDArray[np.int32]]
# What computes inside the simulated board where nothing else is asked for: the kernel of the spec, simulated.
SIMULATION_OF = {"hls": "csim", "rtl": "rtl"}
# What numeric options may be: the type, the least and the most. A time-out that is no number would never end a wait.
RANGES: dict[str, tuple[type[int] | type[float], float, float]] = {
    "timeout_s": (float, 1e-3, 86_400),
    "max_batch_bytes": (int, 1, 1 << 30),
    "threads": (int, 1, 1024),
    "images_at_once": (int, 1, 8),
}
PATHS = ("library", "bitfile")  # options that name a file
CHOICES: dict[str, tuple[Any, ...]] = {"wait": WAITS, "native": (True, False)}  # options that are one of a few


class Backend(Protocol):
    """pixels -> logits."""

    kind: str  # whether its times are "measured" on what they are about, or "simulated"
    survives_fork: bool  # whether the child of a fork may go on with it
    batches: int  # commands of the last predict

    @property
    def cycles(self) -> int | None:
        """Clock cycles of the last predict, where the kernel counts them."""

    @property
    def timed(self) -> bool:
        """Whether calls are timed by stage."""

    @timed.setter
    def timed(self, on: bool) -> None: ...

    @property
    def clock_mhz(self) -> float | None:
        """Clock of the fabric, where there is one."""

    @property
    def stages(self) -> dict[str, float]:
        """Seconds of the last predict by stage; empty unless `timed`."""

    def predict(self, images: NDArray[np.uint8], layout: str = NCHW) -> NDArray[np.int32]:
        """images: uint8 (N, channels, height, width), or (N, height, width, channels) for layout nhwc."""

    def set_model(self, params: Params) -> None:
        """Another model for images of the same shape, from the next call on.

        InputError or DeviceError where what computes has its weights built in.
        """

    def power_rails(self) -> Mapping[str, Any]:
        """The power rails of the board, name -> pynq.pmbus.Rail; none for what is no board.

        ToolError when they cannot be looked for.
        """

    def close(self) -> None:
        """Called once, and nothing after it."""


class SoftwareBackend:
    """A network that this processor computes.

    make: builds it for a model, as a function images -> logits.
    """

    kind = "measured"
    batches = 1
    cycles: int | None = None
    clock_mhz: float | None = None

    def __init__(self, params: Params, make: Callable[[Params], Predict], survives_fork: bool) -> None:
        self.survives_fork, self.timed = survives_fork, False
        self._make, self._predict = make, make(params)
        self._stages = Stages()

    @property
    def stages(self) -> dict[str, float]:
        return self._stages.seconds if self.timed else {}

    def predict(self, images: NDArray[np.uint8], layout: str = NCHW) -> NDArray[np.int32]:
        self._stages.start()
        logits = self._predict(images if layout == NCHW else np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        self._stages.lap("compute")
        return logits

    def set_model(self, params: Params) -> None:
        self._predict = self._make(params)

    def power_rails(self) -> Mapping[str, Any]:
        return {}

    def close(self) -> None:
        """Nothing to give back."""


def _same_arrays(one: Params, other: Params) -> bool:
    arrays = other.arrays
    return all(name in arrays and np.array_equal(arrays[name], values) for name, values in one.arrays.items())


def open_torch(params: Params, run: Path | None) -> Backend:
    """The quantised network of the run's checkpoint, in float64, where every product and sum is exact."""
    if run is None:
        raise InputError("backend torch needs a run folder: a model opened from Params or a .bit has no checkpoint")
    from dsodenet.exporting import exported_model, torch_features, torch_logits

    model, own = exported_model(run, params), params

    def make(params: Params) -> Predict:
        here, told = _same_arrays(params, own), _same_arrays(params, with_features(own))
        if not here and not told:
            raise InputError("backend torch has the weights of the run's checkpoint and takes no others")
        model.spec = dataclasses.replace(params.spec, network=own.spec.network, class_names=own.spec.class_names)
        scales = params.formats["head.x"].scale, params.logits_scale

        def predict(images: NDArray[np.uint8]) -> NDArray[np.int32]:
            logits = torch_logits(model, images, scales[1])
            return logits if here else np.hstack([torch_features(model, images, scales[0]), logits])

        return predict

    return SoftwareBackend(params, make, survives_fork=False)  # torch's threads do not reach the child


def open_cpu(params: Params, run: Path | None, *, threads: int | None = None) -> Backend:
    """threads: chunks of images computed at once, by default one per core."""
    return SoftwareBackend(params, lambda params: Reference(params, threads).predict, survives_fork=True)


def open_cpu_fast(params: Params, run: Path | None, *, threads: int | None = None) -> Backend:
    """The reference's integers in onnxruntime, several times as fast. threads: of onnxruntime, one per core."""
    from dsodenet.runtime.cpu_fast import FastModel

    return SoftwareBackend(params, lambda params: FastModel(params, threads).predict, survives_fork=False)


def open_csim(
    params: Params, run: Path | None, *, library: str | Path | None = None, max_batch_bytes: int = MAX_BATCH_BYTES
) -> Backend:
    """library: the C simulation of the hls kernel; by default the one that `dsodenet lower` made in the run folder."""
    return _open_library(csim_library(run, library), params, max_batch_bytes)


def open_csim_concurrent(params: Params, run: Path | None, *, max_batch_bytes: int = MAX_BATCH_BYTES) -> Backend:
    """The C simulation with every process at once and bounded streams. Compiled on first use, which takes a minute."""
    return _open_library(concurrent_library(run), params, max_batch_bytes)


def open_rtl(
    params: Params,
    run: Path | None,
    *,
    library: str | Path | None = None,
    max_batch_bytes: int = MAX_BATCH_BYTES,
    images_at_once: int | None = None,
) -> Backend:
    """library: the compiled simulation of the rtl engine; by default built for the lanes of the spec."""
    return _open_library(rtl_library(params, library), params, max_batch_bytes, images_at_once)


def open_zcu104_sim(
    params: Params,
    run: Path | None,
    *,
    simulate_with: str | None = None,
    library: str | Path | None = None,
    bitfile: str | Path | None = None,
    device: Any = None,
    timeout_s: float = TIMEOUT_S,
    max_batch_bytes: int = MAX_BATCH_BYTES,
    images_at_once: int | None = None,
    wait: str = POLL,
    native: bool | None = None,
) -> Backend:
    """pynq on a simulated board.

    simulate_with: csim, rtl, or reference (needs no compiler), by default the kernel of the spec.
    bitfile: the files of a built overlay instead of generated ones. device: a SimulatedZcu104 to use.
    """
    pynq = import_pynq()
    from dsodenet.contract import block_design
    from dsodenet.runtime.simulated.device import SimulatedZcu104
    from dsodenet.runtime.simulated.hwh import write_overlay
    from dsodenet.runtime.zcu104 import Zcu104Transport

    if pynq.Clocks.device is not None and not isinstance(pynq.Clocks.device, SimulatedZcu104):
        raise DeviceError(
            "this process has used a real board, whose clocks pynq would still set: simulate in another process"
        )
    if not isinstance(device, (SimulatedZcu104, type(None))):
        raise InputError(f"device is {shown(device)}, but it must be a SimulatedZcu104")
    if device is None:
        simulate_with = simulate_with or SIMULATION_OF[params.spec.kernel.name]
        if not isinstance(simulate_with, str) or simulate_with not in SIMULATED_KERNELS:
            raise InputError(
                f"simulate_with is {shown(simulate_with)}, but it must be one of {', '.join(SIMULATED_KERNELS)}"
            )
        device = SimulatedZcu104(_simulated_kernel(simulate_with, params, run, library))
    folder = tempfile.TemporaryDirectory(prefix="dsodenet-")
    try:
        if bitfile is None:
            table = block_design(params.spec.name, device.board.kernel.kind, params.spec.kernel.clock_mhz)
            bitfile = write_overlay(table, "kernel_0", Path(folder.name))
        transport = Zcu104Transport(Path(bitfile), device, "simulated", timeout_s, wait, device.open_interrupt, native)

        def clean_up() -> None:
            device.close()
            folder.cleanup()

        return _open_driver(transport, params, max_batch_bytes, images_at_once, clean_up, lambda: device.rails)
    except BaseException:
        device.close()
        folder.cleanup()
        raise


def _simulated_kernel(name: str, params: Params, run: Path | None, library: str | Path | None) -> Any:
    """What computes inside the simulated board; where it cannot be built, the error says what needs no build."""
    try:
        return SIMULATED_KERNELS[name](params, run, library)
    except (ToolError, RunError) as error:
        hint = "the kernel `reference` needs no build (simulate_with='reference', --simulate-with reference)"
        raise type(error)(f"{error}; {hint}") from None


def open_zcu104(
    params: Params,
    run: Path | None,
    *,
    bitfile: str | Path | None = None,
    timeout_s: float = TIMEOUT_S,
    max_batch_bytes: int = MAX_BATCH_BYTES,
    images_at_once: int | None = None,
    wait: str = POLL,
    native: bool | None = None,
) -> Backend:
    """The board this runs on, or the one that pynq reaches over a network (PYNQ_REMOTE_DEVICES).

    bitfile: by default RUN/<name>.bit, with its .hwh beside it.
    wait: poll, or interrupt for commands that take over 150 us. native: whether calls are made in native code; by
        default where it can be compiled.
    """
    pynq = import_pynq()
    if bitfile is None:
        if run is None:
            raise InputError("backend zcu104 needs bitfile=... when it is opened from Params instead of a run folder")
        bitfile = run / f"{params.spec.name}.bit"
    from dsodenet.runtime.zcu104 import Zcu104Transport

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pynq warns of what is raised here
            device = pynq.Device.active_device
    except RuntimeError as error:
        raise DeviceError(f"pynq finds no board here ({error}); backend zcu104-sim simulates one") from None
    if pynq.Clocks.device not in (None, device):
        raise DeviceError("this process has used a simulated board, whose clocks pynq would set: start another process")
    transport = Zcu104Transport(Path(bitfile), device, "measured", timeout_s, wait, native=native)
    return _open_driver(transport, params, max_batch_bytes, images_at_once, rails=lambda: _rails(device))


def _rails(device: Any) -> Mapping[str, Any]:
    if device.has_capability("REMOTE"):
        raise ToolError(
            "the power rails of a board over a network cannot be read from here: pynq would read this machine's"
        )
    return board_rails()


BACKENDS: dict[str, Callable[..., Backend]] = {
    "torch": open_torch,
    "cpu": open_cpu,
    "cpu-fast": open_cpu_fast,
    "csim": open_csim,
    "csim-concurrent": open_csim_concurrent,
    "rtl": open_rtl,
    "zcu104-sim": open_zcu104_sim,
    "zcu104": open_zcu104,
}


def backend_options(name: str) -> list[str]:
    """The options that a backend takes; InputError for an unknown backend."""
    if not isinstance(name, str) or name not in BACKENDS:
        raise InputError(f"backend is {shown(name)}, but it must be one of {', '.join(BACKENDS)}")
    return [key for key, p in inspect.signature(BACKENDS[name]).parameters.items() if p.kind is p.KEYWORD_ONLY]


def open_backend(name: str, params: Params, run: Path | None, options: dict[str, Any]) -> Backend:
    """Open a backend by name; InputError names the known backends and options, and what an option may be."""
    allowed = backend_options(name)
    if unknown := sorted(set(options) - set(allowed)):
        takes = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
        raise InputError(f"backend {name} has no option {', '.join(unknown)}; {takes}")
    for key, value in options.items():
        if value is None:
            continue  # the default
        if key in RANGES:
            check_number(key, value, *RANGES[key])
        elif key in CHOICES and not (isinstance(value, (str, bool)) and value in CHOICES[key]):
            raise InputError(f"{key} is {shown(value)}, but it must be one of {', '.join(map(str, CHOICES[key]))}")
        elif key in PATHS and not isinstance(value, (str, Path)):
            raise InputError(f"{key} is {shown(value)}, but it must be a path")
    return BACKENDS[name](params, run, **options)


def check_number(name: str, value: Any, kind: type[int] | type[float], low: float, high: float) -> None:
    """InputError unless the value of an option is a number of this kind from low to high. NumPy's numbers are, too."""
    allowed = (int, np.integer) if kind is int else (int, float, np.integer, np.floating)
    what = f"a whole number from {low} to {high}" if kind is int else f"a number from {low:g} to {high:g}"
    if not isinstance(value, allowed) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(f"{name} is {shown(value)}, but it must be {what}")


def import_pynq() -> Any:
    try:
        import pynq
    except ImportError as error:
        raise ToolError(f"pynq is not installed ({error}); {how_to_install('sim')} brings it") from None
    return pynq


def _open_library(path: Path, params: Params, max_batch_bytes: int, images_at_once: int | None = None) -> Backend:
    from dsodenet.runtime.library import LibraryTransport

    return _open_driver(LibraryTransport(path), params, max_batch_bytes, images_at_once)


def _open_driver(
    transport: Transport,
    params: Params,
    max_batch_bytes: int,
    images_at_once: int | None,
    clean_up: Callable[[], None] = lambda: None,
    rails: Callable[[], Mapping[str, Any]] = dict,
) -> Backend:
    """The driver of a transport, which is closed where the kernel behind it cannot be opened."""
    try:
        return KernelDriver(transport, params, max_batch_bytes, clean_up, rails, images_at_once)
    except BaseException:
        transport.close()
        raise
