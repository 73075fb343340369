"""Reuse factors: what hls4ml can have, what fits the device, and the words that each process reads and writes."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dsodenet.bench.studies.ladder_grid import CASES, make_run
from dsodenet.contract import DEVICE
from dsodenet.errors import InputError, RunError, SpecError
from dsodenet.hls import lower, lowered_plan
from dsodenet.hls.plan_search import SHARE, best_plan, check_plan_fits, choose_plan
from dsodenet.hls.reuse import Plan, fixed_factor, fixed_plan, valid_factors
from dsodenet.hls.trips import evaluation_processes, loop_cycles, region_cycles, section_processes
from dsodenet.ladder import verify
from dsodenet.overlay import build
from dsodenet.spec import Layer, Spec, all_layers, random_images, random_params, sections
from tests.command_line import refused


def layers(size: str) -> dict[str, Layer]:
    return {layer.name: layer for layer in all_layers(Spec.named(size).network)}


@pytest.mark.parametrize("size", ["xs", "s", "m"])
def test_ready_sizes_fit_with_room(size: str) -> None:
    plan = best_plan(Spec.named(size))
    assert plan.exceeds(SHARE) == []
    assert " fits: " in str(plan)
    assert all(factor in valid_factors(layers(size)[name]) for name, factor in plan.factors.items())


def test_layers_with_many_registers_are_named() -> None:
    """A window of 9 x 128 values in m; a layer without sharing has a register for each product."""
    assert best_plan(Spec.named("s")).long_synthesis() == {}
    assert best_plan(Spec.named("m")).long_synthesis() == {"f3.dw1": 1152, "f3.dw2": 1152}
    assert "f3.dw1 1,152" in str(best_plan(Spec.named("m")))
    assert fixed_plan(Spec.named("s"), 1).long_synthesis() == {"down2.pw": 2048, "f3.pw1": 4096, "f3.pw2": 4096}


def test_target_of_the_small_network() -> None:
    assert best_plan(Spec.named("s")).cycles < 70_000


def test_l_is_refused_with_reason_and_advice() -> None:
    plan = best_plan(Spec.named("l"))
    with pytest.raises(
        SpecError, match=r"l does not fit the device as an hls kernel: it takes 10\d% of the LUT; no .* rtl"
    ):
        check_plan_fits(plan)
    assert "does not fit" in str(plan)
    with pytest.raises(SpecError, match="one that fits is chosen"):
        check_plan_fits(fixed_plan(Spec.named("m"), 1))


def test_more_sharing_takes_fewer_multipliers_and_more_cycles() -> None:
    plans = [fixed_plan(Spec.named("s"), factor) for factor in (2, 4, 8, 16, 32)]
    dsps, cycles = [plan.resources.DSP for plan in plans], [plan.cycles for plan in plans]
    assert dsps == sorted(dsps, reverse=True)
    assert dsps[0] > 4 * dsps[-1]
    assert cycles == sorted(cycles)


def test_spec_sets_the_least_factor() -> None:
    spec = Spec.named("xs")
    plan = best_plan(replace(spec, kernel=replace(spec.kernel, reuse_factor=8)))
    assert all(factor >= min(8, valid_factors(layers("xs")[name])[-1]) for name, factor in plan.factors.items())
    assert plan.cycles > best_plan(spec).cycles


def test_no_other_factor_of_a_layer_is_faster_and_fits() -> None:
    """The search ends where it says that it does: no change of one layer is faster and fits."""
    plan = best_plan(Spec.named("xs"))
    for layer in layers("xs").values():
        for factor in valid_factors(layer):
            other = Plan(plan.spec, plan.factors | {layer.name: factor})
            assert other.cycles >= plan.cycles or other.exceeds(SHARE)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("f1.pw1", [1, 2, 4, 8, 16, 32, 64]), ("f1.dw1", [1, 2, 3, 4, 6, 8, 24, 72]), ("head.linear", None)],
)
def test_valid_factors(name: str, expected: list[int] | None) -> None:
    layer = layers("xs")[name]
    factors = valid_factors(layer)
    assert expected is None or factors == expected
    assert all(math.prod(layer.weight_shape) % factor == 0 for factor in factors)
    assert fixed_factor(layer, 5) == max(factor for factor in factors if factor <= 5)


def test_hls4ml_allows_the_factors_of_dense_layers() -> None:
    """The rule of hls4ml itself, asked for every layer of two sizes."""
    import hls4ml

    backend = hls4ml.backends.get_backend("Vitis")
    for size in ("xs", "s"):
        for layer in layers(size).values():
            inputs = math.prod(layer.weight_shape[1:]) * (layer.in_channels if layer.depthwise else 1)
            allowed = set(backend.get_valid_reuse_factors(inputs, layer.out_channels))
            assert set(valid_factors(layer)) <= allowed


def test_weights_beyond_what_hls4ml_unrolls_always_share() -> None:
    assert 1 not in valid_factors(layers("m")["f3.pw1"])
    assert 1 in valid_factors(layers("s")["f3.pw1"])


def test_region_is_bounded_by_its_slowest_process() -> None:
    spec = Spec.named("s")
    part = next(part for part in sections(spec.network) if part.name == "f2")
    plan = best_plan(spec)
    chain = evaluation_processes(spec, part, plan.factors, plan.lanes[1])
    slowest = max(process.cycles for process in chain)
    _, whole = region_cycles(chain)
    assert slowest < whole < 2 * slowest
    ten, eleven = loop_cycles(chain, 10), loop_cycles(chain, 11)
    assert slowest <= eleven - ten < 1.2 * slowest


def test_lanes_keep_up_with_f() -> None:
    for size in ("xs", "s", "m"):
        plan = best_plan(Spec.named(size))
        for part in plan.parts:
            if part.kind == "f":
                slowest = max(p.cycles for p in section_processes(plan.spec, part, plan.factors))
                channels = part.layers[0].in_channels
                assert plan.map_words(part.block) <= slowest or plan.lanes[part.block] == channels


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("reuse") / "run"
    make_run(CASES["blocks"].spec("reuse"), run, seed=2, lowered=False)
    return run


@pytest.mark.parametrize("reuse_factor", [7, 64])
def test_every_kind_of_factor_computes_the_same_words(trained: Path, reuse_factor: int) -> None:
    """Depthwise and dense, with more multipliers than outputs, one for each, and fewer."""
    lower(trained, reuse_factor=reuse_factor, force=True)
    images = random_images(lowered_plan(trained).spec, 2, 7)
    assert verify(trained, ("csim",), images).differing == 0


def test_command_line_refuses_in_one_line(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "reuse factor is 0, but it must be 1 or more" in refused(capsys, "lower", trained, "--reuse-factor", 0)
    for size, words, answer in (
        ("l", (), "does not fit the device as an hls kernel: it takes 103% of the LUT; no reuse factor makes it fit"),
        ("m", ("--reuse-factor", 1), "; without --reuse-factor one that fits is chosen, and --force goes on"),
    ):
        random_params(Spec.named(size), 0).save(tmp_path / size)
        assert answer in refused(capsys, "lower", tmp_path / size, *words)
        assert not (tmp_path / size / "hls").exists()
    monkeypatch.setitem(sys.modules, "tree_sitter_cpp", None)
    assert "tree-sitter-cpp; install dsodenet[lower]" in refused(capsys, "lower", trained)


def test_bad_reuse_factors_are_refused_before_work(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dsodenet.hls import lowering

    monkeypatch.setattr(lowering, "write_sources", lambda *_: pytest.fail("work was begun"))
    with pytest.raises(InputError, match="reuse factor is 0, but it must be 1 or more"):
        lower(trained, reuse_factor=0)
    monkeypatch.setattr(Plan, "exceeds", lambda self, share: ["120% of the LUT"] if share == 1 else [])
    with pytest.raises(SpecError, match="does not fit the device as an hls kernel: it takes 120% of the LUT"):
        lower(trained)


def test_overlay_refuses_what_does_not_fit_unless_forced(trained: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(Plan, "exceeds", lambda self, share: ["120% of the LUT"] if share == 1 else [])
    lower(trained, force=True)
    with pytest.raises(SpecError, match=r"takes 120% of the LUT; .*--force"):
        build(trained, "hls", tmp_path / "o", inputs_only=True)
    assert build(trained, "hls", tmp_path / "o", inputs_only=True, force=True).is_dir()


def test_plan_of_a_lowered_run_is_kept(trained: Path) -> None:
    lower(trained, reuse_factor=4, force=True)
    assert lowered_plan(trained).factors == choose_plan(lowered_plan(trained).spec, 4).factors
    manifest = trained / "hls" / "manifest.json"
    content = json.loads(manifest.read_text())
    assert content["kind"] == "estimated"
    assert set(content["resources"]) == set(DEVICE)
    manifest.write_text(json.dumps(content | {"reuse_factors": {"stem.conv": 1}}))
    with pytest.raises(RunError, match="does not say each layer's reuse factor"):
        lowered_plan(trained)
