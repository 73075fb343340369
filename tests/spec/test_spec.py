"""The spec: JSON both ways, errors in words for everything odd, and a fingerprint that tells specs apart."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from fractions import Fraction
from pathlib import Path

import pytest

from dsodenet.errors import DsodenetError, SpecError
from dsodenet.spec.layers import IMAGE_FORMAT, all_layers, macs, parameters, sections, tensor_widths
from dsodenet.spec.params import Params
from dsodenet.spec.solvers import TABLEAUS
from dsodenet.spec.specification import LATER_KERNEL_KEYS, LATER_KEYS, SIZES, LowRank, Spec


def edited(path: str, value) -> dict:
    """xs as decoded JSON with one entry replaced."""
    data = json.loads(Spec.named("xs").to_json())
    *parents, key = path.split(".")
    node = data
    for parent in parents:
        node = node[parent]
    node[key] = value
    return data


def test_the_kernels_of_the_ready_sizes():
    """(channels of the first block, image, steps, kernel, lanes and clock), which documents and boards start from."""
    found = {
        name: (
            *(spec.network.channels[0], spec.network.image_shape, spec.solver.n_steps, spec.kernel.name),
            (spec.kernel.pixel_lanes, spec.kernel.input_lanes, spec.kernel.output_lanes, spec.kernel.clock_mhz),
        )
        for name, spec in SIZES.items()
    }
    assert found == {
        "xs": (8, (1, 16, 16), (4, 4, 4), "hls", (1, 4, 8, 187.5)),
        "s": (16, (3, 32, 32), (10, 10, 10), "hls", (1, 32, 64, 187.5)),
        "m": (32, (3, 32, 32), (10, 10, 10), "hls", (1, 32, 64, 187.5)),
        "l": (64, (3, 32, 32), (10, 10, 10), "hls", (1, 32, 64, 187.5)),
    }


def test_nothing_of_a_spec_changes_behind_a_fingerprint():
    spec = Spec.named("xs")
    parts = [spec, *(getattr(spec, field.name) for field in dataclasses.fields(spec))]
    parts += [LowRank("f1.pw1", 2), IMAGE_FORMAT, TABLEAUS["rk4"], all_layers(spec.network)[0]]
    for part in filter(dataclasses.is_dataclass, parts):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, dataclasses.fields(part)[0].name, None)


@pytest.mark.parametrize("size", SIZES)
def test_json_both_ways(size, tmp_path):
    spec = Spec.named(size)
    assert Spec.from_json(spec.to_json()) == spec
    assert Spec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    file = tmp_path / "spec.json"
    file.write_text(spec.to_json(), encoding="utf-8")
    assert Spec.load(file) == Spec.load(size) == spec


def test_the_ready_sizes():
    assert {name: spec.network.channels for name, spec in SIZES.items()} == {
        "xs": (8, 16, 32),
        "s": (16, 32, 64),
        "m": (32, 64, 128),
        "l": (64, 128, 256),
    }
    assert Spec.named("xs").network.image_shape == (1, 16, 16)
    large = Spec.named("l")
    assert large.network.image_shape == (3, 32, 32)
    # 27.2 million per evaluation of the three f, 279 million in all, as DESIGN says of l with Euler and ten steps.
    assert sum(macs(large)[f"f{i}"] for i in (1, 2, 3)) == 10 * 2 * sum(
        side * side * (9 * c + c * c) for side, c in ((32, 64), (16, 128), (8, 256))
    )
    assert 278e6 < sum(macs(large).values()) < 280e6


def test_one_step_count_may_stand_for_all_blocks():
    assert Spec.from_dict(edited("solver.n_steps", 7)).solver.n_steps == (7, 7, 7)


def test_whole_numbers_are_taken_for_numbers():
    assert Spec.from_dict(edited("kernel.clock_mhz", 100)).kernel.clock_mhz == 100.0


ODD_VALUES = [
    ("name", "", "name is ''"),
    ("name", "a b", "name is 'a b'"),
    ("name", "../x", "name is '../x'"),
    ("name", "x" * 65, "1 to 64 letters"),
    ("name", 3, "name is 3, but it must be a string"),
    ("network", [], "spec.network is [], but it must be an object|network is [], but it must be an object"),
    ("network.in_channels", 0, "network.in_channels is 0, but it must be 1 to 64"),
    ("network.in_channels", 1.0, "network.in_channels is 1.0, but it must be a whole number"),
    ("network.in_channels", True, "network.in_channels is True, but it must be a whole number"),
    ("network.height", 3, "network.height is 3"),
    ("network.width", 257, "network.width is 257, but it must be 4 to 256"),
    ("network.channels", [], "number of network.channels is 0, but it must be 1 to 3"),
    ("network.channels", [1, 2, 3, 4], "number of network.channels is 4"),
    ("network.channels", [8, 0, 8], "network.channels is 0, but it must be 1 to 1024"),
    ("network.channels", [8, "16", 8], "network.channels is '16', but it must be a whole number"),
    ("network.channels", 8, "network.channels is 8, but it must be a list of whole numbers"),
    ("network.num_classes", 1, "network.num_classes is 1"),
    ("network.stem", "conv7x7", "network.stem is 'conv7x7', but it must be one of conv3x3, space_to_depth_2"),
    (
        "network.norm",
        "instance",
        "network.norm is 'instance', but it must be one of none, weight, spectral, batch_shared, "
        "batch_mean_per_evaluation, batch_per_evaluation, layer",
    ),
    ("network.time", "concat", "network.time is 'concat', but it must be one of none, bias"),
    ("network.time_knots", 1, "network.time_knots is 1, but it must be 2 to 64"),
    ("network.low_rank", 3, "network.low_rank is 3, but it must be a list of objects with layer, rank"),
    ("network.low_rank", [[]], "network.low_rank is [], but it must be an object"),
    (
        "network.low_rank",
        [{"layer": "head.linear", "rank": 1}],
        "network.low_rank.layer is 'head.linear', but it must be one of stem.conv, f1.pw1, f1.pw2, down1.pw",
    ),
    (
        "network.low_rank",
        [{"layer": "f1.pw1", "rank": 9}],
        "network.low_rank.rank of f1.pw1 is 9, but it must be 1 to 8",
    ),
    ("network.low_rank", [{"layer": "f1.pw1", "rank": 0}], "network.low_rank.rank of f1.pw1 is 0"),
    (
        "network.low_rank",
        [{"layer": "f1.pw1", "rank": 2}] * 2,
        "network.low_rank.layer is 'f1.pw1', but it must be one of stem.conv, f1.pw2",
    ),
    (
        "solver.method",
        "dopri5",
        "solver method is 'dopri5', but it must be one of euler, midpoint, heun, rk3, rk4, rk4_38",
    ),
    ("solver.n_steps", 0, "solver.n_steps is 0, but it must be 1 to 64"),
    ("solver.n_steps", [4, 65, 4], "solver.n_steps is 65"),
    ("solver.n_steps", [4, 4], "solver.n_steps has 2 entries, but network.channels has 3"),
    ("solver.n_steps", "4", "solver.n_steps is '4', but it must be a list of whole numbers"),
    ("solver.t1", 0.0, "t0 must be less than t1"),
    ("solver.t1", -1.0, "t0 must be less than t1"),
    ("solver.t1", 1e400, "t0 must be less than t1"),
    ("solver.t1", float("nan"), "t0 must be less than t1"),
    ("solver.t1", "1", "solver.t1 is '1', but it must be a number"),
    ("solver.t1", 100.0, "step coefficient 25, but 18 bits with 15 fraction bits reach 3.99997"),
    ("quantisation.weight_bit_width", 1, "quantisation.weight_bit_width is 1, but it must be 2 to 8"),
    ("quantisation.act_bit_width", 9, "quantisation.act_bit_width is 9, but it must be 2 to 8"),
    ("quantisation.state_bit_width", 7, "quantisation.state_bit_width is 7, but it must be 8 to 16"),
    ("quantisation.bias_bit_width", 25, "quantisation.bias_bit_width is 25"),
    ("quantisation.coeff_bit_width", 19, "quantisation.coeff_bit_width is 19"),
    ("quantisation.coeff_frac_bits", 18, "quantisation.coeff_frac_bits is 18, but it must be 0 to 17"),
    ("quantisation.rounding", "RND", "quantisation.rounding is 'RND', but it must be one of RND_CONV, TRN"),
    ("kernel.name", "gpu", "kernel.name is 'gpu', but it must be one of rtl, hls"),
    ("kernel.clock_mhz", 5.0, "kernel.clock_mhz is 5.0"),
    ("kernel.reuse_factor", 0, "kernel.reuse_factor is 0"),
    ("kernel.pixel_lanes", 0, "kernel.pixel_lanes is 0"),
    ("kernel.input_lanes", 257, "kernel.input_lanes is 257"),
    ("kernel.output_lanes", -1, "kernel.output_lanes is -1"),
    ("kernel.double_pumped", 1, "kernel.double_pumped is 1, but it must be true or false"),
    ("class_names", ["a"], "class_names has 1 entries, but network.num_classes is 10"),
    ("class_names", ["a", "b"] * 5, "class_names has a name twice"),
    ("class_names", ["\x1b", *"abcdefghi"], "but a name is 1 to 100 printable characters"),
    ("class_names", [1] * 10, "class_names is 1, but it must be a string"),
    ("class_names", "ab", "class_names is 'ab', but it must be a list of strings"),
    ("images.resize", "zoom", "images.resize is 'zoom', but it must be one of squash, crop, pad"),
    ("images.channel_order", "BGR", "images.channel_order is 'BGR', but it must be one of RGB"),
]


@pytest.mark.parametrize(
    ("path", "value", "message"), ODD_VALUES, ids=[f"{path}={value!s:.12}" for path, value, _ in ODD_VALUES]
)
def test_odd_values_are_refused_in_words(path, value, message):
    with pytest.raises(SpecError, match="|".join(map(re.escape, message.split("|")))):
        Spec.from_dict(edited(path, value))


# path -> the least and the most that is taken; a value beside it is refused. Where a network must fit other limits,
# too, those are lifted for the test.
EDGES = {
    "network.in_channels": (1, 64),
    "network.height": (4, 256),
    "network.width": (4, 256),
    "network.num_classes": (2, 4096),
    "network.time_knots": (2, 64),
    "solver.n_steps": (1, 64),
    "quantisation.weight_bit_width": (2, 8),
    "quantisation.act_bit_width": (2, 8),
    "quantisation.state_bit_width": (8, 16),
    "quantisation.bias_bit_width": (4, 24),
    "quantisation.coeff_bit_width": (16, 18),  # of 15 fraction bits, one bit more
    "quantisation.coeff_frac_bits": (0, 17),
    "kernel.reuse_factor": (1, 1 << 20),
    "kernel.pixel_lanes": (1, 256),
    "kernel.input_lanes": (1, 256),
    "kernel.output_lanes": (1, 256),
}


@pytest.mark.parametrize("path", EDGES)
def test_a_range_ends_where_it_says(path):
    key = path.rpartition(".")[2]

    def refused(value: int) -> str:
        """Why a value is refused for itself; nothing else about the spec matters here."""
        try:
            Spec.from_dict(edited(path, value))
        except SpecError as error:
            return str(error) if f"{key} is {value}" in str(error) else ""
        return ""

    low, high = EDGES[path]
    assert [bool(refused(value)) for value in (low, high)] == [False, False]
    if path != "quantisation.coeff_bit_width":
        assert f"must be {low} to {high}" in refused(low - 1)
    assert f"{high}" in refused(high + 1)


@pytest.mark.parametrize(
    ("t0", "t1", "taken"), [(999_999.5, 1e6, True), (-1e6, -999_999.5, True), (1e6, 1e6 + 1, False)]
)
def test_time_ends_at_a_million(t0, t1, taken):
    data = edited("solver.t1", t1)
    data["solver"]["t0"] = t0
    if taken:
        assert Spec.from_dict(data).solver.t1 == t1
    else:
        with pytest.raises(SpecError, match="both must be -1000000 to 1000000"):
            Spec.from_dict(data)


def test_the_ranks_of_the_stem_end_at_what_it_sees():
    """A 3 x 3 kernel on one channel sees nine values, a block of 2 x 2 pixels four of each."""
    network = dataclasses.replace(Spec.named("xs").network, channels=(20,), in_channels=1)
    assert network.rank_limits()["stem.conv"] == 9
    blocks = dataclasses.replace(network, stem="space_to_depth_2", in_channels=3)
    assert blocks.rank_limits() == {"stem.conv": 12, "f1.pw1": 20, "f1.pw2": 20}


def test_a_coefficient_has_from_four_bits():
    for bits, taken in ((3, False), (4, True)):
        data = edited("quantisation.coeff_frac_bits", 0)
        data["quantisation"]["coeff_bit_width"] = bits
        data["solver"].update(n_steps=[1, 1, 1])
        if taken:
            assert Spec.from_dict(data).quantisation.coeff_bit_width == bits
        else:
            with pytest.raises(SpecError, match="coeff_bit_width is 3, but it must be 4 to 18"):
                Spec.from_dict(data)


def test_every_value_is_checked():
    """No leaf of the spec may be left without a test of its own above."""

    def leaves(node: dict, prefix: str = ""):
        for key, value in node.items():
            yield from leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]

    assert set(leaves(Spec.named("xs").to_dict())) - {path for path, _, _ in ODD_VALUES} == {"solver.t0"}


@pytest.mark.parametrize("where", ["", "network", "solver", "quantisation", "kernel"])
def test_unknown_and_missing_keys_are_named(where):
    data = Spec.named("xs").to_dict()
    node = data[where] if where else data
    node["extra"] = 1
    with pytest.raises(SpecError, match="has unknown key extra; its keys are"):
        Spec.from_dict(copy.deepcopy(data))
    del node["extra"]
    gone = next(key for key in reversed(node) if key not in (*LATER_KEYS, *LATER_KERNEL_KEYS))
    del node[gone]
    with pytest.raises(SpecError, match=f"has missing key {gone}; its keys are"):
        Spec.from_dict(data)


@pytest.mark.parametrize("text", ["", "{", "[" * 100000, "null", "3", "[]", '"xs"'])
def test_text_that_is_no_spec_is_refused(text):
    with pytest.raises(SpecError, match=r"not JSON|must be an object"):
        Spec.from_json(text)


def test_files_that_are_no_spec_are_refused(tmp_path):
    with pytest.raises(SpecError, match="size is 'xxl', but it must be one of xs, s, m, l, a spec JSON file, or an "):
        Spec.load("xxl")
    with pytest.raises(SpecError, match="cannot be read as a spec JSON file"):
        Spec.load(tmp_path / "missing.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="cannot be read as a spec JSON file"):
        Spec.load(tmp_path / "binary.json")
    (tmp_path / "long.json").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(SpecError, match="at most 1 MiB"):
        Spec.load(tmp_path / "long.json")
    (tmp_path / "odd.json").write_text("{}")
    with pytest.raises(SpecError, match=r"odd\.json: spec has missing key"):
        Spec.load(tmp_path / "odd.json")


@pytest.mark.parametrize(
    "change",
    [
        ("name", "other"),
        ("network.height", 20),
        ("network.channels", [8, 16, 33]),
        ("network.time", "bias"),
        ("solver.method", "heun"),
        ("solver.n_steps", [4, 4, 5]),
        ("solver.t1", 1.5),
        ("quantisation.rounding", "TRN"),
        ("kernel.clock_mhz", 201.0),
    ],
)
def test_a_change_changes_the_fingerprint(change):
    spec = Spec.from_dict(edited(*change))
    assert spec.fingerprint() != Spec.named("xs").fingerprint()
    assert spec.fingerprint() == Spec.from_json(spec.to_json()).fingerprint()
    assert re.fullmatch("[0-9a-f]{64}", spec.fingerprint())


def test_the_order_of_keys_is_nothing():
    data = Spec.named("xs").to_dict()
    assert Spec.from_dict(dict(reversed(data.items()))).fingerprint() == Spec.named("xs").fingerprint()


def test_what_may_change_after_training():
    spec = Spec.named("xs")
    assert spec.with_solver("rk4", 3).solver.n_steps == (3, 3, 3)
    assert spec.with_solver(n_steps=(1, 2, 3)).solver.n_steps == (1, 2, 3)
    assert spec.with_solver("rk4").solver.n_steps == spec.solver.n_steps
    assert spec.with_solver() == spec
    with pytest.raises(SpecError, match="n_steps is 0"):
        spec.with_solver(n_steps=0)
    with pytest.raises(SpecError, match="n_steps has 1 entries"):
        spec.with_solver(n_steps=(2,))


def test_step_coefficients_are_rounded_once_and_half_to_even(make_spec):
    spec = make_spec(method="rk4_38", n_steps=(1, 2, 3))
    third = [round(Fraction(1, 3 * n) * 2**15) for n in (1, 2, 3)]
    assert [spec.coefficients(block)[1][0] for block in range(3)] == third
    assert spec.coefficients(0)[2] == [-third[0], 1 << 15]
    # 1/64 with 5 fraction bits is half an LSB, 3/64 one and a half: to even.
    halves = make_spec(n_steps=64, quantisation={"coeff_frac_bits": 5}, channels=(4,))
    assert halves.coefficients(0)[-1] == [0]
    assert make_spec(n_steps=64, quantisation={"coeff_frac_bits": 5}, channels=(4,), solver={"t1": 3.0}).coefficients(
        0
    )[-1] == [2]


def test_sizes_of_maps_that_are_not_square(make_spec):
    network = make_spec(height=21, width=30, channels=(5, 7, 11), in_channels=3).network
    assert [network.map_size(block) for block in range(3)] == [(21, 30), (11, 15), (6, 8)]
    layers = {layer.name: layer for layer in all_layers(network)}
    assert layers["down1.dw"].in_size == (21, 30)
    assert layers["down1.dw"].out_size == layers["f2.dw1"].in_size == (11, 15)
    assert layers["down2.pw"].weight_shape == (11, 7, 1, 1)
    assert layers["f3.dw2"].weight_shape == (11, 1, 3, 3)
    patches = make_spec(stem="space_to_depth_4", height=20, width=28, channels=(6, 9)).network
    assert [patches.map_size(block) for block in range(2)] == [(5, 7), (3, 4)]
    with pytest.raises(SpecError, match="divisible by 4, but they are 18 x 28"):
        make_spec(stem="space_to_depth_4", height=18, width=28)
    with pytest.raises(SpecError, match="under 2 x 2"):
        make_spec(stem="space_to_depth_4", height=16, width=16)
    with pytest.raises(SpecError, match="under 2 x 2"):
        make_spec(height=4, width=4)


def test_each_layer_reads_what_an_earlier_one_wrote(make_spec):
    for norm in ("none", "batch_mean_per_evaluation"):
        spec = make_spec(norm=norm)
        widths = tensor_widths(spec)
        for section in sections(spec.network):
            for first, second in zip(section.layers, section.layers[1:]):
                assert first.dest == second.source
                assert first.out_channels == second.in_channels
                assert first.out_size == second.in_size
            assert all(layer.source in widths for layer in section.layers)
        assert [layer.name for layer in all_layers(spec.network) if layer.timed] == ["f1.pw1", "f2.pw1", "f3.pw1"] * (
            norm == "batch_mean_per_evaluation"
        )
        assert widths["f1.p"] == (8, False)
        assert widths["z1"] == (16, True)


def test_parameters_by_hand(make_spec):
    spec = make_spec(channels=(4,), num_classes=3, time="bias", time_knots=5)
    assert parameters(spec) == {"stem": 9 * 4 + 4, "f1": (36 + 4) + (16 + 5 * 4) + (36 + 4) + (16 + 4), "head": 12 + 3}


def test_the_spec_of_a_run_is_taken(tmp_path: Path) -> None:
    params = Params.load("zoo:mnist-usps-s")
    params.save(tmp_path / "run")
    for given in ("zoo:mnist-usps-s", tmp_path / "run", tmp_path / "run" / "spec.json"):
        assert Spec.load(given) == params.spec
    with pytest.raises(DsodenetError, match="the zoo has"):
        Spec.load("zoo:nothing")
