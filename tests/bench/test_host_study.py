"""The figures of the host library: what is counted, what is estimated, and that a wrong one fails the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsodenet.contract.registers import Kind
from dsodenet.spec.synthetic import random_images
from tests.models import MODELS

pytest.importorskip("pynq")

from dsodenet.bench.studies import host_study as host
from dsodenet.runtime.prepared import PreparedRun
from tests.command_line import call

PARAMS = MODELS["time_bias"]


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host, "FAULT_TIMEOUT_S", 0.05)
        return host.measure(repeats=5, many=50)


@pytest.mark.parametrize("batch", host.BATCHES)
def test_a_call_takes_at_most_eight_accesses(result: dict[str, Any], batch: int) -> None:
    (row,) = (row for row in result["calls"] if row["batch"] == batch)
    assert 5 <= row["accesses"] <= 8
    assert row["us_per_image"] == row["median_us"] / batch
    assert {"pack", "flush", "start", "unpack"} <= set(row["stages_us"])


def test_the_instant_kernel_answers_with_the_number_of_the_frame() -> None:
    with host.open_instant(PARAMS)[1] as accelerator:
        logits = accelerator.predict(random_images(PARAMS.spec, 5, 1))
    np.testing.assert_array_equal(logits, np.repeat(np.arange(5)[:, None], 10, axis=1))


def test_the_estimate_is_counted_accesses_by_their_time(result: dict[str, Any]) -> None:
    slow, fast, finn = result["board_estimate"]
    assert slow["us"] == slow["accesses"] * host.ACCESS_US
    assert slow["accesses"] == fast["accesses"] == result["calls"][0]["accesses"]
    assert 0 < fast["us_each"] < slow["us_each"], "the mapped array does less"
    assert finn["us"] == 822


def test_many_calls_leave_nothing_behind() -> None:
    found = host.endurance(PARAMS, 1000)
    assert found["different"] == 0
    assert found["after"]["python"] - found["before"]["python"] < 20_000
    assert found["before"]["buffers"] == found["after"]["buffers"] == 2
    assert found["buffers_after_close"] == 0


def test_a_leak_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, unpack = [], PreparedRun.unpack
    monkeypatch.setattr(PreparedRun, "unpack", lambda run: (kept.append(bytes(100)), unpack(run))[1])
    found = host.endurance(PARAMS, 500)
    assert found["after"]["python"] - found["before"]["python"] > 50_000


def test_the_real_pynq_reads_both_overlays(tmp_path: Path) -> None:
    rows = host.hand_off(tmp_path)
    assert [(row["kernel"], row["instance"], row["bound_to"]) for row in rows] == [
        (kind.name.lower(), *names) for kind in Kind for names in (("axi_dma_0", "DMA"), ("kernel_0", "DsodenetKernel"))
    ]


def test_the_command_says_it_all_and_fails_when_a_call_is_wrong(
    result: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = result | {"faults": [result["faults"][0] | {"next_call_right": False}]}
    for found, status, words in ((result, 0, []), (result, 0, ["--json"]), (wrong, 1, [])):
        monkeypatch.setattr(host, "measure", lambda repeats, many, found=found: found)
        assert call("study", "host", *words) == status
        output = capsys.readouterr().out
        if words:
            assert json.loads(output)["faults"] == result["faults"]
        else:
            assert all(len(line) <= 100 for line in output.splitlines())
            assert "estimated for a ZCU104" in output
            assert "stalled kernel: no answer in 0.05 s" in output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--many", "0"), "many 0, but both must be at least 1"),
        (("--many", "few"), "invalid int value"),
        (("--json", "out.txt"), "must be a .json file"),
    ],
)
def test_bad_input_is_one_line(words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("study", "host", *words) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert (output.out, output.err.count("\n")) == ("", 1)
