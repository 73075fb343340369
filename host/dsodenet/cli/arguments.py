"""Arguments of the command line: how their words are read, and those that set the options of training."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path
from typing import NoReturn

from dsodenet.command import argument
from dsodenet.errors import InputError
from dsodenet.runs import PREFIX, Run
from dsodenet.spec import parse_lanes


class Parser(argparse.ArgumentParser):
    """Wrong words are bad input like any other: one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}{self._nearest(message)}; see {self.prog} --help")

    def _nearest(self, message: str) -> str:
        """What an unknown option was meant to be, where it is nearly one of this command or of those below it."""
        _, unknown, words = message.partition("unrecognized arguments: ")
        near = difflib.get_close_matches(words.split()[0], sorted(self._options()), 1, 0.7) if unknown else []
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


TRAINING = (  # dsodenet.training.Options
    argument("--epochs", type=int, metavar="N", help="epochs of the float stage"),
    argument("--qat-epochs", type=int, metavar="N", help="epochs of the quantisation-aware stage"),
    argument("--teacher-epochs", type=int, metavar="N", help="epochs of each teacher"),
    argument("--batch-size", type=int, metavar="N", help="images of a step, of all processes together"),
    argument("--learning-rate", type=float, metavar="X", help="peak of the float stage's schedule"),
    argument("--qat-learning-rate", type=float, metavar="X", help="peak of the quantisation-aware stage's schedule"),
    argument("--teacher-learning-rate", type=float, metavar="X", help="peak of the teachers' schedule"),
    argument("--weight-decay", type=float, metavar="X", help="of weights; biases and gains have none"),
    argument("--label-smoothing", type=float, metavar="X", help="share of a label that is spread over all classes"),
    argument("--shift", type=int, metavar="N", help="pixels by which training images move at most"),
    argument("--flip", action="store_true", default=None, help="mirror training images at random"),
    argument("--mixup", type=float, metavar="A", help="blend training images and labels in shares of Beta(A, A)"),
    argument(
        "--gradient", metavar="NAME", help="of the ODE blocks: backprop (the default), checkpoint, adjoint or irdm"
    ),
    argument("--seed", type=int, metavar="N", help="random seed (default 0)"),
    argument("--device", metavar="NAME", help="auto (the default: a GPU where there is one), cpu or cuda"),
    argument("--precision", metavar="NAME", help="float32 (the default), or bfloat16 in the float stages"),
)
