"""What the words of a program mean: a slow, plain model of the rtl kernel that reads nothing but the program's bytes.

It has no pipeline and no timing. It knows memories, passes and the solver's loop, and shares only the names and
ranges of the fields with the host's builder. Two things are held to it: `builder.py`, because the model of a
program must equal the model of its Params, and the engine, because a program with other words must give what those
words say.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from dsodenet.contract.registers import BEAT_BYTES, COEFFS_PER_BLOCK
from dsodenet.rtl.engine import PW_BEAT_WEIGHTS, Engine
from dsodenet.rtl.passes import FIELDS, KINDS, PASS_BYTES, Pass
from dsodenet.spec import MAX_STAGES
from dsodenet.spec.specification import MAX_BLOCKS

HEADER_BYTES = 3 * BEAT_BYTES
CHUNK_BYTES = 16  # at most, that the image loader writes at once
Ints = NDArray[np.int64]
LOW = {item.name: item.metadata["low"] for item in dataclasses.fields(Pass)}


def requantise(value: Ints, shift: int, truncate: int, low: int, high: int, addend: Ints | int = 0) -> Ints:
    """Q(value / 2**shift + addend), saturated as a binary format: high is 2**n - 1, low is 0 or -2**n."""
    if shift <= 0:
        exact = (value << min(-shift, 20)) + addend
    else:
        shift = min(shift, 40)
        floor, rest, half = value >> shift, value & ((1 << shift) - 1), 1 << (shift - 1)
        exact = floor + addend
        exact = exact + (0 if truncate else (rest > half) | ((rest == half) & (exact & 1 == 1)))
    sign = np.where(exact < 0, -1, 0)
    outside = ((exact ^ sign) & ~high != 0) | ((exact < 0) & (low >= 0))
    return np.where(outside, np.where(exact < 0, low, high), exact)


def signed(value: Ints, bits: int) -> Ints:
    """The lowest bits as a number in two's complement."""
    return ((value + (1 << (bits - 1))) & ((1 << bits) - 1)) - (1 << (bits - 1))


class WordModel:
    """A program and what it computes. passes: by field name."""

    def __init__(self, data: bytes, engine: Engine) -> None:
        self.engine = engine
        header = np.frombuffer(data[:HEADER_BYTES], "<u2")
        counts = [int(count) for count in header[10:14]]
        i, o, length = engine.input_lanes, engine.output_lanes, engine.cascade
        place = -(-(i // length * o) // PW_BEAT_WEIGHTS)  # beats of one place of the cascades
        sizes = (PASS_BYTES, 12 * i, BEAT_BYTES * length * place, 4 * i)
        parts, at = [], HEADER_BYTES
        for count, size in zip(counts, sizes):
            parts.append(np.frombuffer(data[at : at + count * size], np.uint8).reshape(count, size))
            at += count * size
        assert at == len(data)
        fields = parts[0].copy().view("<u2").astype(int)
        self.passes = [
            {name: int(signed(row[k], 16)) if LOW[name] < 0 else int(row[k]) for k, name in enumerate(FIELDS)}
            for row in fields
        ]
        lanes = parts[1].reshape(-1, i, 12)
        self.dw_weight = lanes[:, :, :9].view(np.int8).astype(np.int64)  # (words, lane, tap)
        self.dw_bias = signed(lanes[:, :, 9:].astype(np.int64) @ [1, 1 << 8, 1 << 16], 24)  # (words, lane)
        weights = parts[2].reshape(-1, length, place, BEAT_BYTES)[..., :PW_BEAT_WEIGHTS].reshape(counts[2], length, -1)
        weights = weights[..., : i // length * o].reshape(counts[2], length, i // length, o)
        self.pw_weight = weights.transpose(0, 2, 1, 3).reshape(-1, i, o).view(np.int8).astype(np.int64)
        self.bias = parts[3].copy().view("<i4").astype(np.int64)  # (words, lane)

    # ---- memories: (bank, address, lane)

    def _flat(self, pixel: Ints, words: int) -> tuple[Ints, Ints]:
        """(bank, address of the first word) of pixels that follow each other."""
        return pixel % self.engine.pixel_lanes, pixel // self.engine.pixel_lanes * words

    def _row(self, row: int, x: Ints, row_words: int, rotate: int, words: int) -> tuple[Ints, Ints]:
        """(bank, address) of pixels of a row that begins `row` times (row_words, rotate) after the first one."""
        lanes = self.engine.pixel_lanes
        start = row * rotate
        position = start % lanes + x
        return position % lanes, row * row_words + start // lanes * words + position // lanes * words

    def run(self, image: NDArray[np.uint8], stages: int, n_steps: list[int], coefficients: Ints) -> NDArray[np.int32]:
        """One frame. image: uint8 (channels, height, width); coefficients: (blocks, COEFFS_PER_BLOCK) -> int32 logits,
        whole beats of them."""
        engine = self.engine
        shape = (engine.pixel_lanes, engine.map_words, engine.input_lanes)
        self.maps = [np.zeros(shape, np.int64) for _ in range(2)]
        self.state = np.zeros(shape, np.int64)
        self.slopes = np.zeros((MAX_STAGES - 1, *shape), np.int64)
        self.total = np.zeros((engine.max_tiles, engine.input_lanes), np.int64)
        assert coefficients.shape == (MAX_BLOCKS, COEFFS_PER_BLOCK)
        self.image(image)
        index = source = step = stage = offset = 0
        while True:
            fields = self.passes[index]
            kind = [*KINDS][fields["kind"]]
            last_stage = stage + 1 >= stages
            final = last_stage and step + 1 >= n_steps[fields["block"]]
            row = coefficients[fields["block"]]
            first = stage * (stage + 1) // 2
            row = row[-MAX_STAGES:] if last_stage else row[first : first + stage + 1]
            logits = self.one(fields, kind, source, stage, last_stage, final, offset, row)
            source = 1 - source
            if kind == "logits":
                return logits[: 4 * (self.passes[0]["logit_beats_last"] + 1)].astype(np.int32)
            if kind == "hidden":
                offset += fields["bias_stride"]
            if kind == "slope":
                stage = 0 if last_stage else stage + 1
                step += last_stage
                if final:
                    step = offset = 0
            index = index - fields["loop_passes"] if kind == "slope" and not final else index + 1
            if kind == "slope" and final and fields["accumulate"]:
                self.average(self.passes[index], source)

    def image(self, image: NDArray[np.uint8]) -> None:
        """Put the bytes of the image where the loader puts them."""
        fields, lanes = self.passes[0], self.engine.input_lanes
        chunk = min(CHUNK_BYTES, lanes)
        side = (1 << fields["block_shift"]) - 1
        channels = (fields["chunks_last"] * chunk + fields["tail_bytes"]) // (1 + fields["pair"])
        pixels = image.transpose(1, 2, 0).reshape(fields["image_height_last"] + 1, -1, channels)
        period = min(1 << fields["slot_shift"], chunk)
        for y, x in np.ndindex(*pixels.shape[:2]):
            row = y >> fields["block_shift"]
            (bank,), (address,) = self._row(
                row, np.array([x]), fields["image_row_words"], fields["image_row_rotate"], fields["tiles_last"] + 1
            )
            for part in range(fields["chunks_last"] + 1):
                data = np.zeros(chunk, np.int64)
                taken = pixels[y, x, part * chunk : (part + 1) * chunk]
                data[: len(taken)] = taken
                byte = ((y & side) << fields["slot_shift"]) + part * chunk
                lane = np.arange(lanes)
                chosen = lane if fields["replicate"] else lane[lane // period == byte % lanes // period]
                self.maps[0][bank, address + byte // lanes, chosen] = data[chosen % period]

    def taps(self, fields: dict[str, int], source: int, x: Ints, y: Ints, tile: int) -> Ints:
        """The 3x3 neighbourhood of pixels: (pixels, lane, tap), zero outside the map."""
        result = []
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                inside = (x > 0) if dx < 0 else (x + 1 < fields["width"]) if dx > 0 else np.ones_like(x, bool)
                inside = inside & ((y > 0) if dy < 0 else (y + 1 < fields["height"]) if dy > 0 else True)
                pixel = np.where(inside, (y + dy) * fields["pitch"] + x + dx, 0)
                bank, address = self._flat(pixel, fields["tiles_last"] + 1)
                value = self.maps[source][bank, (address + tile) % self.engine.map_words]
                value = value & 0xFF if fields["source_unsigned"] else signed(value, 8)
                result.append(np.where(inside[:, None], value, 0))
        return np.stack(result, axis=-1)

    def one(
        self,
        fields: dict[str, int],
        kind: str,
        source: int,
        stage: int,
        last_stage: bool,
        final: bool,
        offset: int,
        row: Ints,
    ) -> Ints:
        """Run a pass; the logits, where it makes some. final: the last evaluation; offset: its bias words."""
        engine, truncate = self.engine, fields["truncate"]
        count = (fields["last_group"] - fields["lead_groups"] + 1) * engine.pixel_lanes
        y, x = np.divmod(np.arange(count), fields["pitch"])
        kept = (x < fields["width"]) & (y < fields["height"])
        if fields["stride2"]:
            kept &= (x % 2 == 0) & (y % 2 == 0)
        y, x = y[kept], x[kept]
        inputs, reps = fields["inputs_last"] + 1, fields["reps_last"] + 1
        taps = [self.taps(fields, source, x, y, tile) for tile in range(fields["tiles_last"] + 1)]
        dw = []
        for word in range(inputs):
            at = fields["dw_base"] + word
            total = (taps[word // reps] * self.dw_weight[at]).sum(axis=-1) + self.dw_bias[at]
            dw.append(requantise(total, fields["dw_shift"], truncate, fields["dw_min"], fields["dw_max"]))
        words: list[Ints] = []
        for tile in range(fields["outputs_last"] + 1):
            first = fields["pw_base"] + tile * inputs
            total = sum(dw[word] @ self.pw_weight[first + word] for word in range(inputs))
            leaving = fields["tail_last" if tile == fields["outputs_last"] else "words_last"] + 1
            words += np.split(np.asarray(total), engine.output_lanes // engine.input_lanes, axis=1)[:leaving]
        # Biases may change from evaluation to evaluation.
        base = fields["bias_base"] + (offset if fields["bias_stride"] else 0)
        sums = np.stack([word + self.bias[base + k] for k, word in enumerate(words)], axis=1)  # (pixels, word, lane)
        sums = signed(sums, 32)
        if kind == "logits":
            return sums[0].reshape(-1)
        out = requantise(sums, fields["out_shift"], truncate, fields["out_min"], fields["out_max"])
        if fields["stride2"]:
            places = [
                self._row(int(j) // 2, np.array([i // 2]), fields["dst_row_words"], fields["dst_row_rotate"],
                          fields["row_words"]) for j, i in zip(y, x)
            ]  # fmt: skip
            bank, address = (np.concatenate(part) for part in zip(*places))
        else:
            bank, address = self._flat(y * fields["pitch"] + x, fields["row_words"])
        at = (bank[:, None], address[:, None] + np.arange(len(words)))
        state = out
        if kind == "slope":
            slope = signed(out, 8)
            used = [*self.slopes[:stage][(slice(None), *at)], slope]
            total = sum(signed(np.int64(c), 18) * k for c, k in zip(row, used))
            state = requantise(
                np.asarray(total),
                fields["update_shift"],
                truncate,
                fields["state_min"],
                fields["state_max"],
                self.state[at],
            )
            if stage < MAX_STAGES - 1:
                self.slopes[(stage, *at)] = slope
        if kind == "state" or (kind == "slope" and last_stage):
            self.state[at] = state
        shift = fields["x_shift_last" if final else "x_shift"]
        copy = requantise(state, shift, truncate, fields["x_min"], fields["x_max"])
        self.maps[1 - source][at] = signed(out, 8) if kind == "hidden" else copy
        if fields["accumulate"] and final:
            self.total[:] = 0
            self.total[: len(words)] = state.sum(axis=0)
        return out

    def average(self, fields: dict[str, int], source: int) -> None:
        """Q(sum / count) to the first pixel of the map that the next pass reads."""
        count, shift = fields["average_count_last"] + 1, fields["average_shift"]
        for word in range(fields["tiles_last"] + 1):
            for lane in range(self.engine.input_lanes):
                top = abs(int(self.total[word, lane])) << max(0, -shift)
                bottom = count << max(0, shift)
                negative = self.total[word, lane] < 0
                value, rest = divmod(top, bottom)
                if fields["truncate"]:
                    value += int(negative and rest > 0)
                else:
                    value += int(2 * rest > bottom or (2 * rest == bottom and value & 1))
                value = -value if negative else value
                low, high = fields["average_min"], fields["average_max"]
                self.maps[source][:, word, lane] = high if value > high else low if value < low else value
