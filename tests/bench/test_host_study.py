"""The figures of the host library: what is counted, what is estimated, and that a wrong one fails the command."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import numpy as np
import pytest

from dsodenet.contract.registers import Kind
from dsodenet.contract.streams import logits_bytes
from dsodenet.errors import DeviceError
from dsodenet.runtime.accelerator import Accelerator
from dsodenet.spec.synthetic import random_images
from tests.models import MODELS

pytest.importorskip("pynq")

from dsodenet.bench import host_share
from dsodenet.bench.studies import host_study as host
from dsodenet.runtime.prepared import PreparedRun
from tests.command_line import call

PARAMS = MODELS["time_bias"]


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host, "FAULT_TIMEOUT_S", 0.05)
        patch.setattr(host, "SPECS", ("xs",))
        patch.setattr(host, "BATCHES", (1, 8))
        patch.setattr(host, "WAITS", 5)
        patch.setattr(host, "ROUNDS", 2)
        return host.measure(repeats=3, many=50)


def test_a_call_in_steps(result: dict[str, Any]) -> None:
    assert [(row["batch"], row["layout"], row["code"]) for row in result["calls"]] == [
        *product((1, 8), ("nchw", "nhwc"), ("python", "native"))
    ]
    for python, native in zip(result["calls"][::2], result["calls"][1::2]):
        assert native["python_steps"] < 0.7 * python["python_steps"]
    about = result["assumptions"]
    for row in result["calls"]:
        assert 5 <= row["accesses"] <= 8
        assert 100 < row["python_steps"] < 450, "a call that is prepared does not look things up"
        assert row["us"] == pytest.approx(sum(row["steps_us"].values()))
        steps = {"native"} if row["code"] == "native" else {"pack", "doorbells", "wait", "unpack"}
        assert steps < set(row["steps_us"])
        low, used, high = (row["a53_us"][name] for name in ("low", "used", "high"))
        assert used - low == pytest.approx(2 * row["us"])
        assert high - low == pytest.approx(4 * row["us"])
        clean_us = row["batch"] * 16 * 16 / 64 * about["clean_us"] + (row["code"] == "python") * about["flush_us"]
        assert used == pytest.approx(10 * row["us"] + row["accesses"] * about["bus_us"] + clean_us)


def test_the_mapped_board_is_the_same_driver() -> None:
    """Its logits are whatever its memory holds, but registers are mapped memory as on a board."""
    device = host_share.MappedZcu104(PARAMS)
    device.expect(3 * logits_bytes(PARAMS.spec.network))
    with Accelerator(PARAMS, "zcu104-sim", device=device) as accelerator:
        images = random_images(PARAMS.spec, 3, 1)
        assert accelerator.predict(images).shape == (3, 10)
        with pytest.raises(DeviceError, match=r"sent 144 bytes, but 96 were expected"):
            accelerator.predict(images[:2])


def test_waiting(result: dict[str, Any]) -> None:
    """A slow kernel is slept for; all are waited for to their end."""
    rows = result["waiting"]["rows"]
    assert [row["kernel_us"] for row in rows] == pytest.approx([20, 86, 500, 500, 5000, 5000])
    assert [row["wait"] for row in rows] == [*["poll"] * 3, "interrupt", "poll", "interrupt"]
    assert all(row["late_us"] >= 0 for row in rows)
    assert rows[-1]["cpu"] < 0.8


def test_the_instant_kernel_tells_images_and_their_order_apart() -> None:
    images = random_images(PARAMS.spec, 5, 1)
    sums = host.pixel_sums(images, 10)
    with host.open_instant(PARAMS)[1] as accelerator:
        np.testing.assert_array_equal(accelerator.predict(images), sums)
        assert (accelerator.predict(images.transpose(0, 1, 3, 2)) != sums).any()
    assert len(np.unique(sums, axis=0)) == 5


def test_many_calls_leave_nothing_behind() -> None:
    found = host.endurance(PARAMS, 1000)
    assert found["wrong_words"] == 0
    assert found["after"]["python"] - found["before"]["python"] < 20_000
    assert found["before"]["buffers"] == found["after"]["buffers"]
    assert found["buffers_after_close"] == 0


def test_a_wrong_word_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = PreparedRun.pack
    monkeypatch.setattr(PreparedRun, "pack", lambda run, images: pack(run, images[::-1]))
    assert host.endurance(PARAMS, 20)["wrong_words"] > 0


def test_a_leak_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, unpack = [], PreparedRun.unpack
    monkeypatch.setattr(PreparedRun, "unpack", lambda run: (kept.append(bytes(100)), unpack(run))[1])
    found = host.endurance(PARAMS, 500)
    assert found["after"]["python"] - found["before"]["python"] > 50_000


def test_the_real_pynq_reads_both_overlays(result: dict[str, Any]) -> None:
    assert [(row["kernel"], row["instance"], row["bound_to"]) for row in result["hand_off"]] == [
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
            assert "Estimated for a ZCU104: a53" in " ".join(output.split())  # the processor's name moves the lines
            assert "/xs.bit" not in output, "no temporary folder"
            assert "stalled kernel: no answer in 0.05 s" in output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--many", "0"), "many 0, but both must be at least 1"),
        (("--many", "few"), "invalid int value"),
        (("--json", "out.txt"), "must be a .json file"),
        (("--board", "pynq-z2"), "board is 'pynq-z2', but it must be one of sim, zcu104"),
        (("--board", "zcu104"), "board zcu104 needs --overlay FILE.bit"),
        (("--overlay", "x.bit"), "--overlay is for --board zcu104"),
    ],
)
def test_bad_input_is_one_line(words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("study", "host", *words) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert (output.out, output.err.count("\n")) == ("", 1)
