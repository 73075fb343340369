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
from typing import Any

from dsodenet import __version__
from dsodenet.bench import BACKENDS, DEFAULT, Parser
from dsodenet.cli import commands
from dsodenet.cli.arguments import (
    TRAINING,
    argument,
    checked_lanes,
    parse_axis,
    parse_batches,
    parse_limit,
    parse_own_run,
    parse_run,
    parse_steps,
)
from dsodenet.cli.commands import Result
from dsodenet.errors import DsodenetError, ToolError
from dsodenet.exploration import LIMITS, OBJECTIVES, Space
from dsodenet.ladder import LADDER, show_rungs
from dsodenet.runtime.simulated import ENGINES
from dsodenet.spec import KERNELS, SIZES

EXTRAS = {"torch": "train", "brevitas": "train", "sklearn": "train", "PIL": "train", "onnx": "train", "qonnx": "lower"}
EXTRAS |= {
    "torchdiffeq": "train",
    "scipy": "train",
    "optuna": "explore",
    "hls4ml": "lower",
    "pynq": "sim",
    "tqdm": "train",
}
EXTRAS |= {"matplotlib": "train"}


@dataclass(frozen=True)
class Command:
    run: Callable[[argparse.Namespace], Any]  # a Result, or an object with to_dict() that prints itself
    help: str
    example: str
    arguments: tuple[tuple[tuple[str, ...], dict[str, Any]], ...]
    show: Callable[[Result], str] = commands.show_values
    json_file: bool = False  # --json may name a file to write; the text is then printed as well


RUN = argument("run", type=parse_own_run, metavar="RUN", help="run folder")
MODEL = argument(
    "run", type=parse_run, metavar="RUN", help="run folder, or zoo:NAME for a model that comes with the package"
)
LANES = argument("--lanes", type=checked_lanes, metavar="PxIxO", help="lanes of the rtl kernel instead of the spec's")
SOLVER = (
    argument(
        "--n-steps", type=parse_steps, metavar="N", help="solver steps, for all ODE blocks or one number each: 4,4,8"
    ),
    argument("--solver", metavar="NAME", help="solver method instead of the spec's"),
)
SIM_KERNEL = argument(
    "--kernel", choices=list(ENGINES), help="what computes inside zcu104-sim (default: the kernel of the spec)"
)
DATA_HELP = "digits, digits-blend, digits-rotated or digits-inverted, or a folder of images or standard files"
SPEC_HELP = f"{', '.join(SIZES)}, or a spec JSON file"
COMMANDS = {
    "spec": Command(
        commands.spec,
        "print a complete spec JSON, to edit",
        "dsodenet spec xs > my.json",
        (argument("spec", metavar="NAME|FILE", help=SPEC_HELP),),
        commands.show_json,
    ),
    "train": Command(
        commands.train,
        "train a model: float, then quantisation-aware",
        "dsodenet train --spec xs --recipe dann --target build/camera --out build/adapted",
        (
            argument("--spec", required=True, metavar="NAME|FILE", help=SPEC_HELP),
            argument("--out", required=True, type=Path, metavar="RUN", help="run folder to write"),
            argument("--data", default="digits", metavar="NAME|DIR", help=f"{DATA_HELP} (default digits)"),
            argument(
                "--recipe", default="supervised", metavar="NAME", help="one of `dsodenet recipes` (default supervised)"
            ),
            argument(
                "--teacher", metavar="NAME|RUN,...", help="teachers to train, by name, or trained ones, by run folder"
            ),
            argument(
                "--target", metavar="NAME|DIR", help="domain to adapt to, or to be measured on: a data set like --data"
            ),
            argument(
                "--resume", action="store_true", help="go on with the training that RUN holds unfinished, if it does"
            ),
            *TRAINING,
            argument("--weight-bits", type=int, metavar="N", help="bits of the weights instead of the spec's"),
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
        commands.lower,
        "generate the HLS C++ kernel and compile its C simulation",
        "dsodenet lower build/digits",
        (RUN,),
    ),
    "verify": Command(
        commands.verify,
        "compare every backend with the integer reference, word for word",
        "dsodenet verify build/digits --backends torch,cpu,csim,rtl,zcu104-sim --images 64",
        (
            MODEL,
            argument("--backends", default=",".join(LADDER), metavar="A,B", help="rungs (default %(default)s)"),
            argument(
                "--images", default="16", metavar="N|FILE", help="number of test images, or a .npy file (default 16)"
            ),
            SIM_KERNEL,
            *SOLVER,
        ),
        show_rungs,
    ),
    "run": Command(
        commands.run,
        "run images through a backend",
        "dsodenet run build/digits --backend zcu104-sim --input X.npy --output Y.npy",
        (
            MODEL,
            argument("--backend", required=True, metavar="B", help="cpu, csim, rtl, zcu104-sim or zcu104"),
            argument(
                "--input",
                required=True,
                type=Path,
                metavar="X.npy",
                help="uint8, or float in [0, 1], (N, channels, H, W)",
            ),
            argument(
                "--output", required=True, type=Path, metavar="Y.npy", help="int32 logits; their scale goes to Y.json"
            ),
            SIM_KERNEL,
            *SOLVER,
        ),
    ),
    "estimate": Command(
        commands.estimate,
        "cycles, latency, multiply-accumulates and parameters, with no tool and no build",
        "dsodenet estimate l --lanes 3x16x64",
        (
            argument("model", metavar="RUN|SPEC", help=f"run folder, zoo:NAME, {SPEC_HELP}"),
            LANES,
            *SOLVER,
        ),
        commands.show_estimate,
    ),
    "explore": Command(
        commands.explore,
        "search for a smaller or faster model that is accurate enough",
        "dsodenet explore xs --objective cycles --limit DSP=0.6 --trials 40 --out build/explore --final",
        (
            argument("spec", metavar="SPEC", help=f"where the search starts: {SPEC_HELP}"),
            argument(
                "--objective", default="cycles", metavar="NAME", help=f"one of {', '.join(OBJECTIVES)} (default cycles)"
            ),
            argument(
                "--limit",
                type=parse_limit,
                action="append",
                default=[],
                metavar="NAME=NUMBER",
                help="most that may be used: a share of the device, such as DSP=0.6, or a number, such as cycles=11000; several may be given "
                f"(default {', '.join(f'{name}={share}' for name, share in LIMITS.items())})",
            ),
            argument(
                "--accuracy",
                type=float,
                metavar="A",
                help="least accuracy, 0 to 1 (default: that of SPEC in the search)",
            ),
            argument(
                "--axis",
                type=parse_axis,
                action="append",
                default=[],
                metavar="NAME=A,B",
                help=f"choices of an axis instead of the usual ones: {', '.join(field.name for field in fields(Space))}",
            ),
            argument(
                "--kernel",
                choices=KERNELS,
                default="rtl",
                help="the kernel whose cycles and resources count (default rtl)",
            ),
            argument("--trials", type=int, default=32, metavar="N", help="finished trials in the end (default 32)"),
            argument(
                "--epochs",
                type=int,
                default=10,
                metavar="N",
                help="float epochs of a trial; 0 only estimates (default 10)",
            ),
            argument(
                "--qat-epochs",
                type=int,
                default=3,
                metavar="N",
                help="quantisation-aware epochs of a trial (default 3)",
            ),
            argument(
                "--data", default="digits", metavar="NAME|DIR", help="digits, or a folder of images (default digits)"
            ),
            argument("--seed", type=int, default=0, metavar="N", help="random seed (default 0)"),
            argument("--workers", type=int, default=1, metavar="N", help="processes (default 1)"),
            argument(
                "--out",
                type=Path,
                required=True,
                metavar="DIR",
                help="folder of the search; one that is there is resumed",
            ),
            argument(
                "--storage",
                metavar="URL",
                help="database that several machines share, such as postgresql://user@host/search; each has its own "
                "--out (default: a file in DIR)",
            ),
            argument(
                "--final",
                action="store_true",
                help="choose by several trainings of what looks accurate enough, then train the choice and SPEC in full and simulate both",
            ),
            argument(
                "--final-seeds",
                type=int,
                default=3,
                metavar="N",
                help="seeds of the trainings that --final makes (default 3)",
            ),
            argument("--plot", type=Path, metavar="OUT.png", help="picture to write"),
        ),
        str,
    ),
    "bench": Command(
        commands.bench,
        "compare the accelerator with software on this processor, each figure measured, simulated or estimated",
        "dsodenet bench l --json build/bench.json --plot build/bench.png",
        (
            argument("model", metavar="RUN|SPEC", help=f"run folder, zoo:NAME; or, with random weights, {SPEC_HELP}"),
            argument(
                "--backends",
                type=lambda text: tuple(text.split(",")),
                metavar="A,B",
                help=f"some of {', '.join(BACKENDS)} (default {','.join(DEFAULT)}; rtl only where its simulation is quick)",
            ),
            LANES,
            argument(
                "--batches", type=parse_batches, default=(1, 16), metavar="N,N", help="images of a call (default 1,16)"
            ),
            argument("--repeats", type=int, default=11, metavar="N", help="timed calls of each path (default 11)"),
            argument("--plot", type=Path, metavar="OUT.png", help="picture to write"),
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
            argument(
                "--kernel",
                required=True,
                choices=KERNELS,
                help="hls: this model's own kernel; rtl: the engine for any model",
            ),
            argument(
                "--out",
                type=Path,
                metavar="DIR",
                help="folder for .bit, .hwh and .json (default RUN; needed with zoo:NAME)",
            ),
            argument(
                "--package",
                type=Path,
                metavar="WHEEL",
                help="also write one archive to copy to the board, with this wheel",
            ),
            argument(
                "--inputs-only",
                action="store_true",
                help="write what the tools read, for another machine that has them",
            ),
        ),
    ),
    "selftest": Command(
        commands.selftest,
        "test a board: registers, memory, transfers, errors, known images",
        "dsodenet selftest --board sim",
        (
            argument("--board", default="sim", metavar="B", help="sim (the default) or zcu104"),
            argument("--overlay", type=Path, metavar="FILE.bit", help="overlay to test, with .hwh and .json beside it"),
            argument(
                "--kernel",
                choices=("reference", "rtl"),
                help="what computes on the simulated board: the reference (the default), or the rtl kernel, simulated by Verilator",
            ),
        ),
        commands.show_selftest,
    ),
}


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
        data = result if isinstance(result, dict) else result.to_dict()
        if os.environ.get("RANK", "0") == "0":  # the first of the processes that torchrun starts
            print(commands.show_json(data) if args.json is True else command.show(result))
        return 1 if data.get("differing") or data.get("ok") is False else 0
    except DsodenetError as error:
        _say(error)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        _say(ToolError(_missing(package)))
    except BrokenPipeError:
        sys.stderr.close()
    except OSError as error:  # a full disk, a folder that may not be written
        _say(error)
    except MemoryError:
        _say(ToolError("there is too little memory for this"))
    except KeyboardInterrupt:
        print("dsodenet: interrupted; earlier results are as they were", file=sys.stderr)
        return 130
    return 2


def _say(error: Exception) -> None:
    """One line, whatever a file is called."""
    print(f"dsodenet: {' '.join(str(error).split())}", file=sys.stderr)


def _missing(package: str) -> str:
    return f"this command needs the package {package}; install it with: pip install 'dsodenet[{EXTRAS[package]}]'"


if __name__ == "__main__":
    sys.exit(main())
