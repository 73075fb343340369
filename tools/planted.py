"""Faults that tools.mutants plants: each is one change of one file, and the tests that must see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Planted:
    """`old`, which stands once in `file`, becomes `new`. tests: words for pytest."""

    name: str
    file: str
    old: str
    new: str
    tests: str


PARAMS = "host/dsodenet/spec/params.py"
SECOND = "tests/test_reference.py tests/docs/test_second_implementation.py"
WIDE = "tests/rtl/test_wide_numbers.py"
CONCURRENT = "tests/hls/test_concurrent_kernel.py"
PUMPED = "tests/rtl/test_engine.py -k 'its_own_clock and 2x4x8'"
PLANTED = (
    Planted(
        "time bias rounded half up",
        PARAMS,
        "return shift_round(mixed, TIME_FRAC_BITS).astype(np.int32)",
        "return ((mixed + (1 << TIME_FRAC_BITS - 1)) >> TIME_FRAC_BITS).astype(np.int32)",
        f"tests/spec/test_params.py {SECOND}",
    ),
    Planted(
        "bound of the update without the state",
        PARAMS,
        "bound = (z.max_abs << (frac_bits - z.frac_bits)) + (",
        "bound = 0 * (z.max_abs << (frac_bits - z.frac_bits)) + (",
        "tests/spec/test_params.py",
    ),
    Planted(
        "rk4 is the 3/8 rule",
        "host/dsodenet/spec/solvers.py",
        '"rk4", 4, ((), _row("1/2"), _row("0 1/2"), _row("0 0 1")), _row("1/6 1/3 1/3 1/6"), _row("0 1/2 1/2 1")',
        '"rk4", 4, ((), _row("1/3"), _row("-1/3 1"), _row("1 -1 1")), _row("1/8 3/8 3/8 1/8"), _row("0 1/3 2/3 1")',
        "tests/spec/test_solvers.py",
    ),
    Planted(
        "depthwise biases clipped to 16 bits",
        "host/dsodenet/rtl/words.py",
        'word[:, 9:] = bias.astype("<i4")',
        'word[:, 9:] = np.clip(bias, -32768, 32767).astype("<i4")',
        f"{WIDE} -k biases_over",
    ),
    Planted(
        "shifts clipped at 16",
        "host/dsodenet/rtl/builder.py",
        "return max(-64, min(63, value))",
        "return max(-16, min(16, value))",
        f"{WIDE} -k 'biases_over or update_shift'",
    ),
    Planted(
        "range of the average's shift unchecked",
        "host/dsodenet/rtl/passes.py",
        '_integer("sum of states to the head\'s format", -15, 22)',
        '_integer("sum of states to the head\'s format", -64, 63)',
        f"{WIDE} -k average",
    ),
    Planted(
        "adder tree: one that a low half lacks",
        "overlays/rtl/pointwise_pair.sv",
        "low[l][c] <= low[l-1][2*c] - ~low[l-1][2*c+1];",
        "low[l][c] <= low[l-1][2*c] + low[l-1][2*c+1];",
        f"{WIDE} -k adder_tree",
    ),
    Planted(
        "adder tree: high halves of one chain only",
        "overlays/rtl/pointwise_pair.sv",
        "high[l][c] <= high[l-1][2*c] + high[l-1][2*c+1];",
        "high[l][c] <= high[l-1][2*c];",
        f"{WIDE} -k adder_tree",
    ),
    Planted(
        "engine rounds half up",
        "overlays/rtl/requantise.sv",
        "carry = !truncate_i && half_q && (below_q || window_q[0] != addend_i[0]);",
        "carry = !truncate_i && half_q;",
        "tests/rtl/test_engine.py -k random",
    ),
    Planted(
        "engine adds eight of nine taps",
        "overlays/rtl/depthwise_lane.sv",
        "rest_q <= 25'(product[8]) + 25'(bias_i);",
        "rest_q <= 25'(bias_i);",
        "tests/rtl/test_engine.py -k random",
    ),
    Planted(
        "average counts one pixel too few",
        "overlays/rtl/average.sv",
        "(Bits'(17'(count_last_i) + 17'd1) << down)",
        "(Bits'(17'(count_last_i)) << down)",
        "tests/rtl/test_engine.py -k random",
    ),
    Planted(
        "hls: a stage's row of a is that of the stage before",
        "hls/ode_block.h",
        "const int before = stage * (stage + 1) / 2;",
        "const int before = stage * (stage - 1) / 2;",
        f"{CONCURRENT} -k 'same_words and odd'",
    ),
    Planted(
        "hls: slopes of earlier stages are lost",
        "hls/ode_block.h",
        "s.k[j][lane] = j == stage ? slope : r.k[j][lane];",
        "s.k[j][lane] = j == stage ? slope : slope_t(0);",
        f"{CONCURRENT} -k 'same_words and odd'",
    ),
    Planted(
        "hls: the stream around f is too shallow",
        "host/dsodenet/hls/reuse.py",
        "return min(held, pixels) * groups",
        "return min(width, pixels) * groups",
        f"{CONCURRENT} -k 'same_words and odd'",
    ),
    Planted(
        "hls: a faulty image gets logits",
        "hls/stream_io.h",
        "found.status = status;",
        "found.status = STATUS_OK;",
        "tests/hls/test_lower.py -k contract",
    ),
    Planted(
        "pixels of a double-pumped array in the other order",
        "overlays/rtl/pumped_activations.sv",
        "act_q[0] <= even_q ? data_i[p][i] : second_q;",
        "act_q[0] <= even_q ? second_q : data_i[p][i];",
        PUMPED,
    ),
    Planted(
        "weights of a double-pumped array change between two pixels",
        "overlays/rtl/pointwise_pair.sv",
        ".load_i(q % 2 == 0 ? odd : even)",
        ".load_i(q % 2 == 0 ? even : odd)",
        PUMPED,
    ),
    Planted(
        "the high half of depthwise sums lacks what the low one borrows",
        "overlays/rtl/depthwise_pair.sv",
        "assign cascade[0] = 48'sd131072;",
        "assign cascade[0] = 48'sd0;",
        PUMPED,
    ),
    Planted(
        "a slice takes one of its two operands with the wrong enable",
        "overlays/rtl/packed_mac.sv",
        ".CED(HOLD && take_i)",
        ".CED(HOLD && load_i)",
        "tests/rtl/test_slices.py",
    ),
    Planted(
        "words of the next map are taken from this one",
        "overlays/rtl/pass_runner.sv",
        "if (far_q == pass_i.map_last) far_other_q <= 1'b1;",
        "",
        "tests/rtl/test_engine.py -k 'random and 3x4x8'",
    ),
    Planted(
        "the first pass runs ahead of its image",
        "overlays/rtl/pass_runner.sv",
        "whole_q <= whole_i || (!start_i && far_q < whole_words_i);",
        "whole_q <= 1'b1;",
        "tests/rtl/test_engine.py -k 'random and 1x4x8'",
    ),
    Planted(
        "a window is filled with words that are not written yet",
        "host/dsodenet/rtl/builder.py",
        "in_time = bool((read > written + 1).all())",
        "in_time = True",
        "tests/rtl/test_capacity.py -k just_in_time",
    ),
    Planted(
        "both pixels of a pair are the first one",
        "overlays/rtl/image_loader.sv",
        "pass_i.pair[0] ? ChunkBits'(pass_i.tail_bytes >> 1) : '0;",
        "'0;",
        PUMPED,
    ),
    Planted(
        "a frame goes on without its image",
        "overlays/rtl/commander.sv",
        "assign cancel_o = state_q == Image && (image_short_i || image_long_i);",
        "assign cancel_o = 1'b0;",
        "tests/rtl/test_rtl_bus.py tests/rtl/test_engine.py -k 'short or long or bus'",
    ),
)
