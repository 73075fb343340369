"""Train the models of the zoo and write their cards: every figure of a card is computed in the run that writes it.

example: python -m tools.make_zoo digits-xs digits-w4
example: python -m tools.make_zoo cifar10-m --data build/data/cifar10
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dsodenet import __version__
from dsodenet.command import Values
from dsodenet.data import load_dataset
from dsodenet.data.domains import ANGLE
from dsodenet.errors import InputError
from dsodenet.exporting import export
from dsodenet.files import atomic_file, atomic_folder
from dsodenet.outside import read_text
from dsodenet.reference import Reference
from dsodenet.rtl import estimate
from dsodenet.runs import PREFIX, ZOO, Run
from dsodenet.spec import Params, Spec, macs, parameters
from dsodenet.text import table
from dsodenet.training import PRESETS, Options, train
from tools import command_line

CARD = "README.md"
SOURCE = "digits"
DIGITS_NOTE = (
    "Not for anything but trying the tools: digits of 8 x 8 pixels from 43 writers are no measure of handwriting at "
    "large."
)
CIFAR_NOTE = (
    "Data: CIFAR-10 by Krizhevsky, in a copy whose pictures were saved again as JPEG, so that accuracies may differ a "
    "little from those on the original files. The test images were used once, for the figures above."
)
CIFAR_L_NOTE = (
    "This one was made in parts: teacher (100 epochs, batch 512, mixup 0.3, weight decay 0.05, 90.25 %) and float "
    "network (88 epochs) on an NVIDIA H200 in 8 minutes, in bfloat16, then one epoch of 12,800 images with quantisers "
    "on two CPU cores. The float stage ended with its minutes, and more epochs with quantisers are likely to help. "
    + CIFAR_NOTE.replace("used once, for", "used after the float network and at the end, for")
)
CIFAR_M_CONV_NOTE = (
    "This one was made in parts on one core of an AMD EPYC, in four hours: 30 epochs, 9 at a learning rate of 0.004 "
    "(84.92 % in float, 84.29 % in integers), then 38 with mixup 0.2 from 0.01 down, and 4 with quantisers. "
    + CIFAR_NOTE.replace(
        "used once, for the figures above", "used after each part: what was done next was chosen in their sight"
    )
)
SIGNS_NOTE = (
    "Data: the German Traffic Sign Recognition Benchmark (Stallkamp et al., 2012), every third frame of each training "
    "track and all test images, cut out and scaled to 32 x 32 pixels. Two networks with a space-to-depth stem were "
    "measured on the test images before (96.20 and 95.88 % in integers), this one once. Not for anything that moves."
)
USPS_NOTE = (
    "Data: 2,000 training images of MNIST with labels and 1,800 of USPS without, the usual protocol; the test images "
    "of both were used once, for the figures above."
)
PICTURES = (("stem", "space_to_depth_2"), ("norm", "batch_mean_per_evaluation"))


@dataclass(frozen=True)
class Entry:
    """What to train: a ready size with some fields of its parts replaced, and the options of the training."""

    purpose: str
    size: str = "xs"
    network: tuple[tuple[str, Any], ...] = ()
    quantisation: tuple[tuple[str, Any], ...] = ()
    solver: tuple[str, int] = ("euler", 4)
    preset: str = "digits"  # a key of PRESETS
    options: tuple[tuple[str, Any], ...] = ()
    recipe: str = "supervised"
    teachers: tuple[str, ...] = ()  # of the recipe
    target: str | None = None  # the domain to adapt to, by name
    elsewhere: str | None = None  # or what the folder of --target must hold, in words
    data: str | None = None  # what the folder of --data must hold, in words; None: the digits, which need no folder
    note: str = DIGITS_NOTE

    def spec(self, name: str) -> Spec:
        base = Spec.named(self.size)
        changed = replace(
            base,
            name=name,
            network=replace(base.network, **dict(self.network)),
            quantisation=replace(base.quantisation, **dict(self.quantisation)),
            kernel=replace(base.kernel, name="rtl"),  # which runs any model: nothing has to be lowered first
        )
        return changed.with_solver(*self.solver)

    def training_options(self) -> Options:
        return replace(Options(), **PRESETS[self.preset] | dict(self.options))


ENTRIES = {
    "digits-xs": Entry("the model of `make demo`"),
    "digits-s": Entry(
        "a larger map and ten Euler steps", "s", solver=("euler", 10), options=(("epochs", 10), ("qat_epochs", 3))
    ),
    "digits-rk4": Entry(
        "the classic fourth-order method and a bias that depends on time",
        network=(("time", "bias"),),
        solver=("rk4", 2),
    ),
    "digits-w4": Entry("4-bit weights", quantisation=(("weight_bit_width", 4),)),
    "digits-turned": Entry(
        f"adapted from upright digits to digits turned by {ANGLE} degrees, whose labels it never saw",
        recipe="cdan",
        target="digits-rotated",
    ),
    "cifar10-m": Entry(
        "photographs in ten classes, 62 thousand parameters",
        "m",
        network=PICTURES,
        solver=("euler", 2),
        preset="cifar10",
        data="CIFAR-10",
        note=CIFAR_NOTE,
    ),
    "cifar10-m-conv": Entry(
        "photographs in ten classes, surer than cifar10-m: a 3x3 stem on the whole image, 16.7 million products",
        "m",
        network=PICTURES[1:],
        solver=("euler", 2),
        preset="cifar10",
        options=(("epochs", 77), ("mixup", 0.2), ("qat_learning_rate", 6e-4)),
        data="CIFAR-10",
        note=CIFAR_M_CONV_NOTE,
    ),
    "cifar10-s": Entry(
        "photographs in ten classes, 18 thousand parameters",
        "s",
        network=PICTURES,
        solver=("euler", 2),
        preset="cifar10",
        data="CIFAR-10",
        note=CIFAR_NOTE,
    ),
    "cifar10-l": Entry(
        "photographs in ten classes, 231 thousand parameters, taught by a wide ResNet",
        "l",
        network=PICTURES[1:],
        solver=("euler", 4),
        preset="cifar10",
        options=(("epochs", 88), ("teacher_epochs", 100), ("batch_size", 256), ("mixup", 0.2)),
        recipe="kd",
        teachers=("wide_resnet20",),
        data="CIFAR-10",
        note=CIFAR_L_NOTE,
    ),
    "mnist-usps-s": Entry(
        "handwritten digits of USPS, adapted from MNIST: it never saw a label of USPS",
        "s",
        network=(("in_channels", 1), ("height", 16), ("width", 16), ("norm", "batch_mean_per_evaluation")),
        solver=("euler", 2),
        options=(
            *(("epochs", 60), ("qat_epochs", 6), ("learning_rate", 1e-2)),
            *(("train_images", 2000), ("target_images", 1800)),
        ),
        recipe="cdan",
        data="MNIST",
        elsewhere="USPS",
        note=USPS_NOTE,
    ),
    "signs-s": Entry(
        "German traffic signs in 43 classes, 20 thousand parameters",
        "s",
        network=(*PICTURES[1:], ("num_classes", 43)),
        solver=("euler", 2),
        preset="signs",
        options=(("epochs", 90), ("qat_epochs", 8)),
        data="the German traffic signs",
        note=SIGNS_NOTE,
    ),
}


@dataclass(frozen=True)
class Places:
    """Names or folders of the training data and of the domain to adapt to (None: the entry names it)."""

    data: str = SOURCE
    target: str | None = None


def make(name: str, folder: Path = ZOO, places: Places = Places(), trained: Path | None = None) -> Path:
    """Train, export and describe one model; its folder takes the place of an earlier one only when all is done.

    trained: a finished training of this entry, to be taken as it is.
    """
    entry = ENTRIES[name]
    spec = entry.spec(name)
    with tempfile.TemporaryDirectory(prefix="dsodenet-") as scratch, atomic_folder(folder / name) as target:
        run = Path(scratch) if trained is None else trained
        if trained is None:
            images = load_dataset(places.data, spec.network, spec.images)
            where = places.target or entry.target
            domain = None if where is None else load_dataset(where, spec.network, spec.images)
            train(spec, images, run, entry.training_options(), entry.recipe, target=domain, teachers=entry.teachers)
        params = export(run)
        if params.spec.network != spec.network or params.spec.solver != spec.solver:
            raise InputError(f"{run} holds {params.spec.name}, but that is not the network of {name}")
        made = Run(run)
        metrics = json.loads(read_text(made.metrics))
        named = replace(params.spec, name=name, class_names=tuple(metrics["class_names"]))
        replace(params, spec=named).save(target)
        for domain in filter(None, (metrics["data"], metrics["target"])):
            domain.pop("source", None)  # a path of the machine that trained says nothing anywhere else
        (target / made.metrics.name).write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        write_card(name, target, places)
    return folder / name


def write_card(name: str, folder: Path, places: Places = Places()) -> Path:
    """Write the card of a trained model beside it, its figures computed now."""
    params, metrics = Params.load(folder), json.loads(read_text(Run(folder).metrics))
    with atomic_file(folder / CARD) as path:
        text = card(name, params, metrics, integer_accuracies(params, metrics, places))
        path.write_text(text, encoding="utf-8")
    return folder


def integer_accuracies(params: Params, metrics: dict[str, Any], places: Places = Places()) -> dict[str, float]:
    """data set -> share of its test images that the integers classify rightly.

    The data sets are the one that the model was trained on and, where it was adapted, its target.
    """
    result = {}
    for domain, place in ((metrics["data"], places.data), (metrics["target"], places.target)):
        if domain is None:
            continue
        name = domain["name"]
        data = load_dataset(place or name, params.spec.network, params.spec.images)
        result[name] = float(np.mean(Reference(params).predict(data.test_images).argmax(axis=1) == data.test_labels))
    return result


def card(name: str, params: Params, metrics: dict[str, Any], integers: dict[str, float]) -> str:
    """The model card in Markdown. integers: of `integer_accuracies`."""
    spec, cycles = params.spec, estimate(params)
    network, solver, widths = spec.network, spec.solver, spec.quantisation
    lanes = cycles.to_dict()["lanes"]
    numbers = f"w{widths.weight_bit_width}a{widths.act_bit_width}"
    rows: list[tuple[str, str]] = []
    for (data, integer), prefix in zip(integers.items(), ("", "target_")):
        on = f" on {data}" if len(integers) > 1 else ""
        rows += [
            (f"accuracy{on}, float", f"{100 * metrics[f'{prefix}float_accuracy']:.2f} %"),
            (f"accuracy{on}, {numbers} in Brevitas", f"{100 * metrics[f'{prefix}qat_accuracy']:.2f} %"),
            (f"accuracy{on}, integers", f"{100 * integer:.2f} %"),
        ]
    rows += [
        ("parameters", f"{sum(parameters(spec).values()):,}"),
        ("multiply-accumulates per image", f"{sum(macs(spec).values()):,}"),
        (
            f"cycles per image, rtl kernel of {lanes} lanes (estimated; the form equals its simulation)",
            f"{cycles.cycles:,}",
        ),
    ]
    steps = ",".join(map(str, solver.n_steps))
    adapted = (
        ""
        if metrics["target"] is None
        else f" Recipe {metrics['recipe']}, to {metrics['target']['name']}, without its labels."
    )
    where = ENTRIES[name].data or "scikit-learn's digits"
    folder = "" if ENTRIES[name].data is None else " --data DIR"
    folder += "" if ENTRIES[name].elsewhere is None else " --target DIR"
    packages = ", ".join(f"{package} {number}" for package, number in metrics["versions"].items())
    return "\n".join(
        (
            f"# {name}",
            "",
            f"For: {ENTRIES[name].purpose}. `dsodenet run {PREFIX}{name} --backend rtl --input X.npy --output Y.npy`",
            "",
            f"Images: {network.in_channels} x {network.height} x {network.width}, uint8 or float in [0, 1]. Channels "
            f"{'/'.join(map(str, network.channels))}, {solver.method} with n_steps {steps}.",
            "",
            f"Trained and measured on {where}: "
            f"{metrics['data']['train_images']} training images, "
            f"{metrics['data']['test_images']} test images. One training, seed {metrics['options']['seed']}; "
            f"{metrics['options']['epochs']} epochs in float, {metrics['options']['qat_epochs']} quantisation-aware."
            f"{adapted}",
            "",
            "| figure | value |",
            "|---|---|",
            *(f"| {what} | {value} |" for what, value in rows),
            "",
            f"Made by `python -m tools.make_zoo {name}{folder}` with {packages}. "
            f"Fingerprint {params.fingerprint[:16]}.",
            "",
            ENTRIES[name].note,
            "",
        )
    )


def work(args: argparse.Namespace) -> Values:
    if unknown := [name for name in args.names if name not in ENTRIES]:
        raise InputError(f"model is {unknown[0]!r}, but it must be one of {', '.join(ENTRIES)}")
    names = args.names or [name for name, entry in ENTRIES.items() if entry.data is None]
    for name in names:
        if (what := ENTRIES[name].data) is not None and args.data == SOURCE:
            raise InputError(f"{name} is trained on {what}: give its folder by --data")
        if (what := ENTRIES[name].elsewhere) is not None and args.target is None:
            raise InputError(f"{name} is adapted to {what}: give its folder by --target")
    if args.trained is not None and len(names) != 1:
        raise InputError(f"--trained is one run, but {len(names)} models are to be made")
    places, made = Places(args.data, args.target), []
    for name in names:
        if args.cards:
            made.append(write_card(name, args.out / name, places))
        else:
            made.append(make(name, args.out, places, args.trained))
    return Values({path.name: sum(file.stat().st_size for file in path.iterdir()) for path in made}, text)


def text(sizes: dict[str, Any]) -> str:
    return f"dsodenet {__version__}\n{table(('model', 'bytes'), list(sizes.items()))}"


def main(arguments: list[str] | None = None) -> int:
    parser = command_line.parser("tools.make_zoo", __doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(ENTRIES)} (default: all)")
    parser.add_argument(
        "--out", type=Path, default=ZOO, metavar="DIR", help="folder of the zoo (default: the package's)"
    )
    parser.add_argument("--data", default=SOURCE, metavar="DIR", help="folder of the data, for models of other data")
    parser.add_argument("--target", metavar="DIR", help="folder of the domain to adapt to, for models that are")
    parser.add_argument(
        "--trained", type=Path, metavar="RUN", help="take this finished training of the model instead of training it"
    )
    parser.add_argument(
        "--cards", action="store_true", help="train nothing: write the cards of the models that are there anew"
    )
    return command_line.run(parser, work, arguments)


if __name__ == "__main__":
    sys.exit(main())
