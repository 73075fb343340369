"""Other Pythons for tests: those of the PYNQ images in clean environments, and one for aarch64 under qemu-user.

`python -m tools.pythons boards FOLDER` installs the wheel with the pynq of each image and runs the self-test on the
simulated board. `python -m tools.pythons aarch64 FOLDER` fetches what tests/test_wheel.py needs for aarch64: packages
of Debian into FOLDER, of which nothing is installed on this machine, and NumPy's wheel. It needs apt-get and
dpkg-deb, and a Debian or Ubuntu whose mirrors hold arm64.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from dsodenet.files import atomic_folder

ROOT = Path(__file__).parents[1]
PARTS = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in", "host", "hls", "overlays")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
TIMEOUT_S = 300
# Python of an image -> what that image brings beside NumPy. pynq 3 needs an older pycparser than it asks for.
IMAGES = {"3.10": ("pynq==3.1.2", "pycparser<3", "setuptools<81"), "3.12": ("pynq==4.0.0",)}
AARCH64_PACKAGES = ("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6", "zlib1g")
AARCH64_PYTHON, AARCH64_NUMPY = "3.11", "numpy==1.26.4"
QEMU, EMULATOR = "qemu-user-static", "qemu-aarch64-static"


def run(command: list[str]) -> str:
    """Standard output of a command; RuntimeError with what it said when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, env=_clean())
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command[:6])} ... ended with status {done.returncode}: {(done.stderr or done.stdout)[-2000:]}"
        )
    return str(done.stdout)


def _clean() -> dict[str, str]:
    """This process's surroundings, without paths to packages of its own Python."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout, built in `folder` from a copy, with the setuptools that is installed.

    Nothing is downloaded.
    """
    tree = folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, tree)
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tree / "dist"), str(tree)])
    (path,) = (tree / "dist").glob("*.whl")
    return path


def interpreter(version: str) -> str | None:
    """A Python of this version that starts: on the PATH, or among those that pyenv keeps."""
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *sorted(map(str, kept.glob(f"{version}.*/bin/python{version}")))]
    for candidate in filter(None, candidates):
        if (
            subprocess.run([str(candidate), "-c", "import venv"], capture_output=True, timeout=TIMEOUT_S).returncode
            == 0
        ):
            return candidate
    return None


def environment(python: str, folder: Path, *packages: str) -> Path:
    """A new virtual environment with these packages and what they need; the path of its Python."""
    run([python, "-m", "venv", "--clear", "--without-pip", str(folder)])
    path = folder / "bin" / "python"
    install(path, *packages)
    return path


def install(python: Path, *arguments: str) -> None:
    run([*PIP, "--python", str(python), "install", "--quiet", *arguments])


def boards(folder: Path) -> int:
    """The self-test under the Python and pynq of each image."""
    wheel = build_wheel(folder)
    status = 0
    for version, packages in IMAGES.items():
        if (found := interpreter(version)) is None:
            print(f"Python {version}: none found here, not run")
            continue
        python = environment(found, folder / version, str(wheel), *packages)
        print(f"Python {version} with {packages[0]}:", flush=True)
        command = [str(python), "-I", "-m", "dsodenet", "selftest", "--board", "sim"]
        status |= subprocess.run(command, timeout=TIMEOUT_S).returncode
    return status


def aarch64(folder: Path) -> int:
    """Fill `folder` with the emulator, root (an aarch64 system with Python) and site (NumPy)."""
    with atomic_folder(folder) as new, tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        own = run(["dpkg", "--print-architecture"]).strip()
        for architecture, packages, target in (
            ("arm64", AARCH64_PACKAGES, new / "root"),
            (own, (QEMU,), scratch / "qemu"),
        ):
            for package in _packages(scratch / packages[0], architecture, packages):
                run(["dpkg-deb", "-x", str(package), str(target)])
        shutil.copy(scratch / "qemu/usr/bin/qemu-aarch64-static", new / EMULATOR)
        wheels = ("--only-binary=:all:", "--platform", "manylinux2014_aarch64", "--python-version", AARCH64_PYTHON)
        run([*PIP, "download", "--quiet", "--no-deps", *wheels, AARCH64_NUMPY, "--dest", str(scratch / "wheels")])
        for wheel in (scratch / "wheels").iterdir():
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(new / "site")
    print(
        run([*aarch64_python(folder), "-c", "import platform, sys; print(platform.machine(), 'Python', sys.version)"]),
        end="",
    )
    return 0


def aarch64_python(folder: Path) -> list[str]:
    """The command that starts the aarch64 Python of `folder`; NumPy is in folder / "site"."""
    root = folder / "root"
    return [str(folder / EMULATOR), "-L", str(root), str(root / f"usr/bin/python{AARCH64_PYTHON}"), "-I", "-S"]


def _packages(apt: Path, architecture: str, names: tuple[str, ...]) -> list[Path]:
    """Download Debian packages with all they need, by an apt of their own that believes nothing is installed."""
    for part in ("state/lists/partial", "cache/archives/partial"):
        (apt / part).mkdir(parents=True)
    (apt / "status").touch()
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "",
        "Dir::State": apt / "state",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
    }
    command = ["apt-get", "-qq", *(word for key, value in settings.items() for word in ("-o", f"{key}={value}"))]
    run([*command, "update"])
    run([*command, "install", "--yes", "--no-install-recommends", "--download-only", *names])
    return sorted((apt / "cache" / "archives").glob("*.deb"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("boards", "aarch64"))
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    return {"boards": boards, "aarch64": aarch64}[args.what](args.folder.resolve())


if __name__ == "__main__":
    sys.exit(main())
