"""Arguments of the command line: how their words are read, and those that set the options of training."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path
from typing import Any, NoReturn

from dsodenet.command import Argument, argument
from dsodenet.errors import InputError
from dsodenet.runs import PREFIX, Run
from dsodenet.spec import parse_lanes
from dsodenet.training import PRESETS, Options


class Parser(argparse.ArgumentParser):
    """Wrong words are bad input like any other: one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}{self._nearest(message)}; see {self.prog} --help")

    def _nearest(self, message: str) -> str:
        """What an unknown option was meant to be, where it is nearly one of this command or of those below it."""
        _, unknown, words = message.partition("unrecognized arguments: ")
        word = words.split()[0] if unknown else ""  # an option of another command is no near miss
        near = difflib.get_close_matches(word, sorted(self._options() - {word}), 1, 0.7) if unknown else []
        return f", did you mean {near[0]}?" if near else ""

    def _options(self) -> set[str]:
        found = set(self._option_string_actions)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                found.update(*(parser._options() for parser in action.choices.values()))
        return found


def parse_run(text: str) -> Path:
    """A run folder, or a model of the zoo."""
    try:
        return Run.of(text).folder
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse_own_run(text: str) -> Path:
    """A run folder that is written to."""
    if text.startswith(PREFIX):
        raise argparse.ArgumentTypeError(f"run is {text!r}, but models of the zoo are exported already, and read only")
    return Path(text)


def parse_steps(text: str) -> int | tuple[int, ...]:
    """N for every ODE block, or N,N,N for each."""
    try:
        numbers = tuple(int(word) for word in text.split(","))
    except ValueError:
        message = f"n-steps is {text!r}, but it must be a number, or one number per ODE block such as 4,4,8"
        raise argparse.ArgumentTypeError(message) from None
    return numbers if len(numbers) > 1 else numbers[0]


def _values(values: dict[str, Any]) -> str:
    return ", ".join(name if value is True else f"{name} {value:g}" for name, value in values.items())


def checked_lanes(text: str) -> str:
    """PxIxO: pixel, input and output lanes."""
    try:
        parse_lanes(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def parse_limit(text: str) -> tuple[str, float]:
    """NAME=NUMBER; exploration.Goal says which names and numbers."""
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"limit is {text!r}, but it must be a name and a number, such as DSP=0.6 or cycles=11000"
        ) from None


def parse_clock(text: str) -> float | str:
    """MHz, or auto."""
    try:
        return text if text == "auto" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"clock is {text!r}, but it must be a number of MHz, or auto") from None


def parse_axis(text: str) -> tuple[str, str]:
    """NAME=A,B."""
    name, equals, choices = text.partition("=")
    if not equals or not choices:
        raise argparse.ArgumentTypeError(f"axis is {text!r}, but it must be a name and choices, such as n_steps=2,4")
    return name, choices


def parse_batches(text: str) -> tuple[int, ...]:
    """N,N,...: images of a call."""
    if not all(word.isdecimal() for word in text.split(",")):
        raise argparse.ArgumentTypeError(f"batches are {text!r}, but they must be numbers such as 1,16")
    return tuple(map(int, text.split(",")))


def _option(name: str, metavar: str | None, what: str, **more: Any) -> Argument:
    """An argument that sets a field of Options, whose default it names; None leaves a preset's or that one."""
    default = getattr(Options(), name)
    shown = f"{what} (default: {default:g})" if isinstance(default, int | float) and metavar else what
    shown = f"{what} (default: {default})" if isinstance(default, str) else shown
    kind = {} if metavar is None else {"type": type(default), "metavar": metavar}
    return argument("--" + name.replace("_", "-"), default=None, help=shown, **kind, **more)


TRAINING = (
    argument(
        "--preset",
        metavar="NAME",
        help="defaults for a kind of data: "
        + "; ".join(f"{name}: {_values(values)}" for name, values in PRESETS.items() if values),
    ),
    _option("epochs", "N", "epochs of the float stage; 0 only with --from"),
    _option("qat_epochs", "N", "epochs of the quantisation-aware stage; 0: quantised and calibrated only"),
    _option("teacher_epochs", "N", "epochs of each teacher"),
    _option("minutes", "N", "shorten the schedules so that training ends in N minutes; 0: as long as epochs take"),
    _option("batch_size", "N", "images of a step, of all processes together"),
    _option("learning_rate", "X", "peak of the float stage's schedule"),
    _option("qat_learning_rate", "X", "peak of the quantisation-aware stage's schedule"),
    _option("teacher_learning_rate", "X", "peak of the teachers' schedule"),
    _option("weight_decay", "X", "of weights; biases and gains have none"),
    _option("label_smoothing", "X", "share of a label that is spread over all classes"),
    _option("temperature", "T", "of the divergence from a teacher; 0: the recipe's own"),
    _option("shift", "N", "pixels by which training images move at most"),
    _option("flip", None, "mirror training images at random", action="store_true"),
    _option("turn", "DEGREES", "turn training images by so much at most"),
    _option("zoom", "SHARE", "scale them by so much at most"),
    _option("light", "SHARE", "change their contrast and brightness by so much at most"),
    _option("mixup", "A", "blend training images and labels in shares of Beta(A, A)"),
    _option("validation", "SHARE", "hold back this share of the training images, keep the best epoch on them"),
    _option("train_images", "N", "draw N of the training images; 0: all"),
    _option("target_images", "N", "the same of the target domain; 0: all"),
    _option("labels_per_class", "N", "keep N labels of each class: the other images have none; 0: all"),
    _option("gradient", "NAME", "of the ODE blocks: backprop, checkpoint, adjoint or irdm"),
    _option("irdm_nodes", "N", "states that irdm keeps of a solve: more are more exact"),
    _option("seed", "N", "random seed"),
    _option("device", "NAME", "auto (a GPU where there is one), cpu or cuda"),
    _option("precision", "NAME", "float32, or bfloat16 in the float stages"),
)
