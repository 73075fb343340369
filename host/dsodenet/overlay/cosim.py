"""The commands of the hls kernel's co-simulation: one image, and the logits of the integer reference."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dsodenet.contract import (
    ADDRESS_BITS,
    BEAT_BYTES,
    COEFF,
    COEFFS_PER_BLOCK,
    REGISTERS,
    Command,
    bias_program,
    coefficient_words,
    image_bytes,
    pack_images,
    pack_logits,
)
from dsodenet.reference import Reference
from dsodenet.spec import Params, random_images, tableau

COSIM_STEPS = 2  # of each ODE block: a simulation of RTL takes minutes for every step of a small network
SEED = 0
REGISTER_WORDS = (1 << ADDRESS_BITS) // 4


def cosim_text(params: Params) -> str:
    """The file that overlays/zcu104/cosim.cpp reads; the model's own solver with COSIM_STEPS steps."""
    params = params.with_solver(params.spec.solver.method, COSIM_STEPS)
    images = random_images(params.spec, 1, SEED)
    pixels = np.zeros(image_bytes(params.spec.network), np.uint8)
    pack_images(images, pixels)
    commands = [(Command.RUN, pixels.tobytes(), pack_logits(Reference(params).predict(images)))]
    if program := bias_program(params):
        commands.insert(0, (Command.LOAD, program, b""))
    lines = [f"{len(commands):x}"]
    for command, sent, received in commands:
        lines.append(_words(_registers(params, command)))
        for stream in (sent, received):
            lines += [f"{len(stream) // BEAT_BYTES:x}", _words(np.frombuffer(stream, "<u4"))]
    return "\n".join(lines) + "\n"


def _registers(params: Params, command: Command) -> NDArray[np.uint32]:
    method, spec = tableau(params.spec.solver.method), params.spec
    values = np.zeros(REGISTER_WORDS, np.uint32)
    values[REGISTERS["COMMAND"].offset // 4] = command
    values[REGISTERS["FRAMES"].offset // 4] = 1
    values[REGISTERS["NUM_STAGES"].offset // 4] = method.num_stages
    for block, n_steps in enumerate(spec.solver.n_steps):
        values[REGISTERS[f"N_STEPS_{block + 1}"].offset // 4] = n_steps
        start = COEFF.offset // 4 + block * COEFFS_PER_BLOCK
        words = np.array(coefficient_words(method, spec.coefficients(block)), np.int32)
        values[start : start + COEFFS_PER_BLOCK] = words.view(np.uint32)
    return values


def _words(values: Iterable[int]) -> str:
    return " ".join(f"{int(value):x}" for value in values)
