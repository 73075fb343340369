"""The paths that a comparison times: each takes uint8 images in host memory and gives logits in host memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.bench.int8 import Int8Graph, right_graph, session
from dsodenet.bench.machine import cpu_name, versions
from dsodenet.bench.rows import integers
from dsodenet.errors import ToolError
from dsodenet.reference import Reference, limited_blas
from dsodenet.runtime import Accelerator
from dsodenet.spec import Params

MAX_GRAPHS = 256  # batch sizes times thread counts that torch.compile may see in one process
Images = NDArray[np.uint8]
Logits = NDArray[Any]


@dataclass(frozen=True)
class Timed:
    """One path, ready to be called."""

    name: str
    threads: int
    numbers: str  # number format
    library: str
    call: Callable[[Images], Logits]
    within: Callable[[], AbstractContextManager[Any]] = nullcontext  # entered around calls, outside the timing
    kind: str = "measured"
    machine: str = field(default_factory=cpu_name)
    integer: bool = False  # must equal the reference bit for bit
    accelerator: Accelerator | None = None  # whose kernel may count cycles
    note: str = ""  # as in Row


@dataclass
class Job:
    """What the paths have in common; `stack` closes what they open, `folder` is theirs to write to."""

    model: Path | Params  # the run folder, or a model that has none
    params: Params
    images: Images  # the int8 model is calibrated on them
    batches: tuple[int, ...]
    threads: tuple[int, ...]
    folder: Path
    stack: ExitStack

    @cached_property
    def float_model(self) -> Any:
        """The network in float32, its weights the values of the integers.

        The same work with nothing quantised between.
        """
        from dsodenet.exporting import float_model

        return float_model(self.params)

    @cached_property
    def float_onnx(self) -> Path:
        model = self.float_model
        from dsodenet.exporting import write_float_onnx

        return write_float_onnx(model, self.folder / "float.onnx")

    @cached_property
    def int8_graph(self) -> Int8Graph:
        """The float graph quantised, its ranges from the images, and proved on this processor."""
        return right_graph(self.float_onnx, self.images, self.folder, self.threads)


def reference(job: Job) -> list[Timed]:
    library = _library("numpy")
    if "threadpoolctl" not in versions("threadpoolctl"):
        library += ", BLAS threads as they were: threadpoolctl is not installed"

    def path(threads: int) -> Timed:
        model = Reference(job.params, threads)
        return Timed(
            "cpu", threads, integers(job.params), library, model.predict, lambda: limited_blas(threads), integer=True
        )

    return [path(threads) for threads in job.threads]


def fast_reference(job: Job) -> list[Timed]:
    """The same integers in onnxruntime. SpecError where its float32 does not hold them."""
    import onnxruntime  # noqa: F401  # missing, it is named as for the other rows

    def path(threads: int) -> Timed:
        accelerator = job.stack.enter_context(Accelerator(job.params, "cpu-fast", threads=threads))
        return Timed(
            "cpu-fast", threads, integers(job.params), _library("onnxruntime"), accelerator.predict, integer=True
        )

    return [path(threads) for threads in job.threads]


def torch_eager(job: Job) -> list[Timed]:
    return [_torch("torch", job.float_model, threads) for threads in job.threads]


def torch_compiled(job: Job) -> list[Timed]:
    """torch.compile, one graph for each batch size and number of threads, all compiled now.

    That can take minutes, so it runs only where it is asked for. ToolError where it does not work, for instance
    without a C++ compiler.
    """
    model = job.float_model
    import torch
    import torch._dynamo.config

    # Over this limit, fullgraph makes an error of what would silently be eager.
    torch._dynamo.config.recompile_limit = MAX_GRAPHS
    compiled = torch.compile(model, fullgraph=True, dynamic=False)
    paths = [_torch("torch-compile", compiled, threads) for threads in job.threads]
    try:
        for path in paths:
            with path.within():
                for batch in job.batches:
                    path.call(job.images[:batch])
    except Exception as error:  # it hands on whatever the compiler behind it raises
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ToolError(f"torch.compile does not work here ({line})") from None
    return paths


def _torch(name: str, model: Any, threads: int) -> Timed:
    import torch

    @contextmanager
    def within() -> Iterator[None]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            with torch.inference_mode():
                yield
        finally:
            torch.set_num_threads(before)

    def call(images: Images) -> Logits:
        logits: Logits = model(torch.from_numpy(images)).numpy()
        return logits

    return Timed(name, threads, "float32", _library("torch"), call, within)


def onnx_float(job: Job) -> list[Timed]:
    import onnxruntime  # noqa: F401  # missing, it is named before anything is exported

    return [_session("onnxruntime", "float32", job.float_onnx, threads) for threads in job.threads]


def onnx_int8(job: Job) -> list[Timed]:
    """ToolError where this processor computes another network than the quantised graph."""
    import onnxruntime  # noqa: F401

    graph = job.int8_graph
    return [_session("onnxruntime-int8", "int8", graph.path, threads, graph.note) for threads in job.threads]


def _session(name: str, numbers: str, path: Path, threads: int, note: str = "") -> Timed:
    opened = session(path, threads)

    def call(images: Images) -> Logits:
        logits: Logits = opened.run(None, {"images": images})[0]
        return logits

    return Timed(name, threads, numbers, _library("onnxruntime"), call, note=note)


def simulated_board(job: Job) -> list[Timed]:
    """The driver and pynq on a simulated board that computes with the reference.

    Its times say nothing about hardware.
    """
    return [_accelerated(job, "zcu104-sim", "simulated ZCU104", simulate_with="reference")]


def board(job: Job) -> list[Timed]:
    return [_accelerated(job, "zcu104", "ZCU104")]


def _accelerated(job: Job, name: str, machine: str, **options: Any) -> Timed:
    accelerator = job.stack.enter_context(Accelerator(job.model, name, **options))
    return Timed(
        name,
        1,
        integers(job.params),
        _library("pynq"),
        accelerator.predict,
        kind=accelerator.kind,
        machine=machine,
        integer=True,
        accelerator=accelerator,
    )


def _library(package: str) -> str:
    return f"{package} {versions(package).get(package, 'unknown')}"


TIMED: dict[str, Callable[[Job], list[Timed]]] = {
    "cpu": reference,
    "cpu-fast": fast_reference,
    "torch": torch_eager,
    "torch-compile": torch_compiled,
    "onnxruntime": onnx_float,
    "onnxruntime-int8": onnx_int8,
    "zcu104-sim": simulated_board,
    "zcu104": board,
}
