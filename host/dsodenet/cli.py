"""The command line. Each command is a function from parsed arguments to a result that prints as text or as JSON.

Exit status: 0 done, 1 the ladder found a difference, 2 bad input (one line on standard error), 130 interrupted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from dsodenet import __version__
from dsodenet.errors import DsodenetError, InputError, ToolError
from dsodenet.files import atomic_file
from dsodenet.params import Params
from dsodenet.spec import SIZES, Spec
from dsodenet.tables import table
from dsodenet.verify import LADDER, as_dict, load_images, read_images, verify

Result = dict[str, Any]
EXTRAS = {"torch": "train", "brevitas": "train", "sklearn": "train", "PIL": "train", "onnx": "train", "qonnx": "lower"}
EXTRAS |= {"hls4ml": "lower", "pynq": "sim", "tqdm": "train", "matplotlib": "train"}


@contextmanager
def progress_bar(title: str, total: int, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A bar on standard error that moves with each named step."""
    from tqdm import tqdm

    with tqdm(total=total, desc=title, disable=quiet, leave=False) as bar:

        def step(name: str) -> None:
            bar.set_postfix_str(name)
            bar.update()

        yield step


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


def command_spec(args: argparse.Namespace) -> Result:
    return Spec.load(args.spec).to_dict()


def command_train(args: argparse.Namespace) -> Result:
    spec = Spec.load(args.spec)
    if args.weight_bits is not None:
        spec = dataclasses.replace(spec, quantisation=dataclasses.replace(spec.quantisation, weight_bit_width=args.weight_bits))
    if args.out.exists() and not args.out.is_dir():
        raise InputError(f"{args.out} is a file, but --out must name a folder")
    from dsodenet.data import load_dataset
    from dsodenet.train import Options, train

    given = {name: getattr(args, name) for name in ("epochs", "qat_epochs", "seed") if getattr(args, name) is not None}
    metrics = train(spec, load_dataset(args.data, spec.network), args.out, Options(progress=not args.quiet, **given), args.recipe)
    return {"run": str(args.out), "float_accuracy": metrics["float_accuracy"], "qat_accuracy": metrics["qat_accuracy"]}


def command_export(args: argparse.Namespace) -> Result:
    from dsodenet.export import export

    with progress_bar("export", 9, args.quiet) as step:
        params = export(args.run, step)
    return {"run": str(args.run), "model": params.spec.name, "fingerprint": params.fingerprint, "logits_scale": params.logits_scale}


def command_lower(args: argparse.Namespace) -> Result:
    from dsodenet.lower import CSIM_LIBRARY, lower

    with progress_bar("lower", 16, args.quiet) as step:
        folder = lower(args.run, step)
    return {"run": str(args.run), "sources": str(folder), "library": str(folder / CSIM_LIBRARY)}


def command_verify(args: argparse.Namespace) -> Result:
    params = Params.load(args.run)
    backends = args.backends.split(",")
    images, source = load_images(args.images, args.run, params)
    with progress_bar("verify", len(backends), args.quiet) as step:
        rungs = verify(args.run, backends, images, None, args.solver, args.n_steps, step)
    solver = params.with_solver(args.solver, args.n_steps).spec.solver
    differing = sum(rung.differing for rung in rungs)
    return {
        "images": source,
        "solver": solver.method,
        "n_steps": list(solver.n_steps),
        "differing": differing,
        "rungs": as_dict(rungs),
    }


def command_run(args: argparse.Namespace) -> Result:
    from dsodenet.runtime import Accelerator

    params = Params.load(args.run).with_solver(args.solver, args.n_steps)
    images = read_images(args.input, params.spec.network)
    if args.output.suffix != ".npy":
        raise InputError(f"output is {args.output}, but it must be a .npy file")
    solver = params.spec.solver
    with Accelerator(args.run, args.backend) as accelerator:
        accelerator.set_solver(solver.method, solver.n_steps)
        logits = accelerator.predict(images)
        call = accelerator.last_call
    assert call is not None
    result = dataclasses.asdict(call) | {
        "model": params.spec.name,
        "fingerprint": params.model_fingerprint,
        "solver": solver.method,
        "n_steps": list(solver.n_steps),
        "logits_scale": params.logits_scale,
        "classes": logits.argmax(axis=1).tolist(),
    }
    with atomic_file(args.output) as path:
        np.save(path, logits, allow_pickle=False)
    with atomic_file(args.output.with_suffix(".json")) as path:
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return result | {"output": str(args.output)}


def command_estimate(args: argparse.Namespace) -> Result:
    from dsodenet.estimate import estimate, of_spec
    from dsodenet.layers import macs, parameter_comparison, parameters

    is_run = Path(args.model).is_dir()
    if is_run:
        params = Params.load(args.model).with_solver(args.solver, args.n_steps)
        spec = params.spec
    else:
        spec = Spec.load(args.model).with_solver(args.solver, args.n_steps)
    if args.lanes is not None:
        lanes = dict(zip(("pixel_lanes", "input_lanes", "output_lanes"), args.lanes))
        spec = dataclasses.replace(spec, kernel=dataclasses.replace(spec.kernel, **lanes))
    result = estimate(dataclasses.replace(params, spec=spec)) if is_run else of_spec(spec)
    sizes = {"parameters": parameters(spec), "macs_per_section": macs(spec), "parameters_compared": parameter_comparison(spec)}
    return result.to_dict() | sizes | {"table": result.table()}


def show_estimate(result: Result) -> str:
    total, compared = sum(result["parameters"].values()), result["parameters_compared"]
    return (
        f"{result['model']}, {result['lanes']} lanes of the rtl kernel; estimated by a closed form that equals its simulation\n"
        f"{result['table']}\n{result['macs']:,} multiply-accumulates; {total:,} parameters; without stem and head "
        f"{compared['dsodenet']:,}, against {compared['full']:,} with full convolutions and {compared['residual']:,} unshared"
    )


def show_rungs(result: Result) -> str:
    """The ladder as a table."""
    rows = [
        (
            r["backend"],
            r["label"],
            r["images"],
            r["words"],
            r["differing"],
            f"{r['seconds']:.3f}",
            "-" if r["cycles"] is None else r["cycles"] // r["images"],
        )
        for r in result["rungs"]
    ]
    steps = ",".join(map(str, result["n_steps"]))
    verdict = "every rung computes the same integers" if not result["differing"] else f"{result['differing']} words differ"
    header = ("rung", "time is", "images", "words", "differing", "seconds", "cycles/image")
    return f"images: {result['images']}; solver {result['solver']}, n_steps {steps}\n{table(header, rows)}\n{verdict}"


def show_values(result: Result) -> str:
    def text(value: Any) -> str:
        return f"{value[:8]} ..." if isinstance(value, list) and len(value) > 8 else str(value)

    return "\n".join(f"{key:<16} {text(value)}" for key, value in result.items())


def show_json(result: Result) -> str:
    return json.dumps(result, indent=2)


@dataclasses.dataclass(frozen=True)
class Command:
    run: Callable[[argparse.Namespace], Result]
    help: str
    example: str
    arguments: tuple[tuple[tuple[str, ...], dict[str, Any]], ...]
    show: Callable[[Result], str] = show_values


def _argument(*names: str, **options: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    return names, options


RUN = _argument("run", type=Path, metavar="RUN", help="run folder")
SOLVER = (
    _argument("--n-steps", type=parse_steps, metavar="N", help="solver steps, for all ODE blocks or one number each: 4,4,8"),
    _argument("--solver", metavar="NAME", help="solver method instead of the spec's"),
)
SPEC_HELP = f"{', '.join(SIZES)}, or a spec JSON file"
COMMANDS = {
    "spec": Command(
        command_spec,
        "print a complete spec JSON, to edit",
        "dsodenet spec xs > my.json",
        (_argument("spec", metavar="NAME|FILE", help=SPEC_HELP),),
        show_json,
    ),
    "train": Command(
        command_train,
        "train a model: float, then quantisation-aware",
        "dsodenet train --spec xs --data digits --out build/digits",
        (
            _argument("--spec", required=True, metavar="NAME|FILE", help=SPEC_HELP),
            _argument("--out", required=True, type=Path, metavar="RUN", help="run folder to write"),
            _argument("--data", default="digits", metavar="NAME|DIR", help="digits, or a folder of images (default digits)"),
            _argument("--epochs", type=int, metavar="N", help="epochs of the float stage"),
            _argument("--qat-epochs", type=int, metavar="N", help="epochs of the quantisation-aware stage"),
            _argument("--seed", type=int, metavar="N", help="random seed (default 0)"),
            _argument("--recipe", default="supervised", metavar="NAME", help="training recipe (default supervised)"),
            _argument("--weight-bits", type=int, metavar="N", help="bits of the weights instead of the spec's"),
        ),
    ),
    "export": Command(command_export, "write integers, formats and QONNX of a trained run", "dsodenet export build/digits", (RUN,)),
    "lower": Command(
        command_lower, "generate the HLS C++ kernel and compile its C simulation", "dsodenet lower build/digits", (RUN,)
    ),
    "verify": Command(
        command_verify,
        "compare every backend with the integer reference, word for word",
        "dsodenet verify build/digits --backends torch,cpu,csim,rtl,zcu104-sim --images 64",
        (
            RUN,
            _argument("--backends", default=",".join(LADDER), metavar="A,B", help="rungs (default %(default)s)"),
            _argument("--images", default="16", metavar="N|FILE", help="number of test images, or a .npy file (default 16)"),
            *SOLVER,
        ),
        show_rungs,
    ),
    "run": Command(
        command_run,
        "run images through a backend",
        "dsodenet run build/digits --backend zcu104-sim --input X.npy --output Y.npy",
        (
            RUN,
            _argument("--backend", required=True, metavar="B", help="cpu, csim, rtl, zcu104-sim or zcu104"),
            _argument("--input", required=True, type=Path, metavar="X.npy", help="uint8, or float in [0, 1], (N, channels, H, W)"),
            _argument("--output", required=True, type=Path, metavar="Y.npy", help="int32 logits; their scale goes to Y.json"),
            *SOLVER,
        ),
    ),
    "estimate": Command(
        command_estimate,
        "cycles, latency, multiply-accumulates and parameters, with no tool and no build",
        "dsodenet estimate l --lanes 3x16x64",
        (
            _argument("model", metavar="RUN|SPEC", help=f"run folder, {SPEC_HELP}"),
            _argument("--lanes", type=parse_lanes, metavar="PxIxO", help="lanes of the rtl kernel instead of the spec's"),
            *SOLVER,
        ),
        show_estimate,
    ),
}


class Parser(argparse.ArgumentParser):
    """Wrong words are bad input like any other: one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    top = Parser(prog="dsodenet", description="Neural ODE image networks from training to the ZCU104, bit for bit.")
    top.add_argument("--version", action="version", version=f"dsodenet {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.help, description=command.help, epilog=f"example: {command.example}")
        for names, options in command.arguments:
            sub.add_argument(*names, **options)
        sub.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else")
        sub.add_argument("--quiet", action="store_true", help="no progress bar")
    return top


def main(argv: list[str] | None = None) -> int:
    try:
        args = parser().parse_args(argv)
        command = COMMANDS[args.command]
        result = command.run(args)
        print((show_json if args.json else command.show)(result))
        return 1 if result.get("differing") else 0
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
