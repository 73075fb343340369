"""Teachers by name: larger float networks that see the student's images.

Each has `outputs` and `classifier`, as DsODENet has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

from dsodenet.errors import InputError
from dsodenet.nets import TEACHERS as NETWORKS
from dsodenet.nets import DsODENet, full_odenet, teacher
from dsodenet.runs import Run
from dsodenet.spec import Spec
from dsodenet.training.checkpoint import load_float_model, load_teacher_states
from dsodenet.training.task import Teacher

WIDENING = 3


def wide(spec: Spec) -> nn.Module:
    """The student's network with three times its channels, in float."""
    channels = tuple(WIDENING * c for c in spec.network.channels)
    return DsODENet(dataclasses.replace(spec, network=dataclasses.replace(spec.network, channels=channels)))


def _named(name: str, spec: Spec) -> nn.Module:
    network = teacher(name, spec.network.num_classes, spec.network.in_channels).eval()
    try:
        with torch.no_grad():
            network(torch.zeros(1, *spec.network.image_shape))
    except RuntimeError as error:
        size = f"{spec.network.height} x {spec.network.width}"
        raise InputError(
            f"teacher {name} cannot take images of {size} pixels ({' '.join(str(error).split())[:200]})"
        ) from None
    return network


TEACHERS: dict[str, Callable[[Spec], nn.Module]] = {"wide": wide, "odenet_full": full_odenet}
TEACHERS |= {name: partial(_named, name) for name in NETWORKS}


def make_teachers(name_or_run: str, spec: Spec) -> list[Teacher]:
    """An untrained teacher of TEACHERS by name.

    Or those of a run folder: the teachers that it trained, else its float model.
    """
    if name_or_run in TEACHERS:
        return [Teacher(name_or_run, TEACHERS[name_or_run](spec), trained=False)]
    run = Path(name_or_run)
    if not name_or_run or not run.is_dir():
        raise InputError(
            f"teacher is {name_or_run!r}, but it must be one of {', '.join(TEACHERS)}, or a run folder that is there"
        )
    if Run(run).teachers.exists():
        found = [_restored(run, key.partition("-")[2], state, spec) for key, state in load_teacher_states(run).items()]
    else:
        model, _, _ = load_float_model(run)
        found = [Teacher(run.name, model, trained=True)]
    for item in found:
        _check_fit(run, item, spec)
    return found


def _restored(run: Path, name: str, state: dict[str, object], spec: Spec) -> Teacher:
    if name not in TEACHERS:
        raise InputError(f"{Run(run).teachers} holds a teacher {name!r}, but it must be one of {', '.join(TEACHERS)}")
    network = TEACHERS[name](spec)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise InputError(
            f"{run}: its teacher {name} does not fit this spec ({' '.join(str(error).split())[:200]})"
        ) from None
    return Teacher(name, network.eval(), trained=True)


def _check_fit(run: Path, teacher: Teacher, spec: Spec) -> None:
    if isinstance(teacher.network, DsODENet):
        theirs, ours = teacher.network.spec.network, spec.network
        if (theirs.image_shape, theirs.num_classes) != (ours.image_shape, ours.num_classes):
            raise InputError(
                f"{Run(run).checkpoint}: a teacher for images of {theirs.image_shape} in {theirs.num_classes} classes, "
                f"but the student takes {ours.image_shape} in {ours.num_classes}"
            )
