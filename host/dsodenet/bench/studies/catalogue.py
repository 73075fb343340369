"""The studies as data: `dsodenet study NAME`.

A study's module is imported when it runs, since most need torch or pynq.
"""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Callable
from pathlib import Path

from dsodenet.command import Answer, Command, argument
from dsodenet.spec import NORMS, TABLEAUS
from dsodenet.training import PRESETS


def _of(module: str) -> Callable[[argparse.Namespace], Answer]:
    """The function `run` of a module of this package."""

    def run(args: argparse.Namespace) -> Answer:
        answer: Answer = importlib.import_module(f"dsodenet.bench.studies.{module}").run(args)
        return answer

    return run


PLOT = argument("--plot", type=Path, metavar="OUT.png", help="picture to write")
STUDIES = {
    "solvers": Command(
        _of("solver_grid"),
        "accuracy of one trained model over solvers and steps: did it solve its equation or learn its steps?",
        "dsodenet study solvers build/my --plot build/solvers.png",
        (
            argument("run", type=Path, metavar="RUN", help="run folder of a trained model"),
            argument("--data", default="digits", metavar="NAME|DIR", help="digits, or a folder of images"),
            argument("--solvers", default=",".join(TABLEAUS), metavar="A,B", help="some of the default"),
            argument("--n-steps", default="1,2,4,8,16,32", metavar="N,N", help="numbers of steps"),
            PLOT,
        ),
    ),
    "gradients": Command(
        _of("gradient_study"),
        "error, memory, time and evaluations of f of the four gradients of an ODE block",
        "dsodenet study gradients --activation softplus --plot build/gradients.png",
        (
            argument("--spec", default="xs", metavar="NAME|FILE", help="spec whose first ODE block is measured"),
            argument("--solver", default="rk4_38", metavar="NAME", help="method; rk4_38 is the one that all know"),
            argument("--activation", default="relu,softplus", metavar="A,B", help="some of the default"),
            argument("--n-steps", default="4,8,16,32,64", metavar="N,N", help="numbers of steps"),
            argument("--batch", type=int, default=8, metavar="N", help="images"),
            argument("--repeats", type=int, default=3, metavar="N", help="runs of which the shortest counts"),
            PLOT,
        ),
    ),
    "adapting": Command(
        _of("adapting_study"),
        "what each method of `dsodenet adapt` buys on another domain, in integers, over several draws of images",
        "dsodenet study adapting zoo:digits-xs --target digits-rotated",
        (
            argument("runs", nargs="+", metavar="RUN", help="exported runs, trainings of one network, or zoo:NAME"),
            argument("--data", default="digits", metavar="NAME|DIR", help="data that they were trained on"),
            argument("--target", required=True, metavar="NAME|DIR", help="data set of the other domain"),
            argument(
                "--methods",
                default="t3a;pseudo;t3a,pseudo;bias;head",
                metavar="A;B,C",
                help="methods, or chains of them, with semicolons between",
            ),
            argument("--images", type=int, default=1000, metavar="N", help="unlabelled images of a draw"),
            argument("--generations", type=int, default=30, metavar="N", help="of `forward`"),
            argument("--seeds", type=int, default=3, metavar="N", help="draws"),
        ),
    ),
    "recipes": Command(
        _of("recipe_study"),
        "what each training recipe buys: accuracy in float and in integers over several seeds",
        "dsodenet study recipes --only distillation,dann --plot build/recipes.png",
        (
            argument(
                "--data", default="digits", metavar="NAME|DIR", help="what is learnt; only digits have rows that adapt"
            ),
            argument(
                "--spec", metavar="NAME|FILE", help="size or spec JSON file (default: xs at 8x8; for other data s)"
            ),
            argument("--teacher", metavar="NAME", help="teacher of the distilled rows (default wide)"),
            argument("--preset", choices=tuple(PRESETS), help="options of training that suit a kind of data"),
            *(
                argument(f"--{name}", type=kind, metavar="N", help=f"in place of the study's own: {words}")
                for name, kind, words in (
                    ("epochs", int, "epochs in float"),
                    ("qat-epochs", int, "epochs quantised"),
                    ("teacher-epochs", int, "epochs of a teacher"),
                    ("learning-rate", float, "peak of the schedule in float"),
                    ("train-images", int, "training images"),
                    ("labels-per-class", int, "images of a class whose label is known"),
                )
            ),
            argument("--full", action="store_true", help="xs at its own size, longer, three target domains (hours)"),
            argument("--seeds", type=int, default=3, metavar="N", help="runs of each row"),
            argument("--only", metavar="A,B", help="groups or recipes, such as distillation,dann"),
            argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes"),
            argument("--out", type=Path, default=Path("build/recipes"), metavar="DIR", help="run folders"),
            argument(
                "--verify", action="store_true", help="instead: an epoch of every recipe on torch, cpu, csim, rtl"
            ),
            PLOT,
        ),
    ),
    "domains": Command(
        _of("domain_study"),
        "adaptation between two data sets, both ways, over several seeds, beside the source alone and target labels",
        "dsodenet study domains data/mnist data/usps --first-images 2000 --second-images 1800",
        (
            argument("first", metavar="NAME|DIR", help="a data set like --data of train"),
            argument("second", metavar="NAME|DIR", help="another with the same classes"),
            argument("--first-images", type=int, default=0, metavar="N", help="training images to draw; 0: all"),
            argument("--second-images", type=int, default=0, metavar="N", help="the same of the second"),
            argument("--spec", default="xs", metavar="NAME|FILE", help="size or spec JSON file"),
            argument(
                "--recipes",
                default="source-only,dann,cdan,joint,target-supervised",
                metavar="A,B",
                help="recipes that adapt, source-only or target-supervised",
            ),
            argument("--seeds", type=int, default=5, metavar="N", help="trainings of each"),
            argument("--epochs", type=int, default=60, metavar="N", help="of the float stage"),
            argument("--qat-epochs", type=int, default=6, metavar="N", help="of the quantised stage"),
            argument(
                "--learning-rate", type=float, default=1e-2, metavar="X", help="peak of the float stage's schedule"
            ),
            argument("--device", default="auto", metavar="NAME", help="auto, cpu or cuda"),
            argument("--out", type=Path, default=Path("build/domains"), metavar="DIR", help="run folders, resumable"),
        ),
    ),
    "anytime": Command(
        _of("anytime_study"),
        "few solver steps: what they cost a network trained for them and one that was not, and what a cascade saves",
        "dsodenet study anytime --data data/mnist --spec s --train-images 20000",
        (
            argument("--data", default="digits", metavar="NAME|DIR", help="a data set like --data of train"),
            argument("--spec", default="xs", metavar="NAME|FILE", help="size or spec JSON file, with 4 steps or more"),
            argument("--cascade", metavar="N,N", help="steps of each stage; default: a quarter, all"),
            argument("--train-images", type=int, default=0, metavar="N", help="training images to draw; 0: all"),
            argument(
                "--calibration-images", type=int, default=200, metavar="N", help="held back to choose the threshold"
            ),
            argument("--seeds", type=int, default=3, metavar="N", help="trainings of each"),
            argument("--epochs", type=int, default=25, metavar="N", help="of the float stage"),
            argument("--qat-epochs", type=int, default=7, metavar="N", help="of the quantised stage"),
            argument("--batch-size", type=int, default=64, metavar="N", help="images of a training step"),
            argument(
                "--learning-rate", type=float, default=2e-2, metavar="X", help="peak of the float stage's schedule"
            ),
            argument("--device", default="auto", metavar="NAME", help="auto, cpu or cuda"),
            argument("--out", type=Path, default=Path("build/anytime"), metavar="DIR", help="run folders, resumable"),
        ),
    ),
    "models": Command(
        _of("models_study"),
        "the zoo's models in one table: accuracy, size, cycles, time of a call, and what others published",
        "dsodenet study models --models cifar10-s,cifar10-m",
        (argument("--models", metavar="A,B", help="some of the zoo's (default: all)"),),
    ),
    "training": Command(
        _of("training_speed"),
        "images per second of a training step: float, and quantised as Brevitas writes it and fused",
        "dsodenet study training --specs s,m",
        (
            argument("--specs", default="xs,s,m", metavar="A,B", help="sizes or spec JSON files"),
            argument("--n-steps", type=int, default=2, metavar="N", help="Euler steps"),
            argument("--batch", type=int, default=128, metavar="N", help="images of a step"),
            argument("--repeats", type=int, default=5, metavar="N", help="steps of which the shortest counts"),
            argument("--device", default="cpu", choices=("cpu", "cuda"), help="cuda: also by CUDA graphs"),
        ),
    ),
    "norms": Command(
        _of("norm_study"),
        "normalisation inside the ODE block: each norm trained, and tested under other steps (arXiv 2004.09222)",
        "dsodenet study norms --norms none,weight --seeds 1",
        (
            argument("--norms", default=",".join(NORMS), metavar="A,B", help="some of the default"),
            argument("--solvers", default="euler", metavar="A,B", help="some of euler,rk4"),
            argument("--spans", default="1,4", metavar="X,X", help="lengths of the time span t1 - t0"),
            argument("--seeds", type=int, default=3, metavar="N", help="trainings of each"),
            argument("--epochs", type=int, default=10, metavar="N", help="epochs of each"),
        ),
    ),
    "host": Command(
        _of("host_study"),
        "the steps of a call outside the kernel, waiting, many calls, and every fault, on the simulated board",
        "dsodenet study host --many 1000",
        (
            argument("--board", default="sim", metavar="sim|zcu104", help="zcu104: measure the steps of a call there"),
            argument("--overlay", type=Path, metavar="FILE.bit", help="of --board zcu104"),
            argument("--repeats", type=int, default=500, metavar="N", help="timed runs of each step at batch 1"),
            argument("--many", type=int, default=10_000, metavar="N", help="calls that must leave nothing behind"),
        ),
    ),
    "ladder": Command(
        _of("ladder_grid"),
        "the bit-exact ladder over a grid of specs, solvers and step counts; saturated words are counted",
        "dsodenet study ladder --cases xs,w4",
        (
            argument("--cases", metavar="A,B", help="some cases instead of all"),
            argument(
                "--concurrent",
                action="store_true",
                help="also the simulation of the hls kernel that runs every process at once, with bounded streams",
            ),
            argument("--seed", type=int, default=0, metavar="N", help="random seed"),
        ),
    ),
    "reference": Command(
        _of("reference_speed"),
        "speed of the integer reference, beside plain sgemm of the same multiply-accumulates",
        "dsodenet study reference --spec l",
        (
            argument("--spec", default="l", metavar="NAME|FILE", help="size or spec JSON file"),
            argument("--batch", type=int, default=16, metavar="N", help="images"),
            argument("--repeats", type=int, default=5, metavar="N", help="runs of which the shortest counts"),
        ),
    ),
}
