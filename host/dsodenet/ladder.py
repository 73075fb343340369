"""The bit-exact ladder: the same images through every rung, each compared word for word with the integer reference."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.errors import InputError, RunError
from dsodenet.runs import Run
from dsodenet.runtime import BACKENDS, Accelerator, as_pixels, backend_options
from dsodenet.spec import Network, Params, random_images
from dsodenet.text import table

LADDER = ("torch", "cpu", "csim", "rtl", "zcu104-sim")
RUNGS = ("torch", *BACKENDS)
IMAGE_SEED = 1
MAX_PIXELS = 1 << 30  # of all images


@dataclass(frozen=True)
class Rung:
    """What one backend did with the images."""

    backend: str
    label: str  # measured or simulated, as in runtime.CallInfo
    images: int
    words: int  # logits compared
    differing: int
    seconds: float
    cycles: int | None


def verify(
    run: str | Path,
    backends: Sequence[str] = LADDER,
    images: NDArray[np.uint8] | None = None,
    limits: dict[str, int] | None = None,
    method: str | None = None,
    n_steps: int | tuple[int, ...] | None = None,
    progress: Callable[[str], None] = lambda backend: None,
    kernel: str | None = None,
) -> list[Rung]:
    """Run each backend on the images (at most limits[backend] of them) and compare its logits with the reference's.

    kernel: what computes inside the simulated board, by default the kernel of the spec.
    All backends are opened before any computes, so that what is missing shows at once.
    """
    unknown = [name for name in backends if name not in RUNGS]
    if unknown or not backends:
        raise InputError(f"backend is {', '.join(unknown) or 'empty'}, but it must be some of {', '.join(RUNGS)}")
    params = Params.load(run).with_solver(method, n_steps)
    if images is None:
        images = random_images(params.spec, 16, IMAGE_SEED)
    opened: dict[str, _Opened] = {}
    try:
        for name in backends:
            opened[name] = _Torch(run, params) if name == "torch" else _Runtime(run, name, params, kernel)
        truth = Accelerator(params, "cpu").predict(images)
        rungs = []
        for name, backend in opened.items():
            progress(name)
            part = images[: (limits or {}).get(name)]
            start = time.perf_counter()
            logits = backend.predict(part)
            seconds = time.perf_counter() - start
            differing = int((logits != truth[: len(part)]).sum())
            rungs.append(Rung(name, backend.label, len(part), logits.size, differing, seconds, backend.cycles))
        return rungs
    finally:
        for backend in opened.values():
            backend.close()


def exported_model(run: str | Path, params: Params) -> Any:
    """The quantised torch model (a DsODENet) of a run; RunError unless `params` is its export."""
    from dsodenet.exporting import extract
    from dsodenet.training import load_checkpoint

    model, _, _ = load_checkpoint(run)
    found = extract(model).model_fingerprint
    if found != params.model_fingerprint:
        raise RunError(
            f"{run}: was trained again after its export: the checkpoint holds model {found[:16]}, the export "
            f"{params.model_fingerprint[:16]}; run `dsodenet export {run}`"
        )
    return model


class _Torch:
    label = "measured"
    cycles = None

    def __init__(self, run: str | Path, params: Params) -> None:
        self._model = exported_model(run, params)
        self._model.spec, self._scale = params.spec, params.logits_scale

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int32]:
        from dsodenet.exporting import torch_logits

        return torch_logits(self._model, images, self._scale)

    def close(self) -> None:
        """Nothing to give back."""


class _Runtime:
    def __init__(self, run: str | Path, name: str, params: Params, kernel: str | None) -> None:
        options = {"kernel": kernel} if kernel and "kernel" in backend_options(name) else {}
        self._accelerator = Accelerator(run, name, **options)
        self._accelerator.set_solver(params.spec.solver.method, params.spec.solver.n_steps)
        self.label = self._accelerator.label

    @property
    def cycles(self) -> int | None:
        call = self._accelerator.last_call
        return None if call is None else call.cycles

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int32]:
        return self._accelerator.predict(images)

    def close(self) -> None:
        self._accelerator.close()


_Opened = _Torch | _Runtime


def load_images(source: str, run: Path, params: Params) -> tuple[NDArray[np.uint8], str]:
    """(images, what they are): FILE.npy, or a number of images of the run's test split, generated ones beyond it."""
    if source.endswith(".npy"):
        return read_images(Path(source), params.spec.network), source
    if not source.isdecimal() or len(source) > 18 or int(source) < 1:
        raise InputError(f"images is {source!r}, but it must be a number from 1 up or a .npy file")
    count, name = int(source), Run(run).data_name()
    if count * math.prod(params.spec.network.image_shape) > MAX_PIXELS:
        raise InputError(
            f"images is {count}, but at most {MAX_PIXELS // math.prod(params.spec.network.image_shape)} are taken"
        )
    if name is not None:
        from dsodenet.data import DATASETS, GENERATED, load_dataset

        if name.removesuffix(GENERATED) in DATASETS:
            test = load_dataset(name, params.spec.network).test_images
            if count <= len(test):
                return test[:count], f"{count} of the {name} test split"
    return random_images(params.spec, count, IMAGE_SEED), f"{count} generated, seed {IMAGE_SEED}"


def read_images(path: Path, network: Network) -> NDArray[np.uint8]:
    """Images of a .npy file as pixels; InputError when they do not fit the network, or the file does not fit its header."""
    if not path.is_file():
        raise InputError(f"{path}: not a .npy file of images ({'no file' if path.exists() else 'no such file'})")
    try:
        with open(path, "rb") as file:
            if file.read(2) == b"PK":
                raise InputError(f"{path}: an archive of arrays, but one .npy array is needed")
            file.seek(0)
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("it has another version of that format than 1.0")
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            size, held = math.prod(shape) * dtype.itemsize, path.stat().st_size - file.tell()
        if min(shape, default=1) < 0 or size != held:
            raise ValueError(f"its header says {shape}, {size} bytes, but it holds {held}")
        if math.prod(shape) > MAX_PIXELS:
            raise ValueError(f"{math.prod(shape)} pixels, but at most {MAX_PIXELS} are read")
        array = np.load(path, mmap_mode="r" if size else None, allow_pickle=False)
    except InputError:
        raise
    except (OSError, ValueError, TypeError, EOFError, OverflowError) as error:
        raise InputError(f"{path}: not a .npy file of images ({error})") from None
    return as_pixels(array, network)


def as_dict(rungs: Sequence[Rung]) -> list[dict[str, Any]]:
    return [asdict(rung) for rung in rungs]


def show_rungs(result: dict[str, Any]) -> str:
    """The result of `dsodenet verify` as a table."""
    rows = [
        (
            r["backend"],
            r["label"],
            r["images"],
            r["words"],
            r["differing"],
            f"{r['seconds']:.3f}",
            "-" if r["cycles"] is None else r["cycles"] // r["images"],
        )
        for r in result["rungs"]
    ]
    steps = ",".join(map(str, result["n_steps"]))
    verdict = (
        "every rung computes the same integers" if not result["differing"] else f"{result['differing']} words differ"
    )
    header = ("rung", "time is", "images", "words", "differing", "seconds", "cycles/image")
    return f"images: {result['images']}; solver {result['solver']}, n_steps {steps}\n{table(header, rows)}\n{verdict}"
