"""The models of the zoo beside what others published for the same data."""

from __future__ import annotations

import argparse
import json
from typing import Any

from dsodenet.bench.machine import origin
from dsodenet.bench.modelled import estimated_kernel, with_our_host
from dsodenet.bench.published import NETWORKS
from dsodenet.command import Values
from dsodenet.data import GENERATED
from dsodenet.errors import InputError
from dsodenet.outside import read_text
from dsodenet.runs import PREFIX, Run, zoo_names
from dsodenet.spec import Params, lanes_text, macs, parameters, random_images
from dsodenet.text import paragraph, table

HEADER = ("model", "data", "float %", "int %", "params", "MMAC", "cycles", "kernel", "call", "lanes")


def zoo_row(name: str) -> dict[str, Any]:
    """One image by the rtl kernel at the clock of its lanes, alone and with our host library around it."""
    run = Run.of(PREFIX + name)
    params, metrics = Params.load(run), json.loads(read_text(run.metrics))
    prefix = "" if metrics["target"] is None else "target_"
    images = random_images(params.spec, 1, 0)
    (kernel,), (call,) = (model(params, images)(1) for model in (estimated_kernel, with_our_host))
    return {
        "model": PREFIX + name,
        "data": (metrics["target"] or metrics["data"])["name"],
        "float_accuracy": metrics[f"{prefix}float_accuracy"],
        "accuracy": metrics[f"{prefix}qat_accuracy"],
        "parameters": sum(parameters(params.spec).values()),
        "mmac": sum(macs(params.spec).values()) / 1e6,
        "cycles": kernel.cycles,
        "kernel_us": kernel.median_us,
        "call_us": call.median_us,
        "lanes": lanes_text(params.spec.kernel),
        "clock_mhz": kernel.clock_mhz,
        "kind": "estimated",
    }


def published_rows(data: set[str]) -> list[dict[str, Any]]:
    """What others published for any of these data sets."""
    return [vars(network) | {"kind": "published"} for network in NETWORKS if network.data in data]


def text(result: dict[str, Any]) -> str:
    ours = [
        (
            row["model"],
            row["data"].removesuffix(GENERATED),
            *(f"{100 * row[key]:.2f}" for key in ("float_accuracy", "accuracy")),
            f"{row['parameters']:,}",
            f"{row['mmac']:.2f}",
            f"{row['cycles']:,}",
            *(f"{row[key]:,.1f}" for key in ("kernel_us", "call_us")),
            row["lanes"],
        )
        for row in result["models"]
    ]
    parts = [table(HEADER, ours)]
    if result["published"]:
        header = ("published", "data", "%", "size", "time", "arXiv")
        rows = [tuple(row[key] or "-" for key in PUBLISHED_KEYS) for row in result["published"]]
        parts += ["", table(header, rows)]
    clocks = ", ".join(f"{clock:g}" for clock in sorted({row["clock_mhz"] for row in result["models"]}))
    notes = (
        "float, int: accuracy, measured on the test images, once; int: of the quantised network, whose words every "
        "backend gives. cycles: one image by the rtl kernel, of the closed form, which equals the simulation. kernel, "
        f"call: µs, estimated: these cycles at an assumed {clocks} MHz, which the board makes, and the host library on "
        "a Cortex-A53 around them. What others published was measured by them, each in its own way: not the same data "
        "files, boards or clocks."
    )
    return "\n".join((*parts, paragraph(notes)))


PUBLISHED_KEYS = ("system", "data", "accuracy", "size", "timed", "source")


def run(args: argparse.Namespace) -> Values:
    """`dsodenet study models`."""
    names = zoo_names() if args.models is None else args.models.split(",")
    if unknown := [name for name in names if name not in zoo_names()]:
        raise InputError(f"model is {unknown[0]!r}, but it must be some of {', '.join(zoo_names())}")
    rows = [zoo_row(name) for name in names]
    kinds = {"accuracies": "measured", "parameters, MMAC": "counted", "cycles, µs": "estimated"}
    result = origin("dsodenet study models", kinds, "numpy")
    return Values(result | {"models": rows, "published": published_rows({row["data"] for row in rows})}, text)
