"""The rtl kernel as a library: Verilator turns the engine into C++, g++ into a shared object.

The library answers the C interface of every simulated kernel (see harness.cpp). A library is built once and cached
in the user's cache folder, for all runs and checkouts, in a folder whose name holds the lanes and a hash of everything
that went into it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from dsodenet.contract import cpp_header, sv_package
from dsodenet.errors import ToolError
from dsodenet.files import how_to_install, source_folder, user_cache
from dsodenet.native import sealed
from dsodenet.rtl.engine import Engine, program_package
from dsodenet.spec import Kernel, lanes_text

LIBRARY = "libdsodenet_rtl.so"
ENGINE_TOP = "dsodenet_engine"
PACKAGES = ("engine_pkg.sv",)
BUILD_TIMEOUT_S = 1800


def engine_folder() -> Path:
    """overlays/rtl."""
    return source_folder("overlays") / "rtl"


def build_folder() -> Path:
    """dsodenet/rtl in the user's cache folder: $XDG_CACHE_HOME, or ~/.cache."""
    return user_cache("rtl")


def engine_sources() -> list[Path]:
    """The SystemVerilog of the engine, packages first."""
    return sorted(sorted(engine_folder().glob("*.sv")), key=lambda file: file.name not in PACKAGES)


def engine_constraints() -> Path:
    """The timing exceptions of the engine, for Vivado."""
    return engine_folder() / f"{ENGINE_TOP}.xdc"


def generated_sources(folder: Path) -> list[Path]:
    """Write the generated packages and the C++ header; returns the SystemVerilog files."""
    packages = {"dsodenet_registers_pkg.sv": sv_package(), "dsodenet_program_pkg.sv": program_package()}
    for name, text in (packages | {"registers.h": cpp_header()}).items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in packages]


def engine_parameters(engine: Engine) -> dict[str, int]:
    """Parameters of the top module."""
    return {key.upper(): int(value) for key, value in vars(engine).items()}


def verilator() -> str:
    """Path of the program; it may lie inside the Python package of the same name."""
    packaged = Path(sysconfig.get_paths()["purelib"]) / "verilator" / "bin" / "verilator"
    found = str(packaged) if packaged.is_file() else shutil.which("verilator")
    if not found:
        raise ToolError(f"verilator is not installed; {how_to_install('rtl')} brings it")
    for tool in ("g++", "make", "perl"):
        if not shutil.which(tool):
            raise ToolError(
                f"{tool} is not installed, and verilator needs it; Debian and Ubuntu: apt-get install {tool}"
            )
    return found


def environment() -> dict[str, str]:
    """Verilator 5.48 leaves the name of a precompiled-header option empty unless make is told it, and calls Python by
    a name that Debian does not have. Code that runs once, such as the table of all signals that cocotb asks for,
    takes minutes to optimise and gains nothing."""
    flags = os.environ.get("MAKEFLAGS", "")
    folders = (str(Path(verilator()).parent), os.environ.get("PATH", ""), str(Path(sys.executable).parent))
    return os.environ | {
        "MAKEFLAGS": f"{flags} CFG_CXXFLAGS_PCH_I=-include PYTHON3=python3 OPT_FAST=-O1 OPT_SLOW=-O0".strip(),
        "PATH": os.pathsep.join(folders),
    }


def key(engine: Engine, **parameters: int) -> str:
    """Name of the cache folder: lanes and a hash of sources, parameters and generated text."""
    values = sorted((engine_parameters(engine) | parameters).items())
    digest = hashlib.sha256(repr((cpp_header(), program_package(), values)).encode())
    for file in (
        *engine_sources(),
        engine_folder() / "sim" / "lint.vlt",
        engine_folder() / "sim" / "harness.cpp",
        Path(__file__),
    ):
        digest.update(file.read_bytes())
    return f"{lanes_text(engine)}-{digest.hexdigest()[:12]}"


def engine_library(kernel: Kernel | Engine, build: Path | None = None, **parameters: int) -> Path:
    """The shared library of an engine, built on first use; that of a kernel is the one with its lanes.

    parameters: more of dsodenet_engine.sv than an Engine has. ToolError when a tool is missing.
    """
    engine = kernel if isinstance(kernel, Engine) else Engine.of(kernel)
    place = (build or build_folder()) / key(engine, **parameters)

    def make(folder: Path) -> None:
        command = verilator()
        print(
            f"building the simulation of the rtl engine with {lanes_text(engine)} lanes; it takes from seconds to "
            f"minutes, once, and is kept in {place.parent}",
            file=sys.stderr,
            flush=True,
        )
        _build(command, engine_parameters(engine) | parameters, folder)

    return sealed(place, make) / LIBRARY


def _build(command: str, parameters: dict[str, int], folder: Path) -> None:
    lint = ["-Wall", str(engine_folder() / "sim" / "lint.vlt")]
    values = [f"-G{name}={value}" for name, value in parameters.items()]
    sources = [*generated_sources(folder), *engine_sources()]
    compile_library(command, folder, [*lint, *values, *map(str, sources)], bool(parameters.get("DOUBLE_PUMPED")))


def compile_library(command: str, folder: Path, arguments: list[str], double_pumped: bool = False) -> None:
    """Verilate what `arguments` name and link it with the harness into folder / LIBRARY.

    registers.h is there already. double_pumped: the harness drives the fast clock, too.
    """
    objects = folder / "obj"
    verilate = [command, "--cc", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert"]
    _run(
        [
            *verilate,
            "--prefix",
            "Vengine",
            "--top-module",
            ENGINE_TOP,
            "--Mdir",
            str(objects),
            "-CFLAGS",
            "-fPIC",
            *arguments,
        ],
        folder,
    )
    jobs = str(os.cpu_count() or 1)
    _run(["make", "-C", str(objects), "-f", "Vengine.mk", "-j", jobs, "OPT_FAST=-O1", "OPT_GLOBAL=-O1",
          "Vengine__ALL.a", "libverilated.a"], folder)  # fmt: skip
    roots = (Path(command).resolve().parent.parent / part for part in ("include", "share/verilator/include"))
    root = next((path for path in roots if (path / "verilated.h").is_file()), None)
    if root is None:
        raise ToolError(f"{command}: its header verilated.h is not beside it")
    defines = ["-DDOUBLE_PUMPED"] if double_pumped else []
    _run(["g++", "-std=c++17", "-O2", "-shared", "-fPIC", *defines, "-I", str(objects), "-I", str(folder),
          "-I", str(root), "-I", str(root / "vltstd"), str(engine_folder() / "sim" / "harness.cpp"),
          str(objects / "Vengine__ALL.a"), str(objects / "libverilated.a"), "-lpthread",
          "-o", str(folder / LIBRARY)], folder)  # fmt: skip
    shutil.rmtree(objects)


def _run(command: list[str], folder: Path) -> None:
    result = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=BUILD_TIMEOUT_S
    )
    (folder / f"{Path(command[0]).name}.log").write_text(result.stdout + result.stderr, encoding="utf-8")
    if result.returncode:
        raise ToolError(f"{Path(command[0]).name} failed while building the rtl kernel:\n{result.stderr[-4000:]}")
