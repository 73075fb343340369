"""Speed of the integer reference, beside plain sgemm of the same multiply-accumulates in the same run."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from dsodenet.bench.machine import blas_advice, origin
from dsodenet.command import Values
from dsodenet.errors import InputError
from dsodenet.reference import Reference, limited_blas
from dsodenet.spec import Params, Spec, macs, random_images, random_params, sections
from dsodenet.text import paragraph, table

MAX_BATCH, MAX_REPEATS = 4096, 10_000


def best_seconds(work: Callable[[], Any], repeats: int) -> float:
    """The shortest of several runs, after one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def sgemm_seconds(params: Params, batch: int, repeats: int) -> float:
    """Time of float32 matrix products with the multiply-accumulates and shapes of the layers, for `batch` images.

    A layer counts as (batch * pixels) x inputs times inputs x outputs, where inputs are those of one output. A
    convolution costs that once its patches are gathered. Products of one shape share their operands.
    """
    spec = params.spec
    work: list[tuple[Any, Any, Any, int]] = []
    for section in sections(spec.network):
        calls = len(spec.solver.times(section.block)) if section.kind == "f" else 1
        for layer in section.layers:
            rows, depth = (
                batch * layer.out_size[0] * layer.out_size[1],
                layer.macs // (layer.out_size[0] * layer.out_size[1]),
            )
            columns = layer.out_channels
            a = np.ones((rows, depth // columns), np.float32)
            b = np.ones((depth // columns, columns), np.float32)
            work.append((a, b, np.empty((rows, columns), np.float32), calls))

    def run() -> None:
        for a, b, out, calls in work:
            for _ in range(calls):
                np.matmul(a, b, out=out)

    return best_seconds(run, repeats)


def measure(spec: Spec, batch: int, repeats: int, seed: int = 0) -> dict[str, Any]:
    """Images per second of the reference and its ratio to sgemm, by one and by all threads."""
    params, images = random_params(spec, seed), random_images(spec, batch, seed)
    threads = os.cpu_count() or 1
    total = sum(macs(spec).values())
    gemm = sgemm_seconds(params, batch, repeats) / batch
    rows = []
    for count in sorted({1, threads}):
        reference = Reference(params, count)
        with limited_blas(count):
            seconds = best_seconds(partial(reference.predict, images), repeats) / batch
        rows.append(
            {
                "threads": count,
                "ms_per_image": 1e3 * seconds,
                "gmac_per_s": total / seconds / 1e9,
                "of_sgemm": gemm / seconds,
            }
        )
    kinds = {"milliseconds, GMAC/s, of_sgemm": "measured", "multiply-accumulates": "counted"}
    return origin("dsodenet study reference", kinds, "numpy") | {
        "cores": threads,
        "spec": spec.name,
        "solver": spec.solver.method,
        "n_steps": list(spec.solver.n_steps),
        "batch": batch,
        "mmac_per_image": total / 1e6,
        "sgemm_ms_per_image": 1e3 * gemm,
        "sgemm_gmac_per_s": total / gemm / 1e9,
        "reference": rows,
    }


def text(result: dict[str, Any]) -> str:
    """The result for a terminal."""
    about = f"{result['mmac_per_image']:.1f} MMAC per image, batch {result['batch']}"
    numpy = result["versions"]["numpy"]
    rows = [
        ("sgemm of the same work", str(result["cores"]), result["sgemm_ms_per_image"], result["sgemm_gmac_per_s"], 1.0)
    ]
    rows += [
        ("integer reference", str(r["threads"]), r["ms_per_image"], r["gmac_per_s"], r["of_sgemm"])
        for r in result["reference"]
    ]
    header = ("what", "threads", "ms/image", "GMAC/s", "of sgemm")
    parts = [
        f"{result['spec']}, {result['solver']} {result['n_steps']}: {about}",
        f"measured on {result['cpu']}, {result['cores']} cores, NumPy {numpy}; random int8 weights",
        table(header, [(*row[:2], *(f"{value:.2f}" for value in row[2:])) for row in rows]),
        paragraph(blas_advice(result["versions"])),
    ]
    return "\n".join(filter(None, parts))


def run(args: argparse.Namespace) -> Values:
    """`dsodenet study reference`."""
    if not (1 <= args.batch <= MAX_BATCH and 1 <= args.repeats <= MAX_REPEATS):
        raise InputError(
            f"batch is {args.batch} and repeats {args.repeats}, "
            f"but they must be 1 to {MAX_BATCH} and 1 to {MAX_REPEATS}"
        )
    return Values(measure(Spec.load(args.spec), args.batch, args.repeats), text)
