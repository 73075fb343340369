"""Flip bits of programs of the rtl kernel and see that none hangs it and none is computed wrong. Simulated.

Each program of a seed has 1 to 4 flipped bits, half of the time among its header and passes. A program with an odd
number is sent as it is, so the checksum has to refuse it. An even one gets the checksum that fits, so the checks
behind it have to hold: the program is refused at LOAD or at RUN, or it is computed and its logits are those of
word_model.py. That model does not say what a map with an inconsistent geometry holds; such a program only has to
end. Every hundredth program is followed by the good one, whose logits must be right.

python -m tools.rtl.flips --programs 20000 --journal build/flips.json     goes on where the journal ends
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from dsodenet.command import Values
from dsodenet.contract.registers import COEFF, COEFFS_PER_BLOCK, REGISTERS, Command, Status, coefficient_words
from dsodenet.contract.streams import image_bytes, pack_images
from dsodenet.errors import DeviceError, InputError
from dsodenet.files import atomic_file
from dsodenet.reference import Reference
from dsodenet.rtl import build as rtl
from dsodenet.rtl.builder import program
from dsodenet.rtl.engine import Engine, checksum
from dsodenet.rtl.passes import FIELDS, PASS_BYTES
from dsodenet.runtime.library import REGISTER_WORDS, KernelLibrary
from dsodenet.spec.params import Params
from dsodenet.spec.solvers import tableau
from dsodenet.spec.specification import MAX_BLOCKS
from dsodenet.spec.synthetic import random_images
from dsodenet.text import progress_bar, table
from tests.models import kernel, model, on
from tools import command_line
from tools.rtl.word_model import HEADER_BYTES, WordModel

CHECKSUM = slice(16, 20)  # its bytes in a program
LOAD_CYCLES, RUN_CYCLES = 1 << 16, 1 << 22  # more than any program that is let in takes on these small memories
SAVE_EVERY, CHECK_EVERY = 500, 100
# Fields whose values word_model.py gives a meaning to, whatever the other fields are.
MODELLED = {
    *("block", "source_unsigned", "truncate", "dw_base", "pw_base", "bias_base", "bias_stride"),
    *("dw_shift", "dw_min", "dw_max", "out_shift", "out_min", "out_max", "update_shift", "state_min", "state_max"),
    *("x_shift", "x_shift_last", "x_min", "x_max"),
    *("average_shift", "average_count_last", "average_min", "average_max"),
}
HIGHS = ("dw_max", "out_max", "state_max", "x_max", "average_max")


class Target:
    """A small engine, a model, its program, and what goes with them in registers and streams."""

    def __init__(self, params: Params, engine: Engine, library: KernelLibrary | None = None) -> None:
        self.params, self.engine = params, engine
        self.good = program(params, engine)
        self.library = library or KernelLibrary(rtl.engine_library(engine))
        self.images = random_images(params.spec, 1, 1)
        self.frame = np.zeros(image_bytes(params.spec.network), np.uint8)
        pack_images(self.images, self.frame)
        method = tableau(params.spec.solver.method)
        self.stages, self.n_steps = method.num_stages, list(params.spec.solver.n_steps)
        self.coefficients = np.zeros((MAX_BLOCKS, COEFFS_PER_BLOCK), np.int64)
        for block in range(len(self.n_steps)):
            self.coefficients[block] = coefficient_words(method, params.spec.coefficients(block))
        self.words = np.zeros(REGISTER_WORDS, np.uint32)

    def command(self, command: Command, data: np.ndarray, max_cycles: int) -> tuple[Status, np.ndarray]:
        """DeviceError when it does not end."""
        values = {"COMMAND": command, "FRAMES": 1, "NUM_STAGES": self.stages}
        values |= {f"N_STEPS_{block + 1}": n_steps for block, n_steps in enumerate(self.n_steps)}
        for name, value in values.items():
            self.words[REGISTERS[name].offset // 4] = value
        first = COEFF.offset // 4
        self.words[first : first + self.coefficients.size] = self.coefficients.reshape(-1).astype(np.uint32)
        out = np.zeros(16 * self.engine.logit_words * self.engine.input_lanes, np.uint8)
        written = self.library.command(self.words, data, out, max_cycles)
        return Status(int(self.words[REGISTERS["STATUS"].offset // 4])), out[:written].view("<i4")

    def check_good(self) -> None:
        """DeviceError unless the good program runs right."""
        loaded, _ = self.command(Command.LOAD, np.frombuffer(self.good, np.uint8), LOAD_CYCLES)
        status, out = self.command(Command.RUN, self.frame, RUN_CYCLES)
        (expected,) = Reference(self.params, threads=1).predict(self.images)
        if (loaded, status) != (Status.OK, Status.OK) or not np.array_equal(out[: len(expected)], expected):
            raise DeviceError(f"the good program does not run after a bad one: {loaded.name}, {status.name}")

    def meaning(self, data: bytes, places: list[int]) -> np.ndarray | str:
        """The logits that the words say, or why there are none: an address "outside", or "geometry" not modelled."""
        parsed = WordModel(data, self.engine)
        header = np.frombuffer(data[:HEADER_BYTES], "<u2")
        first = HEADER_BYTES + PASS_BYTES * int(header[10])
        for byte in places:
            if HEADER_BYTES <= byte < first:
                field = (byte - HEADER_BYTES) % PASS_BYTES // 2
                if field >= len(FIELDS) or FIELDS[field] not in MODELLED:
                    return "geometry"
        if any(fields[name] < 0 for fields in parsed.passes for name in HIGHS):
            return "geometry"
        try:
            return parsed.run(self.images[0], self.stages, self.n_steps, self.coefficients)
        except IndexError:
            return "outside"


def targets() -> list[Target]:
    """Small maps, so that what a wrong loop can cost stays small too."""
    result = []
    for lanes, params in (
        ("1x4x8", model("flips", "heun", 2, channels=(5,), height=6, width=7, time="bias", num_classes=5)),
        ("1x4x8", model("flips", "euler", 2, channels=(3, 6), height=6, width=6, in_channels=2, num_classes=3)),
        ("3x4x8", model("flips", "rk4", 1, channels=(4, 6), height=6, width=7, in_channels=1, num_classes=4)),
    ):
        small = {
            "map_words": 128,
            "line_words": 32,
            "max_tiles": 16,
            "dw_words": 64,
            "pw_words": 128,
            "bias_words": 128,
        }
        engine = dataclasses.replace(Engine.of(kernel(lanes)), **small, logit_words=16)
        result.append(Target(on(params, lanes), engine))
    return result


def flipped(good: bytes, rng: random.Random) -> tuple[bytes, list[int]]:
    """(the program with 1 to 4 bits flipped, the bytes that they are in)."""
    passes = HEADER_BYTES + PASS_BYTES * int.from_bytes(good[20:22], "little")
    end = passes if rng.random() < 0.5 else len(good)
    bits = rng.sample(range(8 * end), rng.randint(1, 4))
    data = bytearray(good)
    for bit in bits:
        data[bit // 8] ^= 1 << bit % 8
    return bytes(data), [bit // 8 for bit in bits]


def fitting(data: bytes) -> bytes:
    """The program with the checksum that fits it."""
    blank = bytearray(data)
    blank[CHECKSUM] = bytes(4)
    blank[CHECKSUM] = checksum(bytes(blank)).to_bytes(4, "little")
    return bytes(blank)


def attempt(number: int, seed: int, target: Target) -> str:
    """What became of one program, as a row of the table; DeviceError, with all that repeats it, where it is wrong."""
    data, places = flipped(target.good, random.Random(f"{seed}:{number}"))
    corrected = number % 2 == 0
    data = fitting(data) if corrected else data
    where = f"program {number} of seed {seed} (bytes {places})"
    try:
        status, _ = target.command(Command.LOAD, np.frombuffer(data, np.uint8), LOAD_CYCLES)
        kind = "fitting checksum" if corrected else "as sent"
        if status != Status.OK:
            return f"{kind}: refused at LOAD, {status.name}"
        if not corrected:
            raise DeviceError(f"{where}: let in although its checksum does not fit")
        status, out = target.command(Command.RUN, target.frame, RUN_CYCLES)
    except DeviceError as error:
        raise DeviceError(f"{where}: {error}") from None
    expected = target.meaning(data, places)
    if status != Status.OK:
        if status == Status.WATCHDOG or (not isinstance(expected, str) and status == Status.BAD_PROGRAM):
            raise DeviceError(f"{where}: {status.name}, but its words mean logits")
        return f"{kind}: refused at RUN, {status.name}"
    if isinstance(expected, str):
        if expected == "outside":
            raise DeviceError(f"{where}: computed although an address is outside its memory")
        return f"{kind}: ended, geometry not modelled"
    if not np.array_equal(out, expected):
        raise DeviceError(f"{where}: the logits are not those of its words")
    return f"{kind}: computed as its words say"


def work(args: argparse.Namespace) -> Values:
    state: dict[str, Any] = {"seed": args.seed, "next": 0, "counts": {}}
    if args.journal and args.journal.is_file():
        state = json.loads(args.journal.read_text(encoding="utf-8"))
        if state["seed"] != args.seed:
            raise InputError(f"{args.journal}: is of seed {state['seed']}, but --seed is {args.seed}")
    found, kernels = Counter(state["counts"]), targets()
    if not args.quiet:
        print(f"seed {args.seed}, from program {state['next']}", file=sys.stderr)
    with progress_bar("flips", args.programs - state["next"], args.quiet) as step:
        for number in range(state["next"], args.programs):
            target = kernels[number // 2 % len(kernels)]
            found[attempt(number, args.seed, target)] += 1
            step("")
            if number % CHECK_EVERY == 0:
                target.check_good()
            if args.journal and ((number + 1) % SAVE_EVERY == 0 or number + 1 == args.programs):
                state |= {"next": number + 1, "counts": dict(found)}
                with atomic_file(args.journal) as path:
                    path.write_text(json.dumps(state) + "\n", encoding="utf-8")
    for target in kernels:
        target.check_good()
    counts = dict(sorted(found.items()))
    return Values({"kind": "simulated", "seed": args.seed, "programs": sum(counts.values()), "counts": counts}, text)


def text(result: dict[str, Any]) -> str:
    rows = table(("what became of it", "programs"), [(name, f"{count:,}") for name, count in result["counts"].items()])
    return (
        f"{rows}\n{result['programs']:,} programs of seed {result['seed']}, none hung, none computed wrong (simulated)"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = command_line.parser("tools.rtl.flips", __doc__)
    parser.add_argument("--programs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--journal", type=Path, metavar="FILE", help="keep what is done, and go on from there")
    return command_line.run(parser, work, arguments)


if __name__ == "__main__":
    sys.exit(main())
