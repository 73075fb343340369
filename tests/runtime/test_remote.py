"""The zcu104 backend over PYNQ.remote: pynq's RemoteDevice against a server that holds a simulated board.

No real board was tried.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dsodenet.reference import Reference
from dsodenet.spec.synthetic import random_images
from tests.models import MODELS

pytest.importorskip("pynq.pl_server.remote_device")
PARAMS = MODELS["time_bias"]


def test_a_board_over_the_network(tmp_path: Path) -> None:
    PARAMS.save(tmp_path)
    command = [sys.executable, str(Path(__file__).parent / "remote_board.py"), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    answers = np.load(tmp_path / "answers.npz")
    expected = Reference(PARAMS).predict(random_images(PARAMS.spec, 5, 3))
    for name in ("first", "again"):
        np.testing.assert_array_equal(answers[name], expected)
    np.testing.assert_array_equal(answers["one"], expected[2:3])
    assert str(answers["selftest"]).startswith("self-test of zcu104 (measured)\nok   identity")
    assert "FAIL" not in str(answers["selftest"])
    assert str(answers["power"]).startswith("the power rails of a board over a network cannot be read from here")
    assert "the DMA reports decode error" in str(answers["fault"])
    assert str(answers["lost"]).startswith("the board does not answer any more (")
