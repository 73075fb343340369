"""What a search is for: an objective to make small, limits on the device, and the figures that both are about."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from dsodenet.contract import DEVICE
from dsodenet.errors import InputError
from dsodenet.hls import best_plan
from dsodenet.rtl import Engine, of_spec, rtl_resources
from dsodenet.spec import Spec, macs, parameters

OBJECTIVES = ("cycles", "macs", "parameters", "DSP", "LUT", "BRAM36", "URAM")
COUNTS = OBJECTIVES[:3]  # limited by a number; the others are parts of the device, limited by a share of it
LIMITS = {"DSP": 0.80, "LUT": 0.70, "BRAM36": 0.80, "URAM": 0.80}  # shares of the device that leave the router room


@dataclass(frozen=True)
class Goal:
    """What a search makes small, and what the result must keep to."""

    objective: str = "cycles"  # one of OBJECTIVES; smaller is better
    limits: dict[str, float] = field(default_factory=lambda: dict(LIMITS))  # share of the device, or a number of COUNTS
    min_accuracy: float | None = None  # on validation images; by default the accuracy of the spec it starts from

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise InputError(f"objective is {self.objective!r}, but it must be one of {', '.join(OBJECTIVES)}")
        for name, limit in self.limits.items():
            if not ((name in DEVICE and 0 < limit <= 1) or (name in COUNTS and 1 <= limit < math.inf)):
                raise InputError(
                    f"limit is {name}={limit:g}, but it must be over 0 to 1 for one of {', '.join(DEVICE)}, "
                    f"or 1 and more for one of {', '.join(COUNTS)}"
                )
        if self.min_accuracy is not None and not 0 <= self.min_accuracy <= 1:
            raise InputError(f"accuracy is {self.min_accuracy}, but it must be 0 to 1")

    def exceeded(self, figures: dict[str, Any]) -> list[str]:
        """The limits that the figures break, in words."""
        most = {name: limit * DEVICE[name] if name in DEVICE else limit for name, limit in self.limits.items()}
        return [f"{figures[name]:,.0f} {name} of {limit:,.0f}" for name, limit in most.items() if figures[name] > limit]


def figures(spec: Spec) -> dict[str, Any]:
    """Estimates for a spec on its own kernel: cycles per image, multiply-accumulates, parameters, and each of DEVICE.

    SpecError when the spec does not fit the kernel.
    """
    if spec.kernel.name == "rtl":
        cycles, resources = of_spec(spec).cycles, rtl_resources(Engine.of(spec.kernel))
    else:
        plan = best_plan(spec)
        cycles, resources = plan.cycles, plan.resources
    return {
        "cycles": cycles,
        "macs": sum(macs(spec).values()),
        "parameters": sum(parameters(spec).values()),
    } | resources.to_dict()
