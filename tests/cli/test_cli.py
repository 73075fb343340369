"""The command line: what a user types and what comes back. What does not fit gives one clear line and status 2."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsodenet.bench.studies.ladder_grid import CASES
from dsodenet.cli.entry import COMMANDS, main
from dsodenet.errors import ToolError
from dsodenet.exporting.integers import export
from dsodenet.files import how_to_install
from dsodenet.reference import Reference
from dsodenet.spec.params import Params
from dsodenet.spec.synthetic import random_images
from tests.command_line import call, refused


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained and exported run of a two-block net; not lowered."""
    folder = tmp_path_factory.mktemp("cli")
    spec = CASES["blocks"].spec("small")
    images = folder / "images"
    from PIL import Image

    for index, image in enumerate(random_images(spec, 40, 0)):
        path = images / f"class{index % 10}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(path)
    (folder / "small.json").write_text(spec.to_json())
    out = folder / "run"
    words = [
        "train",
        "--spec",
        folder / "small.json",
        "--data",
        images,
        "--out",
        out,
        "--epochs",
        1,
        "--qat-epochs",
        1,
        "--quiet",
    ]
    assert main(list(map(str, words))) == 0
    assert main(["export", str(out), "--quiet"]) == 0
    return out


@pytest.fixture
def images(run: Path, tmp_path: Path) -> Path:
    path = tmp_path / "X.npy"
    np.save(path, random_images(Params.load(run).spec, 3, 1))
    return path


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example_that_parses(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from dsodenet.cli.entry import parser

    with pytest.raises(SystemExit) as ended:
        call(name, "--help")
    assert ended.value.code == 0
    example = COMMANDS[name].example
    assert example in " ".join(capsys.readouterr().out.split())
    words = example.split(" > ")[0].split()
    assert parser().parse_args(words[1:]).command == name


def test_run_writes_the_logits_of_the_reference(
    run: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "Y.npy"
    words = (
        "run",
        run,
        "--backend",
        "cpu",
        "--input",
        images,
        "--output",
        out,
        "--n-steps",
        "3,1",
        "--solver",
        "rk4",
        "--json",
    )
    assert call(*words) == 0
    params = Params.load(run).with_solver("rk4", (3, 1))
    np.testing.assert_array_equal(np.load(out), Reference(params).predict(np.load(images)))
    printed, beside = json.loads(capsys.readouterr().out), json.loads(out.with_suffix(".json").read_text())
    assert printed.items() >= beside.items()
    assert beside["logits_scale"] == params.logits_scale
    assert (beside["solver"], beside["n_steps"]) == ("rk4", [3, 1])


def test_float_images_are_the_same_pixels(run: Path, images: Path, tmp_path: Path) -> None:
    pixels = np.load(images)
    floats = tmp_path / "F.npy"
    np.save(floats, (pixels / 255).astype(np.float32))
    results = []
    for source in (images, floats):
        assert call("run", run, "--backend", "cpu", "--input", source, "--output", tmp_path / "Y.npy", "--quiet") == 0
        results.append(np.load(tmp_path / "Y.npy"))
    np.testing.assert_array_equal(*results)


def test_verify_prints_the_ladder_and_fails_on_a_difference(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("verify", run, "--backends", "torch,cpu", "--images", "4", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert [(r["backend"], r["differing"], r["words"]) for r in result["rungs"]] == [("torch", 0, 40), ("cpu", 0, 40)]
    monkeypatch.setattr(
        "dsodenet.exporting.torch_logits", lambda model, images, scale: np.zeros((len(images), 10), np.int32)
    )
    assert call("verify", run, "--backends", "torch,cpu", "--images", "4", "--quiet") == 1
    assert "words differ" in capsys.readouterr().out


def test_spec_prints_what_train_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("spec", "m") == 0
    path = tmp_path / "m.json"
    path.write_text(capsys.readouterr().out)
    assert call("spec", path) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(path.read_text())


def _bad_images() -> dict[str, tuple[np.ndarray[Any, Any], str]]:
    good = np.zeros((2, 2, 18, 14), np.float32)
    return {
        "shape": (good[:, :1], "(2, 1, 18, 14)"),
        "dtype": (good.astype(np.int32), "int32"),
        "nan": (np.full_like(good, np.nan), "NaN"),
        "range": (good + 2, "2 to 2"),
        "none": (good[:0], "empty"),
        "pickled": (np.array([{}], object), "not a .npy file"),
    }


@pytest.mark.parametrize("kind", _bad_images())
def test_bad_images(kind: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    array, text = _bad_images()[kind]
    path = tmp_path / "bad.npy"
    np.save(path, array, allow_pickle=True)
    assert text in refused(capsys, "run", run, "--backend", "cpu", "--input", path, "--output", tmp_path / "Y.npy")
    assert not (tmp_path / "Y.npy").exists()


def test_bad_words(run: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ("--output", tmp_path / "Y.npy")
    job = ("run", run, "--backend", "cpu", "--input", images, *out)
    assert "'rk5'" in refused(capsys, *job, "--solver", "rk5")
    assert "n_steps is 0" in refused(capsys, *job, "--n-steps", 0)
    assert "3 entries" in refused(capsys, *job, "--n-steps", "1,2,3")
    assert "'many'" in refused(capsys, *job, "--n-steps", "many")
    assert "--input" in refused(capsys, "run", run)
    assert "'fly'" in refused(capsys, "fly")
    assert "gpu" in refused(capsys, "run", run, "--backend", "gpu", "--input", images, *out)
    assert "must be a .npy" in refused(
        capsys, "run", run, "--backend", "cpu", "--input", images, "--output", tmp_path / "Y.txt"
    )
    assert "no such run" in refused(capsys, "run", tmp_path / "none", "--backend", "cpu", "--input", images, *out)
    assert "quantum" in refused(capsys, "verify", run, "--backends", "cpu,quantum")
    assert "'0'" in refused(capsys, "verify", run, "--images", "0")
    assert "dsodenet lower" in refused(capsys, "verify", run, "--backends", "csim")
    assert "'xxl'" in refused(capsys, "train", "--spec", "xxl", "--out", tmp_path / "run")
    assert "'nothing'" in refused(capsys, "train", "--spec", "xs", "--data", "nothing", "--out", tmp_path / "run")
    assert "'magic'" in refused(capsys, "train", "--spec", "xs", "--recipe", "magic", "--out", tmp_path / "run")
    assert "is a file" in refused(capsys, "train", "--spec", "xs", "--out", images)
    assert "weight_bit_width is 1" in refused(
        capsys, "train", "--spec", "xs", "--weight-bits", 1, "--out", tmp_path / "run"
    )
    assert "no such checkpoint" in refused(capsys, "export", tmp_path)
    assert not (tmp_path / "run").exists()


def test_bad_spec_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "spec.json"
    good = json.loads(CASES["blocks"].spec("small").to_json())
    extra = good | {"network": good["network"] | {"dropout": 1}}
    missing = good | {"solver": {key: value for key, value in good["solver"].items() if key != "t1"}}
    zero = good | {"solver": good["solver"] | {"n_steps": 0}}
    for data, text in (
        (extra, "unknown key dropout"),
        (missing, "missing key t1"),
        (zero, "n_steps is 0"),
        ([], "must be an object"),
    ):
        path.write_text(json.dumps(data))
        assert text in refused(capsys, "train", "--spec", path, "--out", tmp_path / "run")
    path.write_text("{")
    assert "not a spec JSON file" in refused(capsys, "spec", path)
    assert "cannot be read" in refused(capsys, "spec", tmp_path / "none.json")


def test_edited_and_half_written_runs(
    run: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    job = ("run", copy, "--backend", "cpu", "--input", images, "--output", tmp_path / "Y.npy")
    text = (copy / "spec.json").read_text()
    data = json.loads(text)
    data["solver"]["n_steps"] = [9, 9]
    (copy / "spec.json").write_text(json.dumps(data))
    assert "edited" in refused(capsys, *job)
    (copy / "spec.json").write_text(text[:100])
    refused(capsys, *job)
    (copy / "spec.json").write_text(text)
    (copy / "params.npz").unlink()
    assert "params.npz is missing" in refused(capsys, *job)


def test_scale_that_is_no_power_of_two_is_not_exported(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dsodenet.exporting import integers as export_module
    from dsodenet.training import checkpoint

    before = Params.load(run).fingerprint
    load = checkpoint.load_checkpoint

    def scaled(path: Path) -> Any:
        model, spec, metrics = load(path)
        model.activation("f1.d1").act_quant.scale = lambda: 0.3
        return model, spec, metrics

    monkeypatch.setattr("dsodenet.training.load_checkpoint", scaled)
    monkeypatch.setattr(export_module.copy, "deepcopy", lambda model: model)
    assert "0.3" in refused(capsys, "export", run)
    assert Params.load(run).fingerprint == before


def test_export_again_gives_the_same_model(run: Path) -> None:
    assert export(run).fingerprint == Params.load(run).fingerprint


def test_missing_package_names_its_extra(run: Path) -> None:
    """Without torch, as on the board, export ends with a line that says what to install."""
    code = "import sys; sys.modules['torch'] = None; from dsodenet.cli import main; sys.exit(main(sys.argv[1:]))"
    ended = subprocess.run(
        [sys.executable, "-c", code, "export", str(run), "--quiet"], capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 2
    assert how_to_install("train") in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_finished_training_is_neither_lost_nor_begun_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    job = ("train", "--spec", "xs", "--out", tmp_path)
    assert "--force replaces it" in refused(capsys, *job)
    assert call(*job, "--resume") == 0
    assert "is finished: nothing to resume" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (("verfy",), "did you mean verify?"),
        (("verify", "zoo:digit-xs"), "did you mean zoo:digits-xs?"),
        (("verify", "zoo:digits-xs", "--backnds", "cpu"), "did you mean --backends?"),
        (("verify", "zoo:digits-xs", "--backends", "cup"), "did you mean cpu?"),
        (("estimate", "zoo:digits-xs", "--solver", "ruler"), "did you mean euler?"),
    ],
)
def test_near_misses(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], near: str) -> None:
    assert near in refused(capsys, *words)


def test_an_error_is_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("estimate", "zoo:none", "--json") == 2
    answer, line = capsys.readouterr()
    assert json.loads(answer)["schema"] == 1
    assert json.loads(answer)["status"] == 2
    assert line == f"dsodenet: {json.loads(answer)['error']}\n"
    kept = tmp_path / "kept.json"
    kept.write_text("{}")
    refused(capsys, "estimate", "zoo:none", "--json", kept)
    assert kept.read_text() == "{}"


def test_rungs_that_are_not_there_are_left_out_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of the zoo has neither a checkpoint nor a lowered kernel; here Verilator is not installed either."""

    def missing() -> str:
        raise ToolError("verilator is not installed")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("dsodenet.rtl.build.verilator", missing)
    assert call("verify", "zoo:digits-xs", "--images", 2, "--simulate-with", "reference", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer["left_out"]) == {"torch", "csim", "rtl"}
    assert [rung["backend"] for rung in answer["rungs"]] == ["cpu", "zcu104-sim"]
    assert "--simulate-with reference" in refused(capsys, "verify", "zoo:digits-xs", "--backends", "zcu104-sim")
    assert "checkpoint" in refused(capsys, "verify", "zoo:digits-xs", "--backends", "cpu,torch")
