"""The wheel: what is in it, and that it runs with NumPy alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from runtime_models import MODELS

from dsodenet.reference import Reference
from dsodenet.synthetic import random_images

ROOT = Path(__file__).parents[1]
PARTS = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in", "host", "hls", "overlays")
PARAMS = MODELS["time_bias"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, with the setuptools that is installed, so that nothing is downloaded."""
    pytest.importorskip("build")
    tree = tmp_path_factory.mktemp("tree")
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, tree)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tree / "dist"), str(tree)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    (path,) = (tree / "dist").glob("*.whl")
    return path


def names(folder: Path) -> set[str]:
    return {str(file.relative_to(ROOT)) for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts}


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
import sys
sys.path[:0] = sys.argv[1:3]
import numpy as np
import dsodenet
assert dsodenet.__file__.startswith(sys.argv[1]), dsodenet.__file__
from dsodenet.runtime import Accelerator
from dsodenet.sources import source_folder
assert (source_folder("overlays") / "zcu104" / "common.tcl").is_file()
assert (source_folder("hls") / "stream_io.h").is_file()
with Accelerator(sys.argv[3]) as accelerator:
    np.save(sys.argv[4], accelerator.predict(np.load(sys.argv[5])))
from dsodenet.errors import ToolError
try:
    Accelerator(sys.argv[3], "zcu104-sim")
except ToolError as error:
    assert "pynq is not installed" in str(error), error
else:
    raise AssertionError("pynq came from somewhere")
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"torch", "pynq", "hls4ml", "onnx", "brevitas", "tqdm"}, loaded
"""


def test_the_wheel_runs_with_numpy_alone(wheel: Path, tmp_path: Path) -> None:
    """In a Python that sees the unpacked wheel and NumPy, and no other package."""
    packages, installed = tmp_path / "packages", tmp_path / "installed"
    packages.mkdir()
    for source in Path(np.__file__).parents[1].glob("numpy*"):
        (packages / source.name).symlink_to(source)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    images = random_images(PARAMS.spec, 4, 1)
    np.save(tmp_path / "x.npy", images)
    PARAMS.save(tmp_path / "run")
    arguments = [str(path) for path in (installed, packages, tmp_path / "run", tmp_path / "y.npy", tmp_path / "x.npy")]
    result = subprocess.run([sys.executable, "-I", "-S", "-c", SCRIPT, *arguments], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), Reference(PARAMS).predict(images))
