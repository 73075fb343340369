"""Fixtures that several test files share."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from dsodenet.cli import entry
from dsodenet.command import Answer
from dsodenet.spec.specification import Spec
from tests.json_page import SECTIONS, undocumented

# Test models are tiny: more threads only wait for each other, for minutes where other work shares the machine.
os.environ["OMP_NUM_THREADS"] = "1"

# The same few examples in every run of the tests; `pytest --hypothesis-profile=long` looks for new ones.
settings.register_profile(
    "long", max_examples=2000, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.register_profile(
    "quick",
    settings.get_profile("long"),
    max_examples=25,
    stateful_step_count=12,
    derandomize=True,
    database=None,
)
settings.load_profile("quick")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--vitis-run", metavar="RUN", help="also test the Verilog that Vitis HLS exported in this run folder"
    )


@pytest.fixture(autouse=True, scope="session")
def keys_on_the_page() -> Iterator[None]:
    """Every answer that a command gives in any test has only keys that the page JSON of the commands has."""
    words: list[str] = []
    run, give = entry._run, entry.give

    def remember(given: list[str]) -> tuple[int, Exception | None]:
        words[:] = given
        return run(given)

    def checked(answer: Answer, *args: Any, **options: Any) -> int:
        command = " ".join(words[: 2 if words[0] == "study" else 1])
        if command in SECTIONS:  # not one that a test made up
            assert list(undocumented(command, answer.to_dict())) == [], f"docs/json.md, {command}"
        return give(answer, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entry, "_run", remember)
        patch.setattr(entry, "give", checked)
        yield


@pytest.fixture(autouse=True, scope="session")
def own_last_error(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The errors that tests provoke are not the user's."""
    path = tmp_path_factory.mktemp("errors") / "last-error.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dsodenet.runtime.last_error.last_error_file", lambda: path)
        yield


MakeSpec = Callable[..., Spec]


@pytest.fixture(scope="session")
def make_spec() -> MakeSpec:
    """make_spec(name, method, n_steps, quantisation={...}, **network): xs with some fields replaced."""

    def make(
        name: str = "tiny",
        method: str = "euler",
        n_steps: int | tuple[int, ...] = 2,
        quantisation: dict[str, Any] | None = None,
        solver: dict[str, Any] | None = None,
        **network: Any,
    ) -> Spec:
        base = Spec.named("xs")
        channels = network.get("channels", base.network.channels)
        steps = (n_steps,) * len(channels) if isinstance(n_steps, int) else n_steps
        return Spec(
            name,
            dataclasses.replace(base.network, **network),
            dataclasses.replace(base.solver, method=method, n_steps=steps, **(solver or {})),
            dataclasses.replace(base.quantisation, **(quantisation or {})),
            base.kernel,
        )

    return make


@pytest.fixture(scope="session")
def compiler() -> str:
    """A C++ compiler; tests that need one are skipped without."""
    found = shutil.which("g++") or shutil.which("clang++")
    if found is None:
        pytest.skip("no C++ compiler")
    return found


Damage = Callable[[bytes, int], list[bytes]]


@pytest.fixture(scope="session")
def damaged() -> Damage:
    """damaged(content, count): copies with a few random bytes changed, one in ten cut short.

    The same ones every time.
    """

    def make(content: bytes, count: int) -> list[bytes]:
        random = Random(len(content))
        copies = []
        for _ in range(count):
            copy = bytearray(content)
            for _ in range(random.choice((1, 2, 10))):
                ends = random.choice((len(copy), min(len(copy), 300)))  # headers and directories lie at the ends
                copy[random.choice((1, -1)) * random.randrange(1, ends)] = random.randrange(256)
            copies.append(bytes(copy[: random.randrange(len(copy))] if random.random() < 0.1 else copy))
        return copies

    return make


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return tmp_path / "run"
