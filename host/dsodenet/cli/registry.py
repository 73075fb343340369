"""Every command of `dsodenet`, as data."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from dsodenet.adapting import METHODS
from dsodenet.bench import BACKENDS, DEFAULT
from dsodenet.cli import adapt_commands, commands, estimates
from dsodenet.cli.arguments import (
    TRAINING,
    checked_lanes,
    parse_axis,
    parse_batches,
    parse_clock,
    parse_limit,
    parse_own_run,
    parse_run,
    parse_steps,
)
from dsodenet.command import Command, argument
from dsodenet.contract import BOARDS, ZCU104
from dsodenet.exploration import LIMITS, OBJECTIVES, Space
from dsodenet.ladder import LADDER
from dsodenet.overlay import JOBS, STRATEGIES
from dsodenet.runtime import POLL, WAITS
from dsodenet.runtime.simulated import SIMULATED_KERNELS
from dsodenet.spec import KERNELS, RESIZES, SIZES

RUN = argument("run", type=parse_own_run, metavar="RUN", help="run folder")
MODEL = argument(
    "run", type=parse_run, metavar="RUN", help="run folder, or zoo:NAME for a model that comes with the package"
)
FORCE = argument(
    "--force", action="store_true", help="go on with an hls kernel that is estimated not to fit the device"
)
BOARD = argument("--board", default=ZCU104.name, metavar="NAME", help=f"one of {', '.join(BOARDS)}")
LANES = argument(
    "--lanes",
    type=checked_lanes,
    metavar="PxIxO[@2]",
    help="lanes of the rtl kernel instead of the spec's; @2: the array at twice the clock",
)
SOLVER = (
    argument(
        "--n-steps", type=parse_steps, metavar="N", help="solver steps, for all ODE blocks or one number each: 4,4,8"
    ),
    argument("--solver", metavar="NAME", help="solver method instead of the spec's"),
)
SIMULATE_WITH = argument(
    "--simulate-with",
    choices=list(SIMULATED_KERNELS),
    help="what computes inside zcu104-sim instead of the kernel of the spec; reference needs no compiler",
)
DATA_HELP = "digits, digits-blend, digits-rotated or digits-inverted, or a folder of images or standard files"
TEST_DATA = argument(
    "--data",
    metavar="NAME|DIR",
    help=f"data whose test split is taken instead of that of the run's own data: {DATA_HELP}",
)
SPEC_HELP = f"{', '.join(SIZES)}, a spec JSON file, or an exported run whose spec is taken"
COMMANDS = {
    "spec": Command(
        commands.print_spec,
        "print a complete spec JSON, to edit",
        "dsodenet spec xs > my.json",
        (
            argument("spec", metavar="NAME|FILE", help=SPEC_HELP),
            argument("--data", metavar="NAME|DIR", help=f"take the classes of this data: {DATA_HELP}"),
            argument(
                "--resize",
                choices=RESIZES,
                help="how pictures of another shape are made to fit: squash changes their aspect ratio; crop cuts the "
                "middle out; pad adds a black border",
            ),
        ),
    ),
    "train": Command(
        commands.train_run,
        "train a model: float, then quantisation-aware",
        "dsodenet train --spec xs --recipe dann --target build/camera --out build/adapted",
        (
            argument("--spec", required=True, metavar="NAME|FILE", help=SPEC_HELP),
            argument("--out", required=True, type=Path, metavar="RUN", help="run folder to write"),
            argument("--data", default="digits", metavar="NAME|DIR", help=DATA_HELP),
            argument(
                "--unlabelled", type=Path, metavar="X.npy|DIR", help="more images, for recipes that need no labels"
            ),
            argument("--from", dest="start", metavar="RUN", help="start from the float network of this run"),
            argument("--recipe", default="supervised", metavar="NAME", help="one of `dsodenet recipes`"),
            argument(
                "--teacher", metavar="NAME|RUN,...", help="teachers to train, by name, or trained ones, by run folder"
            ),
            argument(
                "--target", metavar="NAME|DIR", help="domain to adapt to, or to be measured on: a data set like --data"
            ),
            argument(
                "--resume", action="store_true", help="go on with the training that RUN holds unfinished, if it does"
            ),
            argument("--force", action="store_true", help="replace the finished training that RUN holds"),
            argument("--plot", type=Path, metavar="OUT.png", help="picture of the loss over the epochs, to write"),
            *TRAINING,
            argument("--weight-bits", type=int, metavar="N", help="bits of the weights instead of the spec's"),
        ),
    ),
    "recipes": Command(
        commands.list_recipes,
        "list the training recipes, and the teachers that they may name",
        "dsodenet recipes",
        (),
    ),
    "zoo": Command(
        commands.list_zoo,
        "list the models that come with the package",
        "dsodenet zoo",
    ),
    "export": Command(
        commands.export_run,
        "write integers, formats and QONNX of a trained run",
        "dsodenet export build/digits",
        (
            RUN,
            argument(
                "--data",
                metavar="NAME|DIR",
                help="also store statistics of these images for `adapt` (default: of the training data, where a name "
                "says what that is)",
            ),
        ),
    ),
    "lower": Command(
        commands.lower_run,
        "write the hls kernel, your network in fixed logic: C++ for Vitis HLS, and its C simulation (rtl needs none)",
        "dsodenet lower build/digits",
        (
            RUN,
            argument(
                "--reuse-factor",
                type=int,
                metavar="N",
                help="multiplications that share a multiplier in every layer; default: the fastest that fits",
            ),
            FORCE,
            argument(
                "--concurrent",
                action="store_true",
                help="also compile the C simulation that runs every process at once, with bounded streams",
            ),
        ),
    ),
    "verify": Command(
        commands.verify_run,
        "compare every backend with the integer reference, word for word",
        "dsodenet verify build/digits --backends torch,cpu,csim,rtl,zcu104-sim --images 64",
        (
            MODEL,
            argument(
                "--backends",
                metavar="A,B",
                help=f"rungs, each of which must be there (default: those of {','.join(LADDER)} that are there; the "
                "others are listed with what brings them)",
            ),
            argument(
                "--images",
                default="16",
                metavar="N|FILE|DIR",
                help="number of the run's own test images, or a picture, a folder or a .npy file",
            ),
            TEST_DATA,
            SIMULATE_WITH,
            *SOLVER,
        ),
    ),
    "evaluate": Command(
        commands.evaluate_run,
        "measure the accuracy on test images: for each class, what is mixed up, and the surest errors",
        "dsodenet evaluate build/digits --plot build/confusion.png",
        (
            MODEL,
            TEST_DATA,
            argument("--backend", default="cpu", metavar="B", help="cpu, csim, rtl, zcu104-sim or zcu104"),
            argument("--plot", type=Path, metavar="OUT.png", help="picture to write: confusion matrix, surest errors"),
            SIMULATE_WITH,
            *SOLVER,
        ),
    ),
    "run": Command(
        commands.run_images,
        "say which class each image shows, by any backend",
        "dsodenet run build/digits --backend zcu104-sim --input photos/",
        (
            argument(
                "run",
                type=parse_run,
                metavar="RUN",
                help="run folder, zoo:NAME, or the .bit of a built overlay with its .hwh and .json beside it",
            ),
            argument(
                "--backend",
                metavar="B",
                help="cpu, csim, rtl, zcu104-sim or zcu104 (default: cpu, and zcu104 for a .bit)",
            ),
            argument(
                "--input",
                required=True,
                type=Path,
                metavar="PHOTO|DIR|X.npy",
                help="an image file, a folder of such, or images as an array: uint8, or float in [0, 1], "
                "(N, channels, H, W)",
            ),
            argument("--output", type=Path, metavar="Y.npy", help="int32 logits; all else goes to Y.json"),
            SIMULATE_WITH,
            *SOLVER,
        ),
    ),
    "estimate": Command(
        estimates.estimate_costs,
        "cycles, latency, parameters, and what each kernel takes of the device, with no tool and no build",
        "dsodenet estimate l --lanes 3x16x64",
        (
            argument(
                "model", metavar="RUN|SPEC", help=f"run folder, zoo:NAME, {', '.join(SIZES)}, or a spec JSON file"
            ),
            BOARD,
            LANES,
            *SOLVER,
        ),
    ),
    "explore": Command(
        commands.explore_specs,
        "search for a smaller or faster model that is accurate enough",
        "dsodenet explore xs --objective cycles --limit DSP=0.6 --trials 40 --out build/explore --final",
        (
            argument("spec", metavar="SPEC", help=f"where the search starts: {SPEC_HELP}"),
            argument("--objective", default="cycles", metavar="NAME", help=f"one of {', '.join(OBJECTIVES)}"),
            argument(
                "--limit",
                type=parse_limit,
                action="append",
                default=[],
                metavar="NAME=NUMBER",
                help="most that may be used: a share of the device, such as DSP=0.6, or a number, such as "
                "cycles=11000; several may be given "
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
                help="choices of an axis instead of the usual ones: "
                f"{', '.join(field.name for field in fields(Space))}",
            ),
            argument(
                "--kernel",
                choices=KERNELS,
                default="rtl",
                help="the kernel whose cycles and resources count",
            ),
            argument("--trials", type=int, default=32, metavar="N", help="finished trials in the end"),
            argument(
                "--epochs",
                type=int,
                default=10,
                metavar="N",
                help="float epochs of a trial; 0 only estimates",
            ),
            argument(
                "--qat-epochs",
                type=int,
                default=3,
                metavar="N",
                help="quantisation-aware epochs of a trial",
            ),
            argument("--data", default="digits", metavar="NAME|DIR", help="digits, or a folder of images"),
            argument("--seed", type=int, default=0, metavar="N", help="random seed"),
            argument("--workers", type=int, default=1, metavar="N", help="processes"),
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
                help="database that several machines share, such as postgresql://user@host/search, each with its own "
                "--out (default: a file in DIR)",
            ),
            argument(
                "--final",
                action="store_true",
                help="choose by several trainings of what looks accurate enough, then train the choice and SPEC in "
                "full and simulate both",
            ),
            argument(
                "--final-seeds",
                type=int,
                default=3,
                metavar="N",
                help="seeds of the trainings that --final makes",
            ),
            argument("--plot", type=Path, metavar="OUT.png", help="picture to write"),
        ),
    ),
    "bench": Command(
        commands.bench_model,
        "compare the accelerator with software on this processor, each figure measured, simulated or estimated",
        "dsodenet bench l --json build/bench.json --plot build/bench.png",
        (
            argument("model", metavar="RUN|SPEC", help=f"run folder, zoo:NAME; or, with random weights, {SPEC_HELP}"),
            argument(
                "--backends",
                type=lambda text: tuple(text.split(",")),
                metavar="A,B",
                help=f"some of {', '.join(BACKENDS)} "
                f"(default {','.join(DEFAULT)}; rtl only where its simulation is quick)",
            ),
            TEST_DATA,
            LANES,
            argument("--batches", type=parse_batches, default=(1, 16), metavar="N,N", help="images of a call"),
            argument("--repeats", type=int, default=11, metavar="N", help="timed calls of each path"),
            argument("--plot", type=Path, metavar="OUT.png", help="picture to write"),
        ),
    ),
    "adapt": Command(
        adapt_commands.adapt_model,
        "adapt a model to new images, without labels or source data, where it runs",
        "dsodenet adapt zoo:digits-s --images digits-rotated --out build/adapted",
        (
            MODEL,
            argument(
                "--images",
                required=True,
                metavar="NAME|DIR|X.npy",
                help="at least 20 images of the new domain: X.npy, a folder, or the training split of a data set",
            ),
            argument("--out", required=True, type=Path, metavar="RUN2", help="run folder to write"),
            argument(
                "--method",
                default="t3a,pseudo",
                metavar="A,B",
                help=f"one or more, in turn, of {', '.join(METHODS)}",
            ),
            argument("--backend", default="cpu", metavar="B", help="what computes the model"),
            argument("--budget", type=float, default=600.0, metavar="SECONDS", help="of `forward` at most"),
            argument("--generations", type=int, default=60, metavar="N", help="of `forward` at most"),
            argument("--seed", type=int, default=0, metavar="N", help="random seed"),
            argument("--test", metavar="NAME|DIR", help="a data set, to measure both models on its test split"),
        ),
    ),
    "calibrate": Command(
        adapt_commands.calibrate_model,
        "choose the threshold of a cascade, which gives more solver steps only to images that need them",
        "dsodenet calibrate zoo:digits-s --data digits --steps 2,10",
        (
            MODEL,
            argument("--data", default="digits", metavar="NAME|DIR", help=DATA_HELP),
            argument(
                "--steps",
                type=parse_batches,
                metavar="N,N",
                help="steps of each stage, rising (default: a quarter of the model's, and all)",
            ),
            argument(
                "--accuracy",
                type=float,
                metavar="X",
                help="least accuracy, 0 to 1 (default: that of the last stage, or the best there is)",
            ),
            argument("--cycles", type=float, metavar="N", help="most cycles per image instead, the best accuracy"),
        ),
    ),
    "overlay": Command(
        commands.build_overlay,
        "build the bitstream with Vivado (and Vitis HLS)",
        "dsodenet overlay zoo:digits-xs --kernel rtl --out build/board",
        (
            MODEL,
            argument(
                "--kernel",
                required=True,
                choices=KERNELS,
                help="rtl: the engine, for any model; hls: your own network in fixed logic, after `dsodenet lower`",
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
            FORCE,
            BOARD,
            LANES,
            argument(
                "--clock",
                type=parse_clock,
                metavar="MHZ|auto",
                help="fastest clock that is wanted (default: the spec's); auto: where the spec's is missed, the "
                "fastest of the board's that the build meets",
            ),
            argument(
                "--strategy", default="standard", metavar="NAME", help=f"of the implementation: {', '.join(STRATEGIES)}"
            ),
            argument("--jobs", type=int, default=JOBS, metavar="N", help="how many jobs Vivado may run at once"),
            argument("--debug", action="store_true", help="with a System ILA on the streams and the registers"),
            argument("--ooc", action="store_true", help="rtl: only the engine, out of context, for a first clock"),
            argument(
                "--from",
                dest="built",
                type=Path,
                metavar="FOLDER",
                help="publish what Vivado left in a folder of --inputs-only",
            ),
            argument(
                "--cosim",
                action="store_true",
                help="hls: also simulate the Verilog with one image and two solver steps, in Vitis HLS",
            ),
            argument(
                "--inputs-only",
                action="store_true",
                help="write a folder that stands alone, for a machine that has the tools",
            ),
        ),
    ),
    "selftest": Command(
        commands.test_board,
        "test a board: registers, memory, transfers, errors, known images",
        "dsodenet selftest --board sim",
        (
            argument("--board", default="sim", metavar="B", help=f"sim, {', '.join(BOARDS)}"),
            argument("--overlay", type=Path, metavar="FILE.bit", help="overlay to test, with .hwh and .json beside it"),
            argument(
                "--simulate-with",
                choices=("reference", "rtl"),
                help="what computes on the simulated board instead of the reference: rtl is simulated by Verilator",
            ),
            argument(
                "--wait",
                choices=WAITS,
                default=POLL,
                help="how to wait for the kernel; interrupt also checks that it comes",
            ),
        ),
    ),
    "doctor": Command(
        commands.examine,
        "collect versions, board, clocks and a self-test in one file, to ask for help or to send a result back",
        "dsodenet doctor --json doctor.json",
        (
            argument("--board", default="sim", metavar="B", help=f"sim, {', '.join(BOARDS)}"),
            argument("--overlay", type=Path, metavar="FILE.bit", help="overlay to test, with .hwh and .json beside it"),
        ),
    ),
    "demo": Command(
        commands.run_demo,
        "train on real digits, lower, run on the simulated ZCU104, and prove that every rung agrees",
        "dsodenet demo --epochs 3",
        (
            argument("--out", type=Path, default=Path("build/demo"), metavar="RUN", help="run folder"),
            argument("--epochs", type=int, metavar="N", help="epochs of the float stage, for a quick look"),
        ),
    ),
}
