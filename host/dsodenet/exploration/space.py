"""What a search may vary around a spec, as data: every axis is a list of choices."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from dsodenet.errors import InputError, SpecError
from dsodenet.exploration.goal import figures
from dsodenet.spec import MAX_BLOCKS, STEMS, TABLEAUS, USUAL_LANES, Spec, lanes_text, parse_lanes, with_lanes

WIDTHS = (0.5, 0.75, 1.0, 1.5, 2.0)  # times the channels of the spec's first ODE block
STEPS = (1, 2, 3, 4, 6, 8, 10)
WEIGHT_BITS = (4, 6, 8)
REUSE_FACTORS = (1, 2, 4, 8, 16, 32)
TRIES = 50
ENGINE_AXES = ("lanes", "reuse_factor")  # they change cycles and resources, and no word of a result


@dataclass(frozen=True)
class Space:
    """Choices per axis; a spec of the space takes one of each. An axis with one choice is fixed.

    A search samples networks. The engine of each is the best of all: what an engine costs is counted without training.
    """

    channels: tuple[int, ...]  # in the first ODE block; each later one has twice as many
    blocks: tuple[int, ...]
    stem: tuple[str, ...]
    method: tuple[str, ...]
    n_steps: tuple[int, ...]
    weight_bits: tuple[int, ...]
    lanes: tuple[str, ...]  # rtl kernel: pixel x input x output
    reuse_factor: tuple[int, ...]  # hls kernel

    @classmethod
    def around(cls, spec: Spec, changes: dict[str, str] | None = None) -> Space:
        """The usual space around a spec, without values that no spec can have.

        changes: axis -> choices separated by commas, instead of the usual ones. `check` refuses values among them that
        no spec can have. The engine's axis that belongs to the spec's kernel varies, the other is fixed; `lanes=1x4x8`,
        say, compares networks on one engine.
        """
        network, own_lanes = spec.network, lanes_text(spec.kernel)
        engine: dict[str, tuple[Any, ...]] = {"lanes": (own_lanes,), "reuse_factor": (spec.kernel.reuse_factor,)}
        if spec.kernel.name == "rtl":
            engine["lanes"] = tuple(dict.fromkeys((own_lanes, *USUAL_LANES)))
        else:
            engine["reuse_factor"] = tuple(sorted({*REUSE_FACTORS, spec.kernel.reuse_factor}))
        usual: dict[str, tuple[Any, ...]] = {
            "channels": tuple(sorted({max(1, round(width * network.channels[0])) for width in WIDTHS})),
            "blocks": tuple(range(1, _most_blocks(spec) + 1)),
            "stem": tuple(name for name in STEMS if _fits(spec, name)),
            "method": tuple(TABLEAUS),
            "n_steps": tuple(sorted({*STEPS, *spec.solver.n_steps[:1]})),
            "weight_bits": tuple(sorted({*WEIGHT_BITS, spec.quantisation.weight_bit_width})),
            **engine,
        }
        for axis, text in (changes or {}).items():
            if axis not in usual:
                raise InputError(f"axis is {axis!r}, but it must be one of {', '.join(usual)}")
            usual[axis] = _choices(axis, text, type(usual[axis][0]))
        space = cls(**usual)
        for axis in usual:
            if axis in (changes or {}):
                continue
            fitting = tuple(value for value in usual[axis] if space.useless(spec, axis, value) is None)
            if fitting:
                space = replace(space, **{axis: fitting})
        return space

    def axes(self) -> dict[str, tuple[Any, ...]]:
        """Axis -> its choices."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def network_axes(self) -> dict[str, tuple[Any, ...]]:
        """The axes on which results depend."""
        return network_of(self.axes())

    def engines(self) -> list[dict[str, Any]]:
        """The choices of all axes that are not the network's."""
        choices = (self.axes()[axis] for axis in ENGINE_AXES)
        return [dict(zip(ENGINE_AXES, values)) for values in itertools.product(*choices)]

    def size(self) -> int:
        """The number of specs."""
        return math.prod(map(len, self.axes().values()))

    def check(self, spec: Spec) -> None:
        """InputError for a value that goes with no choice of the other axes: a search would propose it without end.

        Where several axes have such values, one is named that goes with the spec's own values neither: it is to blame,
        and not another axis.
        """
        own, bad = _own_choice(spec), []
        for axis, choices in self.axes().items():
            for value in choices:
                why = self.useless(spec, axis, value)
                if why is not None:
                    alone = _impossible(spec, own | {axis: value})
                    said = f"axis {axis} has {value!r}, but no spec can be built with it: {alone or why}"
                    bad.append((alone is None, len(choices), said))
        if bad:
            raise InputError(min(bad, key=lambda item: item[:2])[2])

    def useless(self, spec: Spec, axis: str, value: Any) -> str | None:
        """Why a value of an axis goes with no choice of the others; None where it goes with one.

        In a large space only TRIES choices are tried. A value that goes with none of them would be proposed in vain too
        often.
        """
        others = {name: choices for name, choices in self.axes().items() if name != axis}
        if math.prod(map(len, others.values())) <= TRIES:
            tried: Iterable[tuple[Any, ...]] = itertools.product(*others.values())
        else:
            draw = random.Random(0)
            tried = (tuple(draw.choice(choices) for choices in others.values()) for _ in range(TRIES))
        reasons: Counter[str] = Counter()
        for rest in tried:
            reason = _impossible(spec, {axis: value} | dict(zip(others, rest)))
            if reason is None:
                return None
            reasons[reason] += 1
        return reasons.most_common(1)[0][0]

    def choice_of(self, spec: Spec) -> dict[str, Any] | None:
        """The choices that make this spec, on its own engine.

        None when its network is not in the space, or the engine cannot hold it.
        """
        choice = _own_choice(spec)
        inside = all(choice[axis] in choices for axis, choices in self.network_axes().items())
        return choice if inside and build(spec, choice) == spec and _impossible(spec, choice) is None else None


def build(base: Spec, choice: dict[str, Any]) -> Spec:
    """The spec of a choice; SpecError when its parts do not go together."""
    blocks = choice["blocks"]
    channels = tuple(choice["channels"] << block for block in range(blocks))
    spec = replace(
        base,
        network=replace(base.network, channels=channels, stem=choice["stem"]),
        solver=replace(base.solver, method=choice["method"], n_steps=(choice["n_steps"],) * blocks),
        quantisation=replace(base.quantisation, weight_bit_width=choice["weight_bits"]),
        kernel=replace(base.kernel, reuse_factor=choice["reuse_factor"]),
    )
    return with_lanes(spec, choice["lanes"])


def network_of(choice: dict[str, Any]) -> dict[str, Any]:
    """The part of a choice on which results depend."""
    return {axis: value for axis, value in choice.items() if axis not in ENGINE_AXES}


def _own_choice(spec: Spec) -> dict[str, Any]:
    """The spec's own value of each axis; those of its first block where blocks may differ."""
    return {
        "channels": spec.network.channels[0],
        "blocks": len(spec.network.channels),
        "stem": spec.network.stem,
        "method": spec.solver.method,
        "n_steps": spec.solver.n_steps[0],
        "weight_bits": spec.quantisation.weight_bit_width,
        "lanes": lanes_text(spec.kernel),
        "reuse_factor": spec.kernel.reuse_factor,
    }


def _impossible(spec: Spec, choice: dict[str, Any]) -> str | None:
    """Why there is no estimate for a choice, if there is none."""
    try:
        figures(build(spec, choice))
    except SpecError as error:
        return str(error)
    return None


def _most_blocks(spec: Spec) -> int:
    """How many ODE blocks the image is large enough for."""
    for blocks in range(MAX_BLOCKS, 1, -1):
        try:
            replace(spec.network, channels=(1,) * blocks, low_rank=())
        except SpecError:
            continue
        return blocks
    return 1


def _fits(spec: Spec, stem: str) -> bool:
    try:
        replace(spec.network, stem=stem, channels=spec.network.channels[:1])
    except SpecError:
        return False
    return True


def _choices(axis: str, text: str, kind: type) -> tuple[Any, ...]:
    words = text.split(",")
    if kind is int and not all(word.isdecimal() and len(word) < 10 for word in words):
        raise InputError(f"axis {axis} is {text!r}, but it must be whole numbers separated by commas")
    chosen = tuple(dict.fromkeys(kind(word) for word in words))
    known = {"stem": tuple(STEMS), "method": tuple(TABLEAUS)}.get(axis, chosen)
    if unknown := [value for value in chosen if value not in known]:
        raise InputError(f"axis {axis} has {unknown[0]!r}, but its choices are {', '.join(map(str, known))}")
    if axis == "lanes":
        for word in words:
            parse_lanes(word)
    return chosen
