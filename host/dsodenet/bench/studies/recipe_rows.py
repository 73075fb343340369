"""The rows of the table of recipes, as data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from dsodenet.data import Dataset, load_dataset
from dsodenet.errors import InputError
from dsodenet.spec import NORMS, Spec
from dsodenet.training import Options

PATIENCE = 4  # times the epochs, for the rows that show what patience buys (2106.05237)


@dataclass(frozen=True)
class Row:
    """One way to train, run once per seed. `against` names the row whose accuracy shows what this one buys."""

    name: str
    group: str
    recipe: str = "supervised"
    against: str | None = None
    norm: str = "none"
    target: str | None = None
    on_target: bool = False  # learns from the target's labels
    times: int = 1  # the epochs of the scale
    teacher: bool = False  # distils from the teacher trained once for each seed
    new_teacher: bool = False  # trains a teacher of its own


@dataclass(frozen=True)
class Scale:
    """How large and how long: the same for all rows of a group, so that they can be compared."""

    spec: Spec
    options: Options
    adaptation: Options  # for the rows that have a target
    teacher: str
    targets: tuple[str, ...]  # domains generated from the data, none where nobody generates any
    data: str = "digits"

    def load(self, name: str) -> Dataset:
        """A data set fitted to the images of the network."""
        return load_dataset(name, self.spec.network, self.spec.images)


def _spec(name: str, side: int) -> Spec:
    xs = Spec.named("xs")
    return dataclasses.replace(xs, name=name, network=dataclasses.replace(xs.network, height=side, width=side))


def _options(epochs: int, qat_epochs: int, teacher_epochs: int) -> Options:
    return Options(epochs=epochs, qat_epochs=qat_epochs, teacher_epochs=teacher_epochs, device="cpu", progress=False)


DEFAULT = Scale(_spec("xs8", 8), _options(15, 3, 15), _options(24, 5, 24), "wide", ("digits-blend", "digits-rotated"))
FULL = Scale(
    _spec("xs", 16),
    _options(60, 15, 40),
    _options(120, 25, 60),
    "wide",
    ("digits-blend", "digits-rotated", "digits-inverted"),
)


def rows(scale: Scale) -> tuple[Row, ...]:
    """Every row, each after the one that it is compared with."""
    result = [Row("baseline", "baseline")]
    result += [Row(f"norm {norm}", "normalisation", norm=norm, against="baseline") for norm in NORMS if norm != "none"]
    for recipe in ("kd", "matching", "meal", "th-kd", "sh-kd"):
        result.append(Row(recipe, "distillation", recipe, "baseline", teacher=True))
    patient = f"baseline, {PATIENCE}x epochs"
    result += [
        Row(patient, "patience", against="baseline", times=PATIENCE),
        Row(f"matching, {PATIENCE}x epochs", "patience", "matching", patient, times=PATIENCE, teacher=True),
    ]
    result += [
        Row("anytime", "steps", "anytime", "baseline"),
        Row("compressed 2x, not tuned", "compression", "compress-untuned", "baseline"),
        Row("compressed 2x, tuned", "compression", "compress", "compressed 2x, not tuned"),
        Row("from full convolutions", "compression", "separate", "baseline"),
    ]
    for target in scale.targets:
        only = f"source only, {target}"
        result.append(Row(only, target, target=target))
        for recipe in ("dann", "cdan", "mcd", "coral", "joint"):
            result.append(
                Row(f"{recipe}, {target}", target, recipe, only, target=target, new_teacher=recipe == "joint")
            )
        result.append(Row(f"target supervised, {target}", target, against=only, target=target, on_target=True))
    return tuple(result)


def chosen(scale: Scale, only: str | None) -> tuple[Row, ...]:
    """The rows of some groups or names, and those that they are compared with."""
    everything = {row.name: row for row in rows(scale)}
    if only is None:
        return tuple(everything.values())
    words = only.split(",")
    allowed = list(dict.fromkeys(word for row in everything.values() for word in (row.group, row.recipe)))
    for word in words:
        if word not in allowed:
            raise InputError(f"only is {word!r}, but it must be some of {', '.join(allowed)}")
    wanted = {
        row.name
        for row in everything.values()
        if row.group in words or (row.recipe in words and row.recipe != "supervised")
    }
    todo = list(wanted)
    while todo:
        other = everything[todo.pop()].against
        if other is not None and other not in wanted:
            wanted.add(other)
            todo.append(other)
    return tuple(row for name, row in everything.items() if name in wanted)
