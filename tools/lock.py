"""Write requirements.lock: every package of `make setup`, direct and transitive, with the hashes of its files.

Versions are those of this environment, where Python OLDEST takes them: run the tests first. Torch and the libraries of
its GPU builds are left out, since a machine chooses its own build. Needs uv.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from dsodenet.command import Values
from dsodenet.errors import ToolError
from dsodenet.files import atomic_file
from tools import command_line

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
OLDEST = "3.11.2"  # of Debian 12
MACHINE = "sys_platform == 'linux' and python_full_version >= '3.11.2' and python_version < '3.13'"
OF_THE_MACHINE = re.compile(r"(torch|triton|nvidia|cuda)(-[\w-]+)?==")
TIMEOUT_S = 900
HEAD = """# What `make setup` installs besides torch, each file by its hash. Written by `python -m tools.lock`.
# Python 3.11 and 3.12 on Linux.
"""


def installed() -> str:
    """The versions of this environment as constraints, but for what the oldest Python cannot take."""
    from packaging.specifiers import SpecifierSet

    lines = []
    for found in importlib.metadata.distributions():
        name, takes = found.metadata["Name"], SpecifierSet(found.metadata.get("Requires-Python") or "")
        if name != "dsodenet" and "+" not in found.version and takes.contains(OLDEST):
            lines.append(f"{name}=={found.version}\n")
    return "".join(sorted(lines))


def extras() -> list[str]:
    """Those of `make setup`."""
    (line,) = re.findall(r"^EXTRAS := (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    return str(line).split(",")


def stanzas(text: str) -> list[str]:
    """name==version and its hashes, one string for each package that this machine's torch does not choose."""
    found = re.findall(r"^\S+==.*\n(?:    .*\n)+", text, re.MULTILINE)
    return [stanza for stanza in found if not OF_THE_MACHINE.match(stanza)]


def work(args: argparse.Namespace) -> Values:
    uv = shutil.which("uv")
    if uv is None:
        raise ToolError("the lock is written by uv, which is not on the PATH; `pip install uv` brings it")
    with tempfile.TemporaryDirectory(prefix="dsodenet-lock-") as name:
        folder = Path(name)
        project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        (folder / "pyproject.toml").write_text(
            f'{project}\n[tool.uv]\nenvironments = ["{MACHINE}"]\n', encoding="utf-8"
        )
        (folder / "tested.txt").write_text(installed(), encoding="utf-8")
        command = [
            uv,
            "pip",
            "compile",
            "pyproject.toml",
            "--universal",
            "--python-version",
            "3.11",
            "--generate-hashes",
        ]
        command += ["--no-annotate", "--no-header", "--quiet", "-c", "tested.txt", "-o", "lock.txt"]
        command += [word for extra in extras() for word in ("--extra", extra)]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        if ended.returncode:
            raise ToolError(f"uv found no set of packages: {' '.join(ended.stderr.split())[:600]}")
        found = stanzas((folder / "lock.txt").read_text(encoding="utf-8"))
    with atomic_file(LOCK) as beside:
        beside.write_text(HEAD + "".join(found), encoding="utf-8")
    return Values({"lock": LOCK.name, "packages": len(found)})


def main(arguments: list[str] | None = None) -> int:
    return command_line.run(command_line.parser("tools.lock", __doc__), work, arguments)


if __name__ == "__main__":
    sys.exit(main())
