"""An exported run loads as it was saved; edited, mixed, half-written and hostile files are refused in words."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dsodenet.errors import DsodenetError, RunError, SpecError
from dsodenet.spec.formats import Format
from dsodenet.spec.layers import all_layers, sections
from dsodenet.spec.params import ACCUMULATOR_BITS, Params
from dsodenet.spec.specification import MAX_CHANNELS
from dsodenet.spec.synthetic import random_images, random_params


@pytest.fixture
def params(make_spec) -> Params:
    return random_params(make_spec(channels=(4, 6), time="bias"), seed=1)


@pytest.fixture
def run(params, run_folder) -> Path:
    params.save(run_folder)
    return run_folder


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def rewrite(run: Path, **members: bytes) -> None:
    """Replace or add members of params.npz."""
    path = run / "params.npz"
    with zipfile.ZipFile(path) as archive:
        content = {item.filename: archive.read(item) for item in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (
            content | {f"{name.replace('__', '.')}.npy": data for name, data in members.items()}
        ).items():
            archive.writestr(name, data)


def test_saved_and_loaded_are_equal(params, run):
    loaded = Params.load(run)
    assert loaded.spec == params.spec
    assert loaded.formats == params.formats
    assert loaded.fingerprint == params.fingerprint
    assert all(np.array_equal(loaded.arrays[name], params.arrays[name]) for name in params.arrays)
    assert sorted(path.name for path in run.iterdir()) == ["params.npz", "spec.json"]


def test_fingerprints_tell_what_changed(params):
    other_weight = {"f1.pw1.weight": params.arrays["f1.pw1.weight"] ^ 1}
    changed = Params(params.spec, params.formats, params.arrays | other_weight)
    fewer_steps = params.with_solver(n_steps=1)
    wider = Params(
        params.spec, params.formats | {"z1": Format(16, params.formats["z1"].integer_bits + 1)}, params.arrays
    )
    prints = [p.fingerprint for p in (params, changed, fewer_steps, wider)]
    assert len(set(prints)) == 4
    assert fewer_steps.model_fingerprint == params.model_fingerprint
    assert changed.model_fingerprint != params.model_fingerprint != wider.model_fingerprint


@pytest.mark.parametrize("time", ["bias", "none"])
def test_a_kernel_has_all_integers_but_the_bias_tables_of_f(make_spec, time):
    params = random_params(make_spec(channels=(4, 6), time=time), seed=1)
    given_at_run_time = set()
    for name, array in params.arrays.items():
        edited = dataclasses.replace(params, arrays=params.arrays | {name: array + 1})
        assert edited.model_fingerprint != params.model_fingerprint
        if edited.kernel_fingerprint == params.kernel_fingerprint:
            given_at_run_time.add(name)
    assert given_at_run_time == {f"f{i}.pw1.{'knots' if time == 'bias' else 'bias'}" for i in (1, 2)}


def test_missing_files_are_named(run, tmp_path):
    with pytest.raises(RunError, match="no such run folder; `dsodenet train"):
        Params.load(tmp_path / "nowhere")
    (run / "params.npz").unlink()
    with pytest.raises(RunError, match=r"params\.npz is missing; run `dsodenet export"):
        Params.load(run)
    (run / "spec.json").unlink()
    with pytest.raises(RunError, match=r"spec\.json and params\.npz is missing"):
        Params.load(run)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("name", ["params.npz", "spec.json"])
def test_half_written_files_are_refused(run, name, share):
    content = (run / name).read_bytes()
    (run / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(RunError, match=r"not a params file|not the JSON of an exported run"):
        Params.load(run)


def test_edited_and_mixed_files_are_refused(params, run, tmp_path):
    rewrite(run, f1__pw1__weight=npy(params.arrays["f1.pw1.weight"] ^ 1))
    with pytest.raises(RunError, match="edited or mixed"):
        Params.load(run)
    random_params(params.spec, seed=2).save(tmp_path / "other")
    (run / "params.npz").write_bytes((tmp_path / "other" / "params.npz").read_bytes())
    with pytest.raises(RunError, match="edited or mixed"):
        Params.load(run)


def test_an_array_too_many_and_one_too_few_are_named(params):
    for arrays, name in (
        (params.arrays | {"f9.bias": params.arrays["stem.conv.bias"]}, r"f9\.bias"),
        ({key: value for key, value in params.arrays.items() if key != "stem.conv.bias"}, r"stem\.conv\.bias"),
    ):
        with pytest.raises(SpecError, match=f"arrays do not fit the network: {name} is missing or unknown"):
            Params(params.spec, params.formats, arrays)


def test_a_damaged_archive_is_named_by_its_path_or_its_place(run):
    (run / "params.npz").write_bytes(b"damaged")
    with pytest.raises(RunError, match=rf"^{run / 'params.npz'}: "):
        Params.load(run)
    data = json.loads((run / "spec.json").read_text())
    with pytest.raises(RunError, match=r"^the archive: "):
        Params.from_parts(data, io.BytesIO(b"damaged"), "the JSON", "the archive")


def edit_spec(run: Path, edit) -> None:
    data = json.loads((run / "spec.json").read_text())
    edit(data)
    (run / "spec.json").write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d["solver"].update(t1=1.5), "edited or mixed"),
        (lambda d: d.update(fingerprint="0" * 64), "edited or mixed"),
        (lambda d: d["formats"]["z1"].update(integer_bits=9), "edited or mixed"),
        (
            lambda d: d["formats"]["z1"].update(bits=15),
            "format of z1 is signed 15 bits, but the spec says signed 16 bits",
        ),
        (lambda d: d["formats"]["z1"].update(overflow="WRAP"), "overflows by WRAP"),
        (lambda d: d["formats"]["z1"].update(rounding="RND"), "rounds by RND, but the spec says RND_CONV"),
        (lambda d: d["formats"]["z1"].update(rounding="TRN"), "rounds by TRN, but the spec says RND_CONV"),
        (lambda d: d["formats"]["z1"].update(integer_bits=33), "33 integer bits"),
        (lambda d: d["formats"]["image"].update(integer_bits=1), "format of image"),
        (lambda d: d["formats"].pop("z1"), "z1 is missing or unknown"),
        (lambda d: d["formats"]["z1"].pop("bits"), "missing key bits"),
        (lambda d: d["formats"].update(z9=d["formats"]["z1"]), "z9 is missing or unknown"),
        (lambda d: d["network"].update(channels=[4, 7]), "more than its shape|but the network needs"),
        (lambda d: d.pop("formats"), "not the JSON of an exported run"),
        (lambda d: d.update(formats=[]), "not the JSON of an exported run"),
        (lambda d: d.pop("fingerprint"), "not the JSON of an exported run"),
        (lambda d: d.update(extra=1), "unknown key extra"),
    ],
)
def test_edited_specs_are_refused(run, edit, message):
    edit_spec(run, edit)
    with pytest.raises(RunError, match=message):
        Params.load(run)


@pytest.mark.parametrize("text", ["[]", "3", "null", "[" * 100000])
def test_a_spec_file_of_other_json_is_refused(run, text):
    (run / "spec.json").write_text(text)
    with pytest.raises(RunError, match="not the JSON of an exported run"):
        Params.load(run)


def test_wrong_shapes_and_types_are_refused(params, run):
    weight = params.arrays["f1.pw1.weight"]
    for wrong in (weight[:-1], weight.astype(np.int16), weight[0, 0]):
        rewrite(run, f1__pw1__weight=npy(wrong))
        with pytest.raises(RunError, match=r"array f1\.pw1\.weight is int.*but the network needs int8\(4, 4, 1, 1\)"):
            Params.load(run)


def test_a_zip_bomb_is_refused_before_it_takes_memory(run):
    path = run / "params.npz"
    rewrite(run, f1__pw1__weight=bytes(1 << 28))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(RunError, match="has 268435456 bytes, more than its shape"):
        Params.load(run)


def test_a_header_that_lies_about_its_size_is_refused(run):
    header = {"descr": "|i1", "fortran_order": False, "shape": (1 << 40,)}
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, header)
    rewrite(run, f1__pw1__weight=file.getvalue())
    with pytest.raises(RunError, match="not a params file"):
        Params.load(run)


class _Attack:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_pickled_objects_are_refused(run, tmp_path):
    rewrite(run, f1__pw1__weight=npy(np.array([_Attack(tmp_path / "executed")], dtype=object)))
    with pytest.raises(RunError, match="not a params file"):
        Params.load(run)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["params.npz", "spec.json"])
def test_random_damage_is_refused_or_harmless(params, run, name, damaged):
    refused = 0
    for content in damaged((run / name).read_bytes(), 300):
        (run / name).write_bytes(content)
        try:
            assert Params.load(run).fingerprint == params.fingerprint
        except DsodenetError:
            refused += 1
    assert refused > 150


def test_unknown_arrays_are_refused(run):
    rewrite(run, extra=npy(np.zeros(1)))
    with pytest.raises(RunError, match="unknown array extra"):
        Params.load(run)


def test_an_interrupted_save_leaves_the_earlier_run(params, run, monkeypatch):
    before = {path.name: path.read_bytes() for path in run.iterdir()}

    def full(file, **arrays):
        file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="no space"):
        random_params(params.spec, seed=2).save(run)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_ranges_are_those_of_the_bit_widths(make_spec):
    params = random_params(make_spec(channels=(4,), quantisation={"weight_bit_width": 4}), seed=1)
    weight = params.arrays["f1.pw1.weight"].copy()
    weight[0, 0] = 8
    with pytest.raises(SpecError, match=r"f1\.pw1\.weight reaches .* to 8, but 4 bits hold -8 to 7"):
        dataclasses.replace(params, arrays=params.arrays | {"f1.pw1.weight": weight})


def test_the_accumulator_bound_is_reached_by_an_image(make_spec):
    """The bound is no larger than what the stem really gives for the image that maximises one of its outputs."""
    params = random_params(make_spec(channels=(4,), in_channels=3), seed=1)
    stem = all_layers(params.spec.network)[0]
    weight = params.arrays["stem.conv.weight"].astype(np.int64)
    bias = params.arrays["stem.conv.bias"].astype(np.int64)
    images = random_images(params.spec, 200, seed=1).astype(np.int64)
    patches = np.concatenate([images[:, :, 5:8, 5:8], 255 * (weight > 0), 255 * (weight < 0)])
    reached = np.abs(np.einsum("ncij,ocij->no", patches, weight) + bias).max()
    bound = params.accumulator_bound(stem)
    # Weights of both signs and unsigned pixels: the bound takes every product as positive.
    assert bound == (np.abs(weight).sum(axis=(1, 2, 3)) * 255 + np.abs(bias)).max()
    assert bound / 3 < reached <= bound


def test_accumulators_that_could_overflow_are_refused(make_spec):
    spec = make_spec(channels=(4,), quantisation={"state_bit_width": 16})
    params = random_params(spec, seed=1)
    formats = params.formats | {"z1": Format(16, -8), "f1.k": Format(8, 30)}
    with pytest.raises(SpecError, match=r"ODE block 1: its state update can reach .* over 48 bits"):
        Params(spec, formats, params.arrays)


@pytest.mark.parametrize("z_bits", [-16, -9, 0, 9])
def test_the_update_is_refused_just_where_its_sum_may_overflow(make_spec, z_bits):
    """The largest update by exact fractions, for slopes from far under to far over the limit in steps of one bit."""
    spec = make_spec(channels=(4,), method="rk4", n_steps=1)
    params = random_params(spec, seed=1)
    coeff, refused = Fraction(1, 1 << spec.quantisation.coeff_frac_bits), []
    for k_bits in range(-16, 33):
        z, k = Format(16, z_bits), Format(8, k_bits)
        lsb = min(Fraction(2) ** -z.frac_bits, coeff * Fraction(2) ** -k.frac_bits)
        slopes = [(1 << 7) * Fraction(2) ** -k.frac_bits * coeff * sum(map(abs, row)) for row in spec.coefficients(0)]
        sums = [((1 << 15) * Fraction(2) ** -z.frac_bits + slope) / lsb for slope in slopes]
        taken = params.formats | {"z1": z, "f1.k": k}
        if too_large := [found for found in sums if found >= 1 << 47]:
            with pytest.raises(SpecError, match=f"its state update can reach {too_large[0]}, over 48 bits"):
                Params(spec, taken, params.arrays)
        else:
            Params(spec, taken, params.arrays)
        refused.append(bool(too_large))
    assert set(refused) == {False, True}


@pytest.mark.parametrize(("bits", "taken"), [(-17, False), (-16, True), (32, True), (33, False)])
def test_a_format_has_from_minus_16_to_32_integer_bits(make_spec, bits, taken):
    params = random_params(make_spec(channels=(4,)), seed=1)
    formats = params.formats | {"f1.d1": Format(8, bits)}
    if taken:
        assert Params(params.spec, formats, params.arrays).formats["f1.d1"].integer_bits == bits
    else:
        with pytest.raises(SpecError, match=rf"format of f1\.d1 has {bits} integer bits, but -16 to 32 are allowed"):
            Params(params.spec, formats, params.arrays)


def test_the_bias_table_is_the_rounded_interpolation(make_spec):
    spec = make_spec(
        channels=(4,), time="bias", method="rk4_38", n_steps=3, time_knots=4, solver={"t0": 1.0, "t1": 3.0}
    )
    params = random_params(spec, seed=1)
    knots = params.arrays["f1.pw1.knots"]
    table = params.bias_table(spec, sections(spec.network)[1])
    times = [float(t) for t in spec.solver.times(0)]
    expected = np.stack([np.interp(times, np.linspace(1, 3, 4), knots[:, c]) for c in range(4)], axis=1)
    spread = np.abs(np.diff(knots, axis=0)).max()
    assert table.shape == (12, 4)
    assert np.abs(table - expected).max() <= 0.5 + spread / 2**13 + 1e-9
    assert np.array_equal(table[0], knots[0])
    assert np.array_equal(table[-1], knots[-1])


@pytest.mark.parametrize("stem", ["conv3x3", "space_to_depth_4"])
def test_no_model_can_exceed_the_accumulator(make_spec, stem) -> None:
    """The largest network that a spec may say, every integer at the end of its range."""
    quantisation = {"weight_bit_width": 8, "act_bit_width": 8, "bias_bit_width": 24}
    widest = make_spec(
        channels=(MAX_CHANNELS,), in_channels=64, height=8, width=8, stem=stem, quantisation=quantisation
    )
    params = random_params(widest, 0)
    for name, array in params.arrays.items():
        array[...] = -(1 << 7) if name.endswith(".weight") else -(1 << 23)
    bounds = [params.accumulator_bound(layer) for layer in all_layers(widest.network)]
    assert max(bounds) == 1024 * (1 << 7) * 255 + (1 << 23) or stem == "conv3x3"
    assert max(bounds) < 1 << 26 < 1 << (ACCUMULATOR_BITS - 1)
    for wider in ({"channels": (MAX_CHANNELS + 1,)}, {"in_channels": 65}):
        with pytest.raises(SpecError):
            make_spec(**{"channels": (4,)} | wider)
    for key, most in (("weight_bit_width", 8), ("act_bit_width", 8), ("bias_bit_width", 24)):
        with pytest.raises(SpecError):
            make_spec(quantisation={key: most + 1})
