"""The lock holds what `make setup` needs, each file by its hash, and leaves torch's build to the machine."""

from __future__ import annotations

import re
from pathlib import Path

import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.lock import LOCK, OF_THE_MACHINE, extras, stanzas

TEXT = LOCK.read_text(encoding="utf-8")
LOCKED = {canonicalize_name(stanza.split("==")[0]): stanza for stanza in stanzas(TEXT)}


def test_every_package_has_a_version_and_hashes() -> None:
    assert len(stanzas(TEXT)) > 200
    for stanza in stanzas(TEXT):
        first, *hashes = stanza.splitlines()
        assert re.match(r"[\w.-]+==[\w.+!-]+ ; .* \\$", first), first
        assert hashes
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in hashes), first
    rest = TEXT
    for stanza in stanzas(TEXT):
        rest = rest.replace(stanza, "")
    assert all(line.startswith("#") for line in rest.splitlines()), "a line belongs to no package"


def test_what_the_package_asks_for_is_locked_in_its_range() -> None:
    project = tomllib.loads((Path(LOCK).parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = project["dependencies"] + [r for extra in extras() for r in project["optional-dependencies"][extra]]
    for requirement in map(Requirement, asked):
        if requirement.name == "torch":
            continue
        (version,) = re.findall(r"==([^ ]+)", LOCKED[canonicalize_name(requirement.name)].splitlines()[0])[:1]
        assert requirement.specifier.contains(version), requirement


def test_torch_and_its_gpu_libraries_are_the_machines_own() -> None:
    assert not [name for name in LOCKED if OF_THE_MACHINE.match(f"{name}==")]
    names = ("triton", "torch", "nvidia-nccl-cu13", "cuda-bindings", "torchdiffeq")
    found = stanzas("".join(f"{name}==1 \\\n    --hash=sha256:00\n" for name in names))
    assert [stanza.split("==")[0] for stanza in found] == ["torchdiffeq"]
