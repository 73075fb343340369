"""Images per second of a training step: float, and quantised as Brevitas writes it and fused (nets/fused.py)."""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from dsodenet.bench.machine import origin
from dsodenet.command import Values
from dsodenet.errors import InputError, ToolError
from dsodenet.nets import DsODENet, Outputs, calibrate
from dsodenet.spec import Spec, random_images
from dsodenet.text import table
from dsodenet.training import graphed

MAX_BATCH, MAX_REPEATS = 4096, 10_000
WARM_UP = 2  # steps that do not count


def networks(spec: Spec, images: torch.Tensor) -> Iterator[tuple[str, DsODENet]]:
    """What is trained, by name, on the images' device."""
    network = DsODENet(spec).to(images.device)
    yield "float", network
    quantised = network.quantised().to(images.device)
    calibrate(quantised, images)
    yield "quantised, Brevitas", quantised
    fused = copy.deepcopy(quantised)
    fused.fuse()
    yield "quantised, fused", fused


def seconds(outputs: Callable[[torch.Tensor], Outputs], network: DsODENet, images: torch.Tensor, repeats: int) -> float:
    """The shortest of several steps: forward, backward, and one of AdamW."""
    optimiser = torch.optim.AdamW(network.parameters(), 1e-4)
    times = []
    for _ in range(WARM_UP + repeats):
        start = time.perf_counter()
        loss = outputs(images).logits.square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if images.is_cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[WARM_UP:])


def measure(spec: Spec, batch: int, repeats: int, device: str) -> list[dict[str, Any]]:
    images = torch.from_numpy(random_images(spec, batch, 0)).to(device)
    rows: list[dict[str, Any]] = []
    for name, network in networks(spec, images):
        network.train()
        ways: dict[str, Callable[[torch.Tensor], Outputs]] = {name: network.outputs}
        if images.is_cuda and "Brevitas" not in name:
            ways[f"{name}, CUDA graphs"] = graphed(network, images)
        for what, outputs in ways.items():
            rate = batch / seconds(outputs, network, images, repeats)
            rows.append({"spec": spec.name, "step": what, "images_per_s": rate})
    of_float: float = rows[0]["images_per_s"]
    return [row | {"of_float": row["images_per_s"] / of_float} for row in rows]


def text(result: dict[str, Any]) -> str:
    rows = [
        (row["spec"], row["step"], f"{row['images_per_s']:,.0f}", f"{row['of_float']:.2f}") for row in result["rows"]
    ]
    about = f"measured on {result['place']}, batch {result['batch']}, Euler with {result['n_steps']} steps"
    return "\n".join((about, table(("network", "step", "images/s", "of float"), rows)))


def run(args: argparse.Namespace) -> Values:
    """`dsodenet study training`."""
    if not (1 <= args.batch <= MAX_BATCH and 1 <= args.repeats <= MAX_REPEATS):
        raise InputError(
            f"batch is {args.batch} and repeats {args.repeats}, "
            f"but they must be 1 to {MAX_BATCH} and 1 to {MAX_REPEATS}"
        )
    if args.device == "cuda" and not torch.cuda.is_available():
        raise ToolError("device is cuda, but torch finds no GPU; use --device cpu")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows: list[dict[str, Any]] = []
        for name in args.specs.split(","):
            spec = Spec.load(name).with_solver("euler", args.n_steps)
            if spec.network.image_shape[0] == 3:  # as the zoo's photographs are trained
                spec = replace(spec, network=replace(spec.network, stem="space_to_depth_2"))
            rows += measure(spec, args.batch, args.repeats, args.device)
    finally:
        torch.set_num_threads(before)
    result = origin("dsodenet study training", {"images/s": "measured"}, "torch", "brevitas")
    place = torch.cuda.get_device_name() if args.device == "cuda" else f"one thread of {result['cpu']}"
    return Values(result | {"place": place, "batch": args.batch, "n_steps": args.n_steps, "rows": rows}, text)
