"""The wheel: what is in it, and that it runs with NumPy alone."""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsodenet.data import load_dataset
from dsodenet.reference import Reference
from dsodenet.spec import Params, Spec
from dsodenet.spec.synthetic import random_images
from tests.models import MODELS
from tools import pythons

ROOT = pythons.ROOT
AARCH64 = ROOT / "build" / "aarch64"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("build")
    return pythons.build_wheel(tmp_path_factory.mktemp("wheel"))


def names(folder: Path) -> set[str]:
    return {
        str(file.relative_to(ROOT)) for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts
    }


def test_the_wheel_holds_the_package_the_hardware_sources_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
        info = [name for name in archive.namelist() if ".dist-info/" in name]
        metadata = archive.read(next(name for name in info if name.endswith("/METADATA"))).decode()
    package = {name.removeprefix("host/") for name in names(ROOT / "host" / "dsodenet") if name.endswith(".py")}
    sources = {f"dsodenet/sources/{name}" for folder in ("hls", "overlays") for name in names(ROOT / folder)}
    assert {name for name in found if name.endswith(".py") and "/sources/" not in name} == package
    assert {name for name in found if "/sources/" in name} == sources
    zoo = {name.removeprefix("host/") for name in names(ROOT / "host" / "dsodenet" / "zoo") if not name.endswith(".py")}
    assert {name for name in found if "/zoo/" in name and not name.endswith(".py")} == zoo
    assert all(name.startswith("dsodenet/") for name in found)
    assert {"dsodenet/sources/hls/ode_block.h", "dsodenet/sources/overlays/zcu104/design.tcl"} <= found
    assert any(name.endswith("/LICENSE") for name in info)
    needed = [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line]
    assert [line.split()[1].split(">")[0] for line in needed] == ["numpy"]
    assert "Requires-Python: >=3.10" in metadata


SCRIPT = """
import json, sys
folder, *paths = sys.argv[1:]
sys.path[:0] = paths
import numpy as np
import dsodenet
assert not paths or dsodenet.__file__.startswith(paths[0]), dsodenet.__file__
from dsodenet.runtime import Accelerator
from dsodenet.files import source_folder
assert (source_folder("overlays") / "zcu104" / "common.tcl").is_file()
assert (source_folder("hls") / "stream_io.h").is_file()
for name in json.load(open(f"{folder}/names.json")):
    with Accelerator(f"{folder}/{name}") as accelerator:
        np.save(f"{folder}/{name}/y.npy", accelerator.predict(np.load(f"{folder}/{name}/x.npy")))
from dsodenet.errors import ToolError
try:
    Accelerator(f"{folder}/{name}", "zcu104-sim")
except ToolError as error:
    assert "pynq is not installed" in str(error), error
else:
    raise AssertionError("pynq came from somewhere")
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"torch", "pynq", "hls4ml", "onnx", "brevitas", "tqdm"}, loaded
"""
EVERY_MODULE = """
import importlib, importlib.metadata, pkgutil, sys
import dsodenet
from dsodenet.cli.entry import extra_of
installed = {item.name.lower() for item in importlib.metadata.distributions()}
assert installed == {"dsodenet", "numpy"}, installed
for module in pkgutil.walk_packages(dsodenet.__path__, "dsodenet."):
    if module.name.startswith("dsodenet.sources") or module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        assert extra_of(error.name.partition(".")[0]) is not None, (module.name, error)
print("%d.%d" % sys.version_info[:2])
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with images, for SCRIPT to add logits."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "names.json").write_text(json.dumps([*MODELS]))
    for name, params in MODELS.items():
        params.save(folder / name)
        np.save(folder / name / "x.npy", random_images(params.spec, 4, 1))
    return folder


def same_integers(runs: Path) -> bool:
    """Whether SCRIPT has left the reference's logits; they are removed for the next test."""
    same = []
    for name, params in MODELS.items():
        path = runs / name / "y.npy"
        same.append(bool((np.load(path) == Reference(params).predict(np.load(runs / name / "x.npy"))).all()))
        path.unlink()
    return all(same)


def installed(wheel: Path, folder: Path) -> str:
    """The wheel unpacked, as one that needs no building is installed."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return str(folder)


def test_the_wheel_runs_with_numpy_alone(wheel: Path, runs: Path, tmp_path: Path) -> None:
    """In a Python that sees the unpacked wheel and NumPy, and no other package."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for source in Path(np.__file__).parents[1].glob("numpy*"):
        (packages / source.name).symlink_to(source)
    arguments = [str(runs), installed(wheel, tmp_path / "installed"), str(packages)]
    pythons.run([sys.executable, "-I", "-S", "-c", SCRIPT, *arguments])
    assert same_integers(runs)


CLASSIFY = """
import json, sys
picture, *paths = sys.argv[1:]
sys.path[:0] = paths
import dsodenet
assert dsodenet.__file__.startswith(paths[0]), dsodenet.__file__
found = {}
for backend, options in (("cpu", {}), ("zcu104-sim", {"simulate_with": "reference"})):
    with dsodenet.Accelerator("zoo:digits-xs", backend, **options) as accelerator:
        answer = accelerator.classify(picture)
    found[backend] = [answer[0].name, answer[0].source, *answer.logits[0].tolist()]
print(json.dumps(found))
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"torch", "hls4ml", "onnx", "brevitas", "matplotlib", "sklearn", "scipy"}, loaded
"""


def needed_by(*names: str) -> set[Path]:
    """What lies in site-packages for some distributions and all that they require, but for their extras."""
    from packaging.requirements import Requirement

    todo, seen, found = list(names), set(), set()
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        distribution = importlib.metadata.distribution(name)
        site = Path(str(distribution.locate_file("")))
        tops = {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
        found |= {site / top for top in tops}
        lines = map(Requirement, distribution.requires or ())
        todo += [line.name for line in lines if line.marker is None or line.marker.evaluate({"extra": ""})]
    return found


def test_the_wheel_names_what_a_picture_shows(wheel: Path, tmp_path: Path) -> None:
    """In a Python that sees the unpacked wheel, NumPy, Pillow, and pynq with what it requires: no torch."""
    pytest.importorskip("pynq")
    data, params = load_dataset("digits", Spec.named("xs").network), Params.load("zoo:digits-xs")
    Image.fromarray(data.test_images[0, 0]).save(tmp_path / "digit.png")
    packages = tmp_path / "packages"
    packages.mkdir()
    for source in needed_by("numpy", "pillow", "pynq"):
        (packages / source.name).symlink_to(source)
    arguments = [str(tmp_path / "digit.png"), installed(wheel, tmp_path / "installed"), str(packages)]
    found = json.loads(pythons.run([sys.executable, "-I", "-S", "-c", CLASSIFY, *arguments]).splitlines()[-1])
    logits = Reference(params).predict(data.test_images[:1])[0]
    expected = [params.spec.labels[logits.argmax()], str(tmp_path / "digit.png"), *logits.tolist()]
    assert found == {"cpu": expected, "zcu104-sim": expected}


@pytest.mark.parametrize("version", pythons.IMAGES)
def test_the_wheel_in_a_clean_environment(wheel: Path, runs: Path, tmp_path: Path, version: str) -> None:
    """Under the Pythons of the PYNQ images.

    Every module imports or names a missing extra, the command and predict work.
    """
    found = pythons.interpreter(version)
    if found is None:
        pytest.skip(f"no Python {version} here")
    try:
        python = pythons.environment(found, tmp_path / "venv", "numpy")
    except RuntimeError as error:
        pytest.skip(f"NumPy cannot be installed here: {error}")
    pythons.install(python, "--no-index", str(wheel))  # whatever else it needed would not be found
    assert pythons.run([str(python), "-I", "-c", EVERY_MODULE]).strip() == version
    pythons.run([str(python), "-I", "-c", SCRIPT, str(runs)])
    assert same_integers(runs)
    output = pythons.run(
        [
            str(python.parent / "dsodenet"),
            "run",
            str(runs / "plain"),
            "--backend",
            "cpu",
            "--input",
            str(runs / "plain/x.npy"),
            "--output",
            str(tmp_path / "y.npy"),
            "--json",
        ]
    )
    assert json.loads(output)["kind"] == "measured"
    expected = Reference(MODELS["plain"]).predict(np.load(runs / "plain/x.npy"))
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)


def test_the_same_integers_on_aarch64(wheel: Path, runs: Path, tmp_path: Path) -> None:
    """The processor of the board, emulated: function only, and no time means anything."""
    if not AARCH64.is_dir():
        pytest.skip("no aarch64 Python here; `make aarch64` fetches one")
    command = pythons.aarch64_python(AARCH64)
    machine = pythons.run([*command, "-c", "import platform; print(platform.machine())"])
    assert machine.strip() == "aarch64"
    pythons.run([*command, "-c", SCRIPT, str(runs), installed(wheel, tmp_path / "installed"), str(AARCH64 / "site")])
    assert same_integers(runs)
