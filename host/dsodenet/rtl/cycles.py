"""Clock cycles of the rtl kernel, from the passes of a program alone: a closed form that equals the simulation.

Every pass is a static schedule: a lead-in that fills the line buffers, unless the pass before it did, then for each
pixel group its output tiles times its input words, then the time that the last result takes to leave. The first pass
follows the image as it comes in. `dsodenet estimate l --lanes 1x32x64` prints it.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from dsodenet.contract import DEVICE, ZCU104, Board
from dsodenet.rtl.builder import IDLE_TOKENS, TURN_CYCLES, Builder, active_groups, token_times
from dsodenet.rtl.engine import Engine
from dsodenet.rtl.passes import Pass
from dsodenet.spec import SIZES, Params, Spec, lanes_text, macs, random_params, sections, tableau
from dsodenet.text import html_table

DEVICE_MACS = 2 * DEVICE["DSP"]  # per cycle: two 8-bit products in each DSP48E2 of the XCZU7EV
AVERAGE_CYCLES = 13  # of average.sv, per word of channels
AVERAGE_EXTRA = 5
FRAME_CYCLES = 6  # states of commander and scheduler per frame, first logits
WORD_CYCLES = 4  # from the start of an image to the earliest fetch of a word, beside the chunks up to its last one
IMAGE_CYCLES = 3  # the same for whatever is left when the last chunk of the image is taken
COMMAND_CYCLES = 1


@dataclass(frozen=True)
class SectionCycles:
    """One section of the network, all its evaluations."""

    name: str
    cycles: int
    busy: int  # of them, the pointwise array has work
    macs: int  # pointwise multiply-accumulates that the model needs


@dataclass(frozen=True)
class Estimate:
    """One image on one engine, without stalls of the streams."""

    spec: Spec
    engine: Engine
    sections: tuple[SectionCycles, ...]
    other: int  # logits out, control
    macs: int  # all multiply-accumulates of the model, depthwise included
    board: Board = ZCU104

    @property
    def cycles(self) -> int:
        return sum(section.cycles for section in self.sections) + self.other

    @property
    def peak_macs(self) -> int:
        """Multiply-accumulates per cycle of the pointwise array."""
        return self.engine.pixel_lanes * self.engine.input_lanes * self.engine.output_lanes

    @property
    def occupancy(self) -> float:
        """Share of the cycles in the ODE blocks in which the pointwise array has work."""
        blocks = [section for section in self.sections if section.name.startswith("f")]
        return sum(section.busy for section in blocks) / sum(section.cycles for section in blocks)

    @property
    def macs_per_cycle(self) -> float:
        return self.macs / self.cycles

    @property
    def share_of_own_peak(self) -> float:
        """Multiply-accumulates that the pointwise array did, of what it could have done.

        Depthwise ones run beside it.
        """
        return sum(section.macs for section in self.sections) / self.cycles / self.peak_macs

    @property
    def device_macs(self) -> int:
        """Per cycle: two 8-bit products in each DSP48E2."""
        return 2 * self.board.device["DSP"]

    @property
    def clock_mhz(self) -> float:
        """What the board makes of the clock that the spec wants."""
        return self.board.clock(self.spec.kernel.clock_mhz).mhz

    def command_cycles(self, frames: int) -> int:
        """The register CYCLES after a RUN of this many frames."""
        return COMMAND_CYCLES + frames * self.cycles

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `kind` says where the figures come from."""
        clock = self.clock_mhz
        return {
            "kind": "estimated",
            "model": self.spec.name,
            "lanes": lanes_text(self.engine),
            "cycles": self.cycles,
            "assumed_clock_mhz": clock,
            "latency_us": self.cycles / clock,
            "macs": self.macs,
            "macs_per_cycle": self.macs_per_cycle,
            "share_of_own_peak": self.share_of_own_peak,
            "share_of_device": self.macs_per_cycle / self.device_macs,
            "board": self.board.name,
            "occupancy_in_ode_blocks": self.occupancy,
            "sections": {s.name: {"cycles": s.cycles, "busy": s.busy, "pointwise_macs": s.macs} for s in self.sections},
            "other_cycles": self.other,
        }

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        lanes = lanes_text(self.engine)
        return f"<Estimate of {self.spec.name}: {self.cycles:,} cycles an image on {lanes} lanes>"

    def _repr_html_(self) -> str:
        rows = [
            (section.name, f"{section.cycles:,}", f"{section.cycles / self.cycles:.1%}") for section in self.sections
        ]
        rows += [("in and out", f"{self.other:,}", f"{self.other / self.cycles:.1%}")]
        return html_table(("section", "cycles", "share"), rows, repr(self).strip("<>"))

    def table(self) -> str:
        """Where the cycles of an image go."""
        lines = [f"{'section':10}{'cycles':>10}{'share':>8}{'array busy':>12}{'MAC/cycle':>11}"]
        for section in self.sections:
            share, busy = section.cycles / self.cycles, section.busy / section.cycles
            lines.append(
                f"{section.name:10}{section.cycles:10,}{share:8.1%}{busy:12.1%}{section.macs / section.cycles:11,.0f}"
            )
        lines.append(f"{'in and out':10}{self.other:10,}{self.other / self.cycles:8.1%}")
        clock = self.clock_mhz
        own, device = self.share_of_own_peak, self.macs_per_cycle / self.device_macs
        lines.append(f"{'image':10}{self.cycles:10,}  {self.cycles / clock:,.1f} µs at an assumed {clock:g} MHz")
        lines.append(
            f"{self.macs_per_cycle:,.0f} MAC/cycle with depthwise, {device:.1%} of the device's {self.device_macs:,}"
        )
        lines.append(
            f"pointwise array: {own:.1%} of its {self.peak_macs:,} MAC/cycle over the image, "
            f"busy {self.occupancy:.1%} of the ODE blocks"
        )
        return "\n".join(lines)


def busy_cycles(item: Pass, engine: Engine) -> int:
    """Cycles in which the pointwise array has work."""
    return int(active_groups(item, engine).sum()) * (item.outputs_last + 1) * (item.inputs_last + 1)


def pass_cycles(item: Pass, engine: Engine, continues: bool) -> int:
    """Cycles from one pass to the next. continues: its window has been filled."""
    lead = IDLE_TOKENS if continues else item.lead_groups * (item.inputs_last + 1)
    drain = engine.drain_cycles if item.kind_name == "logits" else item.wait_cycles
    return lead + int(token_times(item, engine)[-1]) + drain + TURN_CYCLES


def passes_cycles(items: list[Pass], before: Pass, engine: Engine) -> int:
    """Cycles of passes that follow each other, the first of them the pass `before`."""
    return sum(pass_cycles(item, engine, bool(last.fills)) for last, item in zip((before, *items), items))


def image_cycles(item: Pass, engine: Engine) -> int:
    """Cycles from the start of an image to the last token of the pass that reads it.

    The loader takes a chunk in each cycle. After a fetch the pass stands still until the next word is whole: a row of
    blocks, or a pixel group of its last image row.
    """
    tiles, lanes, rows = item.tiles_last + 1, engine.pixel_lanes, 1 << item.block_shift
    height, width, chunks = item.image_height_last + 1, item.image_width_last + 1, item.chunks_last + 1
    together = 1 + item.pair
    y, x = np.divmod(np.arange(height // rows * width * together), width * together)  # pixels of the map
    taken = ((y * rows + rows - 1) * width + x // together + 1) * chunks  # chunks up to its last one
    times = token_times(item, engine)
    groups = len(times) - 1
    group_taken = np.zeros(groups, np.int64)
    np.maximum.at(group_taken, (y * item.pitch + x) // lanes, taken)
    last = height * width * chunks
    whole = np.minimum(np.maximum.accumulate(group_taken) + WORD_CYCLES, last + IMAGE_CYCLES)
    ready = np.zeros((item.lead_groups + groups) * tiles, np.int64)  # the last words are of the next map
    ready[: groups * tiles] = np.repeat(whole, tiles)
    # Tokens from each fetch to the next one.
    lengths = np.concatenate((np.full(item.lead_groups, item.inputs_last + 1), np.diff(times)))
    tokens = np.full((len(lengths), tiles), item.reps_last + 1)
    tokens[:, -1] = lengths - (tiles - 1) * (item.reps_last + 1)
    after = np.cumsum(tokens)
    before = np.concatenate(([0], after[:-1]))
    wait = np.concatenate(([0], tokens.reshape(-1)[:-1] - 1))
    return int((ready + wait - before).max() + after[-1])


def estimate(params: Params, engine: Engine | None = None) -> Estimate:
    """Cycles of one image for this model and solver; the engine is that of the spec by default."""
    spec = params.spec
    engine = engine or Engine.of(spec.kernel)
    builder = Builder(params, engine)
    builder.build()
    passes = iter(builder.passes)
    stages = tableau(spec.solver.method).num_stages
    rows = []
    before: Pass | None = None
    for section in sections(spec.network):
        found = [next(passes) for _ in section.passes]
        times = spec.solver.n_steps[section.block] * stages if section.kind == "f" else 1
        if before is None:
            cycles = image_cycles(found[0], engine) + found[0].wait_cycles + TURN_CYCLES
            cycles += passes_cycles(found[1:], found[0], engine)
        elif section.kind == "head":
            # The average waits for the last result of the pass before it. No window is filled across it.
            cycles = engine.drain_cycles - before.wait_cycles
            cycles += AVERAGE_CYCLES * (found[0].tiles_last + 1) + AVERAGE_EXTRA
            cycles += pass_cycles(found[0], engine, False)
        else:  # the first evaluation follows another section, each later one itself
            cycles = passes_cycles(found, before, engine) + (times - 1) * passes_cycles(found, found[-1], engine)
        before = found[-1]
        busy = sum(busy_cycles(item, engine) for item in found)
        products = sum(layer.macs for layer in section.layers if not layer.depthwise)
        rows.append(SectionCycles(section.name, cycles, busy * times, products * times))
    other = builder.passes[0].logit_beats_last + 1 + FRAME_CYCLES
    return Estimate(spec, engine, tuple(rows), other, sum(macs(spec).values()))


def of_spec(spec: Spec, board: Board = ZCU104) -> Estimate:
    """Before there is a model: the cycles do not depend on its weights."""
    found = estimate(_any_params(dataclasses.replace(spec, kernel=SIZES["xs"].kernel)), Engine.of(spec.kernel, board))
    return dataclasses.replace(found, spec=spec, board=board)


@functools.lru_cache(maxsize=2)
def _any_params(spec: Spec) -> Params:
    """One model for all the engines that it may be asked about."""
    return random_params(spec, 0)
