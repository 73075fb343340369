"""Fixtures that several test files share."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsodenet.spec import Spec

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


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return tmp_path / "run"
