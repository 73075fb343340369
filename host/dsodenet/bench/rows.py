"""Rows of a comparison."""

from __future__ import annotations

from dataclasses import dataclass, field

from dsodenet.spec import Params

KINDS = ("measured", "simulated", "estimated")
END_TO_END, KERNEL = "end to end", "kernel"


@dataclass(frozen=True)
class Row:
    """One path at one batch; times are of a call of the whole batch."""

    path: str
    scope: str  # END_TO_END: images in host memory to logits in host memory; or KERNEL
    kind: str  # measured, simulated or estimated
    machine: str
    threads: int
    numbers: str
    library: str
    batch: int
    median_us: float
    min_us: float
    max_us: float
    calls: int  # timed ones
    fingerprint: str  # names the exported run, or the model with random weights
    cycles: int | None = None
    clock_mhz: float | None = None
    differing: int | None = None  # logits that differ from the reference, of rows that compute integers
    same_class: float | None = None  # share of the images with the reference's class; not said of random weights
    energy_mj: dict[str, float] = field(default_factory=dict)  # sensor -> millijoules per image, see energy.py
    note: str = ""

    @property
    def title(self) -> str:
        threads = f", {self.threads} thread{'s' * (self.threads > 1)}" if self.scope == END_TO_END else ""
        numbers = "" if self.path.endswith(f"-{self.numbers}") else f", {self.numbers}"
        return f"{self.path}{threads}{numbers}"


def integers(params: Params) -> str:
    """The number format of the integer model: bits of weights and of activations."""
    return f"w{params.spec.quantisation.weight_bit_width}a{params.spec.quantisation.act_bit_width}"
