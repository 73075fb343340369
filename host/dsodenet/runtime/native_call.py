"""A call of a small network in C: the Python around the same registers takes longer than they do.

native_call.c is compiled for the Python that runs, on first use, where there are a compiler and Python's headers.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shlex
import shutil
import struct
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsodenet.contract import AP_DONE, AP_START, Status
from dsodenet.errors import ToolError
from dsodenet.files import user_cache
from dsodenet.native import sealed

DONE, NOT_DONE, NOT_TAKEN = 0, -1, -2  # what `Run` returns; or CTRL with AP_DONE, where something is not right
LAYOUT = struct.Struct("@9P8q")  # struct Call
SOURCE, MODULE = Path(__file__).with_suffix(".c"), "native_call"
FLAGS = ("-std=c11", "-O3", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror")
COMPILE_TIMEOUT_S = 120

Run = Callable[[bytes, NDArray[np.uint8], NDArray[np.int32]], int]


def constants(dma_idle: int) -> list[str]:
    """The contract's words, as options of a compiler."""
    words = {"AP_START": AP_START, "AP_DONE": AP_DONE, "STATUS_OK": int(Status.OK), "DMASR_IDLE": dma_idle}
    return [f"-D{name}={value}u" for name, value in words.items()]


def load(dma_idle: int) -> Run:
    """`run` of native_call.c. dma_idle: the bit of a DMA status that says that a channel is idle.

    ToolError where it cannot be compiled.
    """
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    options = [*FLAGS, *constants(dma_idle), "-I", sysconfig.get_path("include")]
    digest = hashlib.sha256(repr((SOURCE.read_bytes(), options, suffix, sys.version)).encode()).hexdigest()
    library = f"{MODULE}{suffix}"

    def build(folder: Path) -> None:
        print("compiling calls in native code, once", file=sys.stderr, flush=True)
        compile_to(folder / library, compiler(), options)

    path = sealed(user_cache("native") / digest[:16], build) / library
    spec = importlib.util.spec_from_file_location(MODULE, path, loader=ExtensionFileLoader(MODULE, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Run = module.run
    return found


def compiler() -> list[str]:
    """The command of a C compiler: that of this Python, or what is there."""
    for command in (sysconfig.get_config_var("CC") or "cc", "cc", "gcc"):
        if (words := shlex.split(command)) and shutil.which(words[0]):
            return words
    raise ToolError("no C compiler is installed, so calls go through Python; Debian and Ubuntu: apt-get install gcc")


def compile_to(path: Path, command: list[str], options: list[str]) -> None:
    """Compile native_call.c; ToolError with the first error that the compiler found."""
    result = subprocess.run(
        [*command, *options, str(SOURCE), "-o", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=COMPILE_TIMEOUT_S,
    )
    if result.returncode:
        found = next((line for line in result.stderr.splitlines() if "error:" in line), result.stderr[-200:])
        raise ToolError(f"{SOURCE.name} cannot be compiled, so calls go through Python: {found.strip()}")
