"""Energy of calls: counters and rails made of plain files, and the paths that may not have a figure."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dsodenet.bench import comparison as compare
from dsodenet.bench import energy, paths
from dsodenet.bench.paths import Timed
from dsodenet.errors import ToolError

IMAGES = np.zeros((4, 1, 4, 4), np.uint8)


def domain(folder: Path, name: str, title: str, microjoules: int) -> Path:
    path = folder / name
    path.mkdir()
    (path / "name").write_text(f"{title}\n")
    (path / "energy_uj").write_text(f"{microjoules}\n")
    (path / "max_energy_range_uj").write_text("1000000\n")
    return path


def test_sockets_are_found_and_their_parts_are_not(tmp_path: Path) -> None:
    socket = domain(tmp_path, "intel-rapl:0", "package-0", 5)
    domain(tmp_path, "intel-rapl:0:0", "core", 5)
    (domain(tmp_path, "intel-rapl:1", "package-1", 5) / "energy_uj").unlink()  # as if for root only
    assert energy.rapl_domains(tmp_path) == {"RAPL package-0": socket}
    assert energy.rapl_domains(tmp_path / "none") == {}


@pytest.mark.parametrize("start", [0, 999_000])  # the second counter begins again after 1,000 uJ
def test_joules_of_a_call_are_the_counter_over_the_calls(tmp_path: Path, start: int) -> None:
    counter = domain(tmp_path, "intel-rapl:0", "package-0", start) / "energy_uj"
    calls: list[int] = []

    def call() -> None:
        calls.append(1)
        counter.write_text(str((int(counter.read_text()) + 2500) % 1_000_000))

    found = energy.joules_per_call(call, energy.rapl_domains(tmp_path), stretch_s=0.001)
    assert found == {"RAPL package-0": pytest.approx(2.5e-3)}
    assert calls
    calls.clear()
    assert energy.joules_per_call(call, {}) == {}
    assert not calls, "no sensor, no work"


def test_joules_of_a_rail_are_its_power_by_the_seconds(tmp_path: Path) -> None:
    simdevice = pytest.importorskip("dsodenet.runtime.simulated.device")
    rails = {name: simdevice.rail(tmp_path, name, watts) for name, watts in (("12V", 8.0), ("bare", None))}
    now = iter(np.arange(0.0, 100.0, 0.25))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(energy, "time", SimpleNamespace(perf_counter=lambda: next(now)))
        found = energy.rail_joules_per_call(lambda: None, rails, stretch_s=1.0)
    assert found == {"12V": pytest.approx(8.0 * 0.25, rel=0.5)}


def timed(kind: str, accelerator: Any = None) -> Timed:
    return Timed("x", 1, "w8a8", "numpy", lambda images: images, kind=kind, machine="", accelerator=accelerator)


def test_only_what_is_measured_has_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "rapl_domains", lambda: {"RAPL": Path("x")})
    monkeypatch.setattr(compare, "joules_per_call", lambda call, domains: dict.fromkeys(domains, 0.02))
    monkeypatch.setattr(compare, "rail_joules_per_call", lambda call, rails: dict.fromkeys(rails, 0.04))
    assert compare._energy_mj(timed("measured"), IMAGES) == {"RAPL": 5.0}, "of one of four images"
    assert compare._energy_mj(timed("simulated"), IMAGES) == {}

    def cannot() -> dict[str, Any]:
        raise ToolError("no bus")

    for rails, expected in ((lambda: {"12V": 1}, {"12V": 10.0}), (dict, {}), (cannot, {})):
        board = SimpleNamespace(power_rails=rails)
        assert compare._energy_mj(timed("measured", board), IMAGES) == expected


def test_a_compiler_that_does_not_work_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def compiled(model: Any, **options: Any) -> Any:
        def fail(images: Any) -> Any:
            raise RuntimeError("no C++ compiler\nand a long trace")

        return fail

    job: Any = SimpleNamespace(float_model=torch.nn.Identity(), threads=(1,), batches=(1,), images=IMAGES)
    monkeypatch.setattr(torch, "compile", compiled)
    with pytest.raises(ToolError, match=r"^torch.compile does not work here \(no C\+\+ compiler\)$"):
        paths.torch_compiled(job)
    monkeypatch.setattr(torch, "compile", lambda model, **options: model)
    (path,) = paths.torch_compiled(job)
    assert (path.name, path.numbers, path.kind) == ("torch-compile", "float32", "measured")
