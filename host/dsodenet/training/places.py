"""Where training runs: a device, and the processes that torchrun started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed

from dsodenet.errors import InputError, ToolError
from dsodenet.training.options import Options

TIMEOUT = timedelta(minutes=10)  # limit of one exchange between processes
LAUNCHED = ("RANK", "MASTER_ADDR", "MASTER_PORT")  # what torchrun sets beside WORLD_SIZE, and init_process_group reads


@dataclass(frozen=True)
class Place:
    """This process among `world` ones that share each batch equally."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process prints and writes."""
        return self.rank == 0

    def share(self, batch: Tensor) -> Tensor:
        """This process's part of a batch that all processes drew alike."""
        return batch[self.rank :: self.world] if self.world > 1 else batch

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over the processes."""
        if self.world > 1:
            distributed.all_reduce(value)
        return value / self.world

    @contextmanager
    def own_random_state(self) -> Iterator[None]:
        """torch's global random state is as it was afterwards."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            yield

    def random_state(self) -> dict[str, Tensor]:
        """Of the generators that training draws from."""
        state = {"cpu": torch.get_rng_state()}
        return state | {"cuda": torch.cuda.get_rng_state(self.device)} if self.device.type == "cuda" else state

    def set_random_state(self, state: dict[str, Tensor]) -> None:
        torch.set_rng_state(state["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"], self.device)

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def _fast(cuda: bool) -> Iterator[None]:
    """On a GPU: the fastest convolutions for these shapes, which never change within a stage, and TF32, whose 11 bits
    keep integers of 8 bits exact. Afterwards torch is set as before."""
    before = torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
    if cuda:
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before[0]
        torch.set_float32_matmul_precision(before[1])


@contextmanager
def place(options: Options) -> Iterator[Place]:
    """The place of this process; under torchrun, connected to the others."""
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ToolError("device is cuda, but torch finds no GPU; use --device cpu")
    cuda = options.device != "cpu" and torch.cuda.is_available()
    world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")
    if world == 1:
        with _fast(cuda):
            yield Place(device)
        return
    if options.minutes:
        raise InputError(
            f"minutes is {options.minutes:g}, but {world} processes would end at different steps; leave it"
        )
    if options.batch_size % world:
        raise InputError(f"batch_size is {options.batch_size}, but it must be a multiple of the {world} processes")
    missing = [name for name in LAUNCHED if name not in os.environ]
    if missing:
        raise InputError(
            f"WORLD_SIZE is {world}, but {', '.join(missing)} is not set; start the processes with torchrun"
        )
    distributed.init_process_group("nccl" if cuda else "gloo", timeout=TIMEOUT)
    try:
        with _fast(cuda):
            yield Place(device, rank, world)
    finally:
        distributed.destroy_process_group()
