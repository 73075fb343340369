"""The command line. Each command is a function from parsed arguments to a result that prints as text or as JSON.

Exit status: 0 done, 1 the ladder found a difference or the self-test a fault, 2 bad input (one line on standard error), 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

from dsodenet import __version__, commands
from dsodenet.bench.compare import BACKENDS, DEFAULT
from dsodenet.commands import Result
from dsodenet.errors import DsodenetError, InputError, ToolError
from dsodenet.explore import LIMITS, OBJECTIVES, Space
from dsodenet.runtime.backends import ENGINES
from dsodenet.spec import KERNELS, SIZES
from dsodenet.verify import LADDER
from dsodenet.zoo import resolve

EXTRAS = {"torch": "train", "brevitas": "train", "sklearn": "train", "PIL": "train", "onnx": "train", "qonnx": "lower"}
EXTRAS |= {"torchdiffeq": "train", "scipy": "train", "optuna": "explore", "hls4ml": "lower", "pynq": "sim", "tqdm": "train"}
EXTRAS |= {"matplotlib": "train"}


def parse_run(text: str) -> Path:
    """A run folder, or a model of the zoo."""
    try:
        return resolve(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse_steps(text: str) -> int | tuple[int, ...]:
    """N for every ODE block, or N,N,N for each."""
    try:
        numbers = tuple(int(word) for word in text.split(","))
    except ValueError:
        message = f"n-steps is {text!r}, but it must be a number, or one number per ODE block such as 4,4,8"
        raise argparse.ArgumentTypeError(message) from None
    return numbers if len(numbers) > 1 else numbers[0]


def parse_lanes(text: str) -> tuple[int, ...]:
    """PxIxO: pixel, input and output lanes."""
    words = text.split("x")
    if len(words) != 3 or not all(word.isdecimal() for word in words):
        raise argparse.ArgumentTypeError(f"lanes are {text!r}, but they must be pixels x inputs x outputs, such as 1x32x64")
    return tuple(map(int, words))


def parse_limit(text: str) -> tuple[str, float]:
    """NAME=SHARE of the device."""
    name, _, share = text.partition("=")
    try:
        return name, float(share)
    except ValueError:
        raise argparse.ArgumentTypeError(f"limit is {text!r}, but it must be a resource and a share, such as DSP=0.6") from None


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


@dataclass(frozen=True)
class Command:
    run: Callable[[argparse.Namespace], Result]
    help: str
    example: str
    arguments: tuple[tuple[tuple[str, ...], dict[str, Any]], ...]
    show: Callable[[Result], str] = commands.show_values
    json_file: bool = False  # --json may name a file to write; the text is then printed as well


def _argument(*names: str, **options: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    return names, options


RUN = _argument("run", type=Path, metavar="RUN", help="run folder")
MODEL = _argument("run", type=parse_run, metavar="RUN", help="run folder, or zoo:NAME for a model that comes with the package")
SOLVER = (
    _argument("--n-steps", type=parse_steps, metavar="N", help="solver steps, for all ODE blocks or one number each: 4,4,8"),
    _argument("--solver", metavar="NAME", help="solver method instead of the spec's"),
)
SIM_KERNEL = _argument("--kernel", choices=list(ENGINES), help="what computes inside zcu104-sim (default: the kernel of the spec)")
DATA_HELP = "digits, digits-blend, digits-rotated or digits-inverted, or a folder of images or standard files"
SPEC_HELP = f"{', '.join(SIZES)}, or a spec JSON file"
COMMANDS = {
    "spec": Command(
        commands.spec,
        "print a complete spec JSON, to edit",
        "dsodenet spec xs > my.json",
        (_argument("spec", metavar="NAME|FILE", help=SPEC_HELP),),
        commands.show_json,
    ),
    "train": Command(
        commands.train,
        "train a model: float, then quantisation-aware",
        "dsodenet train --spec xs --recipe dann --target build/camera --out build/adapted",
        (
            _argument("--spec", required=True, metavar="NAME|FILE", help=SPEC_HELP),
            _argument("--out", required=True, type=Path, metavar="RUN", help="run folder to write"),
            _argument("--data", default="digits", metavar="NAME|DIR", help=f"{DATA_HELP} (default digits)"),
            _argument("--recipe", default="supervised", metavar="NAME", help="one of `dsodenet recipes` (default supervised)"),
            _argument("--teacher", metavar="NAME|RUN,...", help="teachers to train, by name, or trained ones, by run folder"),
            _argument("--target", metavar="NAME|DIR", help="domain to adapt to, or to be measured on: a data set like --data"),
            _argument("--resume", action="store_true", help="go on with the training that RUN holds unfinished, if it does"),
            _argument("--epochs", type=int, metavar="N", help="epochs of the float stage"),
            _argument("--qat-epochs", type=int, metavar="N", help="epochs of the quantisation-aware stage"),
            _argument("--teacher-epochs", type=int, metavar="N", help="epochs of each teacher"),
            _argument("--batch-size", type=int, metavar="N", help="images of a step, of all processes together"),
            _argument("--learning-rate", type=float, metavar="X", help="peak of the float stage's schedule"),
            _argument("--qat-learning-rate", type=float, metavar="X", help="peak of the quantisation-aware stage's schedule"),
            _argument("--teacher-learning-rate", type=float, metavar="X", help="peak of the teachers' schedule"),
            _argument("--weight-decay", type=float, metavar="X", help="of weights; biases and gains have none"),
            _argument("--label-smoothing", type=float, metavar="X", help="share of a label that is spread over all classes"),
            _argument("--shift", type=int, metavar="N", help="pixels by which training images move at most"),
            _argument("--flip", action="store_true", default=None, help="mirror training images at random"),
            _argument("--gradient", metavar="NAME", help="of the ODE blocks: backprop (the default), checkpoint, adjoint or irdm"),
            _argument("--seed", type=int, metavar="N", help="random seed (default 0)"),
            _argument("--device", metavar="NAME", help="auto (the default: a GPU where there is one), cpu or cuda"),
            _argument("--precision", metavar="NAME", help="float32 (the default), or bfloat16 in the float stages"),
            _argument("--weight-bits", type=int, metavar="N", help="bits of the weights instead of the spec's"),
        ),
    ),
    "recipes": Command(
        commands.recipes,
        "list the training recipes, and the teachers that they may name",
        "dsodenet recipes",
        (),
    ),
    "export": Command(
        commands.export, "write integers, formats and QONNX of a trained run", "dsodenet export build/digits", (RUN,)
    ),
    "lower": Command(
        commands.lower, "generate the HLS C++ kernel and compile its C simulation", "dsodenet lower build/digits", (RUN,)
    ),
    "verify": Command(
        commands.verify,
        "compare every backend with the integer reference, word for word",
        "dsodenet verify build/digits --backends torch,cpu,csim,rtl,zcu104-sim --images 64",
        (
            MODEL,
            _argument("--backends", default=",".join(LADDER), metavar="A,B", help="rungs (default %(default)s)"),
            _argument("--images", default="16", metavar="N|FILE", help="number of test images, or a .npy file (default 16)"),
            SIM_KERNEL,
            *SOLVER,
        ),
        commands.show_rungs,
    ),
    "run": Command(
        commands.run,
        "run images through a backend",
        "dsodenet run build/digits --backend zcu104-sim --input X.npy --output Y.npy",
        (
            MODEL,
            _argument("--backend", required=True, metavar="B", help="cpu, csim, rtl, zcu104-sim or zcu104"),
            _argument("--input", required=True, type=Path, metavar="X.npy", help="uint8, or float in [0, 1], (N, channels, H, W)"),
            _argument("--output", required=True, type=Path, metavar="Y.npy", help="int32 logits; their scale goes to Y.json"),
            SIM_KERNEL,
            *SOLVER,
        ),
    ),
    "estimate": Command(
        commands.estimate,
        "cycles, latency, multiply-accumulates and parameters, with no tool and no build",
        "dsodenet estimate l --lanes 3x16x64",
        (
            _argument("model", metavar="RUN|SPEC", help=f"run folder, zoo:NAME, {SPEC_HELP}"),
            _argument("--lanes", type=parse_lanes, metavar="PxIxO", help="lanes of the rtl kernel instead of the spec's"),
            *SOLVER,
        ),
        commands.show_estimate,
    ),
    "explore": Command(
        commands.explore,
        "search for a smaller or faster model that is accurate enough",
        "dsodenet explore xs --objective cycles --limit DSP=0.6 --trials 40 --out build/explore --final",
        (
            _argument("spec", metavar="SPEC", help=f"where the search starts: {SPEC_HELP}"),
            _argument("--objective", default="cycles", metavar="NAME", help=f"one of {', '.join(OBJECTIVES)} (default cycles)"),
            _argument(
                "--limit",
                type=parse_limit,
                action="append",
                default=[],
                metavar="NAME=SHARE",
                help="most of the device that may be used, such as DSP=0.6; several may be given "
                f"(default {', '.join(f'{name}={share}' for name, share in LIMITS.items())})",
            ),
            _argument("--accuracy", type=float, metavar="A", help="least accuracy, 0 to 1 (default: that of SPEC in the search)"),
            _argument(
                "--axis",
                type=parse_axis,
                action="append",
                default=[],
                metavar="NAME=A,B",
                help=f"choices of an axis instead of the usual ones: {', '.join(field.name for field in fields(Space))}",
            ),
            _argument("--kernel", choices=KERNELS, default="rtl", help="the kernel whose cycles and resources count (default rtl)"),
            _argument("--trials", type=int, default=32, metavar="N", help="finished trials in the end (default 32)"),
            _argument("--epochs", type=int, default=10, metavar="N", help="float epochs of a trial; 0 only estimates (default 10)"),
            _argument("--qat-epochs", type=int, default=3, metavar="N", help="quantisation-aware epochs of a trial (default 3)"),
            _argument("--data", default="digits", metavar="NAME|DIR", help="digits, or a folder of images (default digits)"),
            _argument("--seed", type=int, default=0, metavar="N", help="random seed (default 0)"),
            _argument("--workers", type=int, default=1, metavar="N", help="processes (default 1)"),
            _argument("--out", type=Path, required=True, metavar="DIR", help="folder of the search; one that is there is resumed"),
            _argument("--final", action="store_true", help="train the chosen model and SPEC in full and simulate both"),
            _argument("--plot", type=Path, metavar="OUT.png", help="picture to write"),
        ),
        commands.show_explore,
    ),
    "bench": Command(
        commands.bench,
        "compare the accelerator with software on this processor, each figure measured, simulated or estimated",
        "dsodenet bench build/digits --json build/bench.json --plot build/bench.png",
        (
            MODEL,
            _argument(
                "--backends",
                type=lambda text: tuple(text.split(",")),
                default=DEFAULT,
                metavar="A,B",
                help=f"some of {', '.join(BACKENDS)} (default {','.join(DEFAULT)})",
            ),
            _argument("--batches", type=parse_batches, default=(1, 16), metavar="N,N", help="images of a call (default 1,16)"),
            _argument("--repeats", type=int, default=11, metavar="N", help="timed calls of each path (default 11)"),
            _argument("--plot", type=Path, metavar="OUT.png", help="picture to write"),
        ),
        commands.show_bench,
        json_file=True,
    ),
    "overlay": Command(
        commands.overlay,
        "build the bitstream with Vivado (and Vitis HLS)",
        "dsodenet overlay build/digits --kernel hls",
        (
            MODEL,
            _argument(
                "--kernel", required=True, choices=KERNELS, help="hls: this model's own kernel; rtl: the engine for any model"
            ),
            _argument(
                "--out", type=Path, metavar="DIR", help="folder for .bit, .hwh and .json (default RUN; needed with zoo:NAME)"
            ),
            _argument("--package", type=Path, metavar="WHEEL", help="also write one archive to copy to the board, with this wheel"),
            _argument("--inputs-only", action="store_true", help="write what the tools read, for another machine that has them"),
        ),
    ),
    "selftest": Command(
        commands.selftest,
        "test a board: registers, memory, transfers, errors, known images",
        "dsodenet selftest --board sim",
        (
            _argument("--board", default="sim", metavar="B", help="sim (the default) or zcu104"),
            _argument("--overlay", type=Path, metavar="FILE.bit", help="overlay to test, with .hwh and .json beside it"),
            _argument(
                "--kernel",
                choices=("reference", "rtl"),
                help="what computes on the simulated board: the reference (the default), or the rtl kernel, simulated by Verilator",
            ),
        ),
        commands.show_selftest,
    ),
}


class Parser(argparse.ArgumentParser):
    """Wrong words are bad input like any other: one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    top = Parser(prog="dsodenet", description="Neural ODE image networks from training to the ZCU104, bit for bit.")
    top.add_argument("--version", action="version", version=f"dsodenet {__version__}")
    subparsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        raw = argparse.RawDescriptionHelpFormatter  # an example is never broken at a hyphen
        sub = subparsers.add_parser(
            name, help=command.help, description=command.help, epilog=f"example: {command.example}", formatter_class=raw
        )
        for names, options in command.arguments:
            sub.add_argument(*names, **options)
        if command.json_file:
            text = "write the result to a file; without OUT.json, print it as JSON, and nothing else"
            sub.add_argument("--json", nargs="?", type=Path, const=True, default=False, metavar="OUT.json", help=text)
        else:
            sub.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else")
        sub.add_argument("--quiet", action="store_true", help="no progress bar")
    return top


def main(argv: list[str] | None = None) -> int:
    try:
        args = parser().parse_args(argv)
        command = COMMANDS[args.command]
        result = command.run(args)
        if os.environ.get("RANK", "0") == "0":  # the first of the processes that torchrun starts
            print((commands.show_json if args.json is True else command.show)(result))
        return 1 if result.get("differing") or result.get("ok") is False else 0
    except DsodenetError as error:
        print(f"dsodenet: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        print(f"dsodenet: {ToolError(_missing(package))}", file=sys.stderr)
    except BrokenPipeError:
        sys.stderr.close()
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"dsodenet: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("dsodenet: interrupted; earlier results are as they were", file=sys.stderr)
        return 130
    return 2


def _missing(package: str) -> str:
    return f"this command needs the package {package}; install it with: pip install 'dsodenet[{EXTRAS[package]}]'"


if __name__ == "__main__":
    sys.exit(main())
