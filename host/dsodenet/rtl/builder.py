"""Params -> the program of the rtl kernel, the bytes of a LOAD command.

A program is a header, then passes, depthwise words, pointwise words and bias words. Each word is padded to whole
stream beats. passes.py says what the fields of a pass mean. A dense 3x3 layer and the linear layer use the depthwise
unit with one-hot weights, which pass one tap on.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from dsodenet.contract import beats, fingerprint_words
from dsodenet.errors import SpecError
from dsodenet.rtl.engine import PROGRAM_MAGIC, Engine, checksum
from dsodenet.rtl.layout import Stem, pitch, pitches
from dsodenet.rtl.passes import KINDS, Pass
from dsodenet.rtl.words import Words, matrix_of
from dsodenet.spec import MAX_BLOCKS, Format, Layer, Params, Section, bias_name, sections

TURN_CYCLES = 4  # of the scheduler between two passes
IDLE_TOKENS = 3  # of the pass runner, before the first pixel of a pass whose window is filled
# What two passes must have in common so that the first one can fill the window of the second.
WINDOW_FIELDS = (
    *("width", "height", "pitch", "lead_groups", "last_group", "tiles_last", "map_last"),
    *("fetch_start", "fetch_rotate", "line_rotate", "line_near", "line_far"),
)


class Builder:
    """Collects passes and words; `program` runs it."""

    def __init__(self, params: Params, engine: Engine) -> None:
        self.params, self.engine, self.network = params, engine, params.spec.network
        self.passes: list[Pass] = []
        self.words = Words(params, engine)
        self.pitch = pitches(self.network, engine)
        self.evaluations = [0] * MAX_BLOCKS

    # ---- geometry

    def tiles(self, channels: int) -> int:
        return -(-channels // self.engine.input_lanes)

    def _loops(self, size: tuple[int, int], pitch: int, tiles: int, reps: int, out_channels: int) -> dict[str, int]:
        """Loop ends and window addresses of a pass over a map of `size` whose rows are `pitch` pixels apart."""
        engine, (height, width) = self.engine, size
        p, per_tile = engine.pixel_lanes, engine.output_lanes // engine.input_lanes
        words, outputs, inputs = self.tiles(out_channels), -(-out_channels // engine.output_lanes), tiles * reps
        ahead, rest = divmod(pitch + 1, p)  # the newest pixel of the window is a row and a pixel ahead of its centre
        lead = ahead + (rest > 0)
        groups = -(-((height - 1) * pitch + width) // p)
        _check("map words per lane", -(-height * pitch // p) * tiles, engine.map_words)
        _check("input words of a layer", inputs, engine.max_tiles)
        _check("line buffer words", (pitch // p + 1) * tiles + 1, engine.line_words)
        return {
            "width": width,
            "height": height,
            "pitch": pitch,
            "lead_groups": lead,
            "last_group": lead + groups - 1,
            "tiles_last": tiles - 1,
            "reps_last": reps - 1,
            "inputs_last": inputs - 1,
            "slot_last": max(inputs, min(words, per_tile)) - 1,  # an output tile leaves while the next one is computed
            "outputs_last": outputs - 1,
            "words_last": min(words, per_tile) - 1,
            "tail_last": words - (outputs - 1) * per_tile - 1,
            "row_words": words,
            "fetch_start": -tiles if rest else 0,
            "fetch_rotate": rest,
            "map_last": groups * tiles - 1,
            "line_rotate": pitch % p,
            "line_near": pitch // p * tiles,
            "line_far": (pitch // p + 1) * tiles,
        }

    def _wait(self, item: Pass, fills: bool = False) -> int:
        """Cycles after the last token of a pass before the next one may begin, its last results still on their way.

        Its first token comes TURN_CYCLES + 1 after the last one and reads the first word of the map that is being
        written, a later one per cycle; results are written in the same order, one per cycle or slower, the last one
        drain_cycles after the last token. So the last of `written` words is the one to look at: TURN_CYCLES + wait +
        written > drain_cycles, and none is read too early. A tile must also have left before the next pass changes
        formats. Where the pass fills the next one's window, reading goes on after IDLE_TOKENS, with what is not in it.
        """
        engine, words = self.engine, item.row_words
        stride = 1 + item.stride2
        pixels = -(-item.height // stride) * -(-item.width // stride)
        # With stride 2, the last result may complete two groups of the map.
        groups = pixels // engine.pixel_lanes - (engine.pixel_lanes > 1)
        written = max(0, groups) * words
        if fills:
            written += IDLE_TOKENS - item.lead_groups * (item.tiles_last + 1)
        tile_words = engine.output_lanes // engine.input_lanes
        return max(0, engine.drain_cycles - TURN_CYCLES - written + 1, tile_words - TURN_CYCLES)

    def _fills(self, number: int) -> bool:
        """Whether a pass fills the window of what follows it: the same window, written in time, and sooner done."""
        item = self.passes[number]
        followers = []
        if item.kind_name == "slope":
            followers.append(self.passes[number - item.loop_passes])
        if not item.accumulate and number + 1 < len(self.passes):
            followers.append(self.passes[number + 1])
        if item.stride2 or not followers:
            return False
        if any(getattr(item, name) != getattr(other, name) for other in followers for name in WINDOW_FIELDS):
            return False
        lead, tiles = item.lead_groups, item.tiles_last + 1
        times = token_times(item, self.engine)
        if len(times) <= lead:
            return False
        per_tile = self.engine.output_lanes // self.engine.input_lanes
        group, word = np.divmod(np.arange(lead * tiles), tiles)
        read = times[len(times) - 1 - lead + group] + word * (item.reps_last + 1)
        written = times[group] + word // per_tile * (item.slot_last + 1) + item.inputs_last + self.engine.drain_cycles
        in_time = bool((read > written + 1).all())
        return in_time and self._wait(item, True) + IDLE_TOKENS < self._wait(item) + lead * tiles

    def _link(self) -> None:
        """Fields that depend on the pass that follows."""
        for number, item in enumerate(self.passes):
            fills = self._fills(number)
            self.passes[number] = dataclasses.replace(item, fills=int(fills), wait_cycles=self._wait(item, fills))

    # ---- passes

    def _append(self, kind: str, block: int, *parts: dict[str, int]) -> None:
        """Add a pass with these fields."""
        truncate = int(self.params.spec.quantisation.rounding == "TRN")
        fields = {name: value for part in parts for name, value in part.items()}
        self.passes.append(Pass(kind=[*KINDS].index(kind), block=block, truncate=truncate, **fields))

    def _out(self, layer: Layer) -> dict[str, int]:
        """Requantisation of a pointwise layer."""
        fmt = self.params.formats[layer.dest]
        return _requantise("out", self.params.accumulator_frac_bits(layer), fmt)

    def _copy(self, block: int, last: str | None) -> dict[str, int]:
        """The 8-bit copy of z for f, and the one after the last evaluation for `last`."""
        formats = self.params.formats
        z, x = formats[f"z{block + 1}"].frac_bits, formats[f"f{block + 1}.x"]
        final = formats[last] if last else x
        return _requantise("x", z, x) | {"x_shift_last": _shift(z - final.frac_bits)}

    def stem(self, section: Section) -> None:
        """The image passes the depthwise unit as value - 128 (a signed byte).

        The bias of the pointwise layer makes up for it.
        """
        stem, layer, network = Stem(self.network, self.engine), section.layers[0], self.network
        bases = self.words.bases()
        tap, channel, window, used = stem.lanes()
        one_hot = (np.minimum(window, 8)[..., None] == np.arange(9)).astype(np.int8)
        self.words.add_dw(one_hot.reshape(-1, 9), np.full(one_hot.shape[0] * one_hot.shape[1], -128, np.int32))
        weight = self.params.arrays[f"{layer.name}.weight"]
        flat = weight.transpose(2, 3, 1, 0).reshape(-1, network.in_channels, layer.out_channels)
        taps, channels = np.where(used, tap, 0), np.where(used, channel, 0)
        matrix = flat[taps, channels] * used[..., None].astype(np.int8)
        bias = self.params.arrays[bias_name(layer)] + 128 * weight.astype(np.int32).sum(axis=(1, 2, 3))
        self.words.pointwise(matrix.reshape(-1, layer.out_channels), bias[None].astype(np.int32))

        _, height, width = network.image_shape
        image_beats = beats(network.in_channels * height * width)
        _check("image beats", image_beats, 1 << 16)
        chunks = -(-stem.pixel_bytes // stem.chunk)
        together = 1 + stem.pair
        rows, rotate = divmod(self.pitch[0], self.engine.pixel_lanes)
        image = {
            "image_beats_last": image_beats - 1,
            "image_width_last": width // stem.block // together - 1,
            "image_height_last": height - 1,
            "image_row_words": rows * stem.tiles,
            "image_row_rotate": rotate,
            "block_shift": stem.block.bit_length() - 1,
            "slot_shift": stem.slot.bit_length() - 1,
            "replicate": int(stem.block == 1 and stem.slot <= stem.chunk),
            "chunks_last": chunks - 1,
            "pair": int(stem.pair),
            "tail_bytes": together * stem.pixel_bytes - (chunks - 1) * stem.chunk,
            "logit_beats_last": beats(4 * network.num_classes) - 1,
        }
        loops = self._loops(network.map_size(0), self.pitch[0], stem.tiles, stem.reps, layer.out_channels)
        unsigned = {"source_unsigned": 1} | _identity()
        self._to_state(section, 0, loops, bases, unsigned, image)

    def f(self, section: Section) -> None:
        block, params = section.block, self.params
        table = params.bias_table(params.spec, section)
        if section.biased.timed:
            self.evaluations[block] = len(table)
        last_block = block == len(self.network.channels) - 1
        z, k, _ = params.update_formats(block)
        update = {
            "update_shift": _shift(k.frac_bits + params.spec.quantisation.coeff_frac_bits - z.frac_bits),
            "state_min": z.min_int,
            "state_max": z.max_int,
            "accumulate": int(last_block),
            "loop_passes": len(section.passes) - 1,
        } | self._copy(block, None if last_block else f"down{block + 1}.x")
        for dw, pw in section.passes:
            bases = self.words.bases()
            front = self._front(dw, pw)
            bias = params.arrays[bias_name(pw)][None] if not pw.timed else table
            self.words.pointwise(matrix_of(params, pw, self.engine), bias)
            timed = {"bias_stride": self.tiles(pw.out_channels) if pw.timed else 0}
            loops = self._loops(pw.in_size, self.pitch[block], self.tiles(pw.in_channels), 1, pw.out_channels)
            last = pw is section.layers[-1]
            self._append(
                "slope" if last else "hidden", block, loops, bases, timed, front, self._out(pw), update if last else {}
            )

    def _front(self, layer: Layer | None, pw: Layer) -> dict[str, int]:
        """The depthwise half of a pass: the layer in front of `pw`, or weights that pass its input on."""
        if layer is None:
            self.words.add_identity(self.tiles(pw.in_channels))
            return _identity()
        self.words.depthwise(layer)
        unsigned = not self.params.formats[layer.source].signed
        return _requantise("dw", self.params.accumulator_frac_bits(layer), self.params.formats[layer.dest]) | {
            "source_unsigned": int(unsigned)
        }

    def _to_state(self, section: Section, block: int, *first: dict[str, int]) -> None:
        """Append the pass with these fields that ends at the last layer of stem or down.

        At low rank it ends at the map of the first factor, and a pass of the second one follows.
        """
        layer, last = next(layer for layer in section.layers if not layer.depthwise), section.layers[-1]
        if layer is not last:
            self._append("hidden", block, *first, self._out(layer))
            bases = self.words.bases()
            self.words.add_identity(self.tiles(last.in_channels))
            self.words.pointwise(matrix_of(self.params, last, self.engine), self.params.arrays[bias_name(last)][None])
            loops = self._loops(last.in_size, self.pitch[block], self.tiles(last.in_channels), 1, last.out_channels)
            first = loops, bases, _identity()
        self._append("state", block, *first, self._out(last), self._copy(block, None))

    def down(self, section: Section) -> None:
        block, (dw, pw) = section.block, section.layers[:2]
        bases = self.words.bases()
        front = self._front(dw, pw)
        self.words.pointwise(matrix_of(self.params, pw, self.engine), self.params.arrays[bias_name(pw)][None])
        loops = self._loops(dw.in_size, self.pitch[block], self.tiles(dw.in_channels), 1, pw.out_channels)
        rows, rotate = divmod(self.pitch[block + 1], self.engine.pixel_lanes)
        target = {"stride2": 1, "dst_row_words": rows * loops["row_words"], "dst_row_rotate": rotate}
        self._to_state(section, block + 1, loops, bases, front, target)

    def head(self, section: Section) -> None:
        layer, params = section.layers[0], self.params
        tiles = self.tiles(layer.in_channels)
        bases = self.words.bases()
        self.words.add_identity(tiles)
        self.words.pointwise(matrix_of(params, layer, self.engine), params.arrays[bias_name(layer)][None])
        _check("logit words", self.tiles(layer.out_channels), self.engine.logit_words)
        z, x = params.formats[f"z{section.block + 1}"], params.formats["head.x"]
        height, width = self.network.map_size(section.block)
        average = {
            "average_shift": z.frac_bits - x.frac_bits,
            "average_count_last": height * width - 1,
            "average_min": x.min_int,
            "average_max": x.max_int,
        }
        loops = self._loops((1, 1), pitch(1, tiles, self.engine), tiles, 1, layer.out_channels)
        self._append("logits", section.block, loops, bases, _identity(), average)

    def build(self) -> bytes:
        for section in sections(self.network):
            {"stem": self.stem, "f": self.f, "down": self.down, "head": self.head}[section.kind](section)
        self._link()
        engine = self.engine
        passes = np.array([item.words() for item in self.passes], "<u2")
        parts = [
            passes.view(np.uint8),
            *(np.concatenate(words) for words in (self.words.dw, self.words.pw, self.words.bias)),
        ]
        for what, part, limit in zip(
            ("passes", "depthwise weight words", "pointwise weight words", "bias words"),
            parts,
            (engine.max_passes, engine.dw_words, engine.pw_words, engine.bias_words),
        ):
            _check(what, len(part), limit)
        body = b"".join(part.tobytes() for part in parts)
        header = np.zeros(12, "<u4")
        header[:4] = PROGRAM_MAGIC, engine.lanes_word, *fingerprint_words(self.params.model_fingerprint)
        header[5:].view("<u2")[:5] = *(len(part) for part in parts), len(self.network.channels)
        header[8:].view("<u2")[:MAX_BLOCKS] = self.evaluations
        header[4] = checksum(header.tobytes() + body)
        return header.tobytes() + body


def active_groups(item: Pass, engine: Engine) -> NDArray[np.bool_]:
    """(groups,): those of a pass that have a pixel whose result is kept; the others only move the window on."""
    groups = item.last_group - item.lead_groups + 1
    y, x = np.divmod(np.arange(groups * engine.pixel_lanes), item.pitch)
    kept = (x < item.width) & (y < item.height)
    if item.stride2:
        kept &= (x % 2 == 0) & (y % 2 == 0)
    return np.asarray(kept.reshape(groups, -1).any(axis=1))


def token_times(item: Pass, engine: Engine) -> NDArray[np.int64]:
    """(groups + 1,): cycles from the first token of the first pixel group to that of each, and to the end.

    The lead-in is not counted.
    """
    inputs, outputs, slot = item.inputs_last + 1, item.outputs_last + 1, item.slot_last + 1
    cycles = np.where(active_groups(item, engine), outputs * slot, inputs)
    return np.concatenate(([0], np.cumsum(cycles)))


def program(params: Params, engine: Engine) -> bytes:
    """The bytes of the LOAD command; SpecError when the model does not fit the engine."""
    return Builder(params, engine).build()


def _check(what: str, value: int, limit: int) -> None:
    if value > limit:
        raise SpecError(f"the rtl kernel has {limit} {what}, but this model needs {value}")


def _shift(value: int) -> int:
    """A shift to the right as the engine takes it, in seven bits.

    Beyond them only zero does not saturate, or all is rounded away.
    """
    return max(-64, min(63, value))


def _requantise(prefix: str, frac_bits: int, fmt: Format) -> dict[str, int]:
    """Shift and range that take integers with `frac_bits` fraction bits to `fmt`."""
    values = {"shift": _shift(frac_bits - fmt.frac_bits), "min": fmt.min_int, "max": fmt.max_int}
    return {f"{prefix}_{key}": value for key, value in values.items()}


def _identity() -> dict[str, int]:
    """The depthwise unit passes a byte on."""
    return {"dw_shift": 0, "dw_min": -128, "dw_max": 127}
