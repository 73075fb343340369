"""The quick ones of the proofs in overlays/rtl/formal; `python -m tools.rtl.prove` runs all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsodenet.errors import ToolError
from dsodenet.rtl import build as rtl
from tools.rtl import prove

pytestmark = pytest.mark.slow

pytest.importorskip("pyosys", reason="pyosys is not installed")
try:
    prove.tools()
except ToolError as error:
    pytest.skip(str(error), allow_module_level=True)
FIRST = {proof.module: proof for proof in reversed(prove.PROOFS)}


@pytest.mark.parametrize(
    ("module", "mode"),
    [
        *(("logits_writer", mode) for mode in prove.ENGINES),
        ("program_loader", "prove"),
        ("control", "prove"),
        ("image_loader", "bmc"),
    ],
)
def test_proof_holds(module: str, mode: str, tmp_path: Path) -> None:
    holds, _, said = prove.prove(FIRST[module], mode, tmp_path / mode)
    assert holds, said


@pytest.mark.parametrize("mode", ["bmc", "prove"])
def test_proof_sees_a_beat_that_does_not_wait(mode: str, tmp_path: Path) -> None:
    source = (rtl.engine_folder() / "logits_writer.sv").read_text(encoding="utf-8")
    waits = "pending_q && (!m_axis_tvalid || m_axis_tready)"
    assert waits in source
    (tmp_path / "logits_writer.sv").write_text(source.replace(waits, "pending_q"), encoding="utf-8")
    holds, _, said = prove.prove(FIRST["logits_writer"], mode, tmp_path / mode, engine=tmp_path)
    assert not holds
    assert "Assert failed" in said


def test_missing_prover_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove.shutil, "which", lambda *arguments, **keywords: None)
    with pytest.raises(ToolError, match="yowasp-sby is not installed"):
        prove.tools()
