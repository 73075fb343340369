"""The driver under any order of calls: new solvers, batches, faults of the device and bad input never leave it wrong.

And what goes over the streams comes back.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from dsodenet.contract.streams import image_bytes, logits_bytes, pack_images, pack_logits, unpack_images, unpack_logits
from dsodenet.errors import DeviceError, InputError, SpecError
from dsodenet.reference import Reference
from dsodenet.runtime.accelerator import Accelerator
from dsodenet.runtime.simulated.kernels import ReferenceKernel
from dsodenet.spec.solvers import TABLEAUS
from dsodenet.spec.synthetic import random_images
from tests.models import MODELS

pytest.importorskip("pynq")
from dsodenet.runtime.simulated.device import SimulatedZcu104
from dsodenet.runtime.simulated.memory import AxiDma

FAULTS = [("short_packets", 1), ("mm2s_error", AxiDma.DECODE), ("s2mm_error", AxiDma.SLAVE), ("lost_accesses", 1)]
SMALL = min(MODELS, key=lambda name: image_bytes(MODELS[name].spec.network))


@given(st.sampled_from([*MODELS]), st.integers(1, 5), st.integers(0, 1 << 16))
def test_what_goes_over_the_streams_comes_back(name: str, count: int, seed: int) -> None:
    network, rng = MODELS[name].spec.network, np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *network.image_shape), np.uint8)
    views = (images, np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2), images[::-1])
    for view in views:
        out = rng.integers(0, 256, count * image_bytes(network), np.uint8)  # whatever was there before
        pack_images(view, out)
        np.testing.assert_array_equal(unpack_images(out, network), view)
        padding = out.reshape(count, -1)[:, images[0].size :]
        assert not padding.any()
    logits = rng.integers(-(1 << 31), 1 << 31, (count, network.num_classes), np.int64).astype(np.int32)
    data = np.frombuffer(pack_logits(logits), np.uint8)
    assert data.size == count * logits_bytes(network)
    np.testing.assert_array_equal(unpack_logits(data, network), logits)


class Driver(RuleBasedStateMachine):
    """An accelerator on the simulated board beside the reference."""

    accelerator: Accelerator
    broken = False

    @initialize(name=st.sampled_from([SMALL, "time_bias"]), batch=st.integers(1, 3))
    def open(self, name: str, batch: int) -> None:
        params = MODELS[name]
        self.images = random_images(params.spec, 6, 5)
        limit = batch * max(image_bytes(params.spec.network), logits_bytes(params.spec.network))
        self.device = SimulatedZcu104(ReferenceKernel(params))
        self.accelerator = Accelerator(params, "zcu104-sim", device=self.device, max_batch_bytes=limit, timeout_s=0.2)
        self.solver = params.spec.solver

    @rule(count=st.integers(1, 6))
    def predict(self, count: int) -> None:
        expected = Reference(self.accelerator.params).predict(self.images[:count])
        np.testing.assert_array_equal(self.accelerator.predict(self.images[:count]), expected)

    @rule(count=st.integers(1, 4))
    def predict_later(self, count: int) -> None:
        future = self.accelerator.predict_async(self.images[:count])
        expected = Reference(self.accelerator.params).predict(self.images[:count])
        np.testing.assert_array_equal(future.result(60), expected)

    @rule(method=st.sampled_from([*TABLEAUS]), n_steps=st.integers(-1, 5))
    def set_solver(self, method: str, n_steps: int) -> None:
        try:
            self.accelerator.set_solver(method, n_steps)
        except SpecError:
            assert n_steps < 1
            assert self.accelerator.params.spec.solver == self.solver, "a refused solver changes nothing"
        self.solver = self.accelerator.params.spec.solver

    @rule(shape=st.lists(st.integers(0, 3), min_size=1, max_size=4))
    def odd_images(self, shape: list[int]) -> None:
        try:
            self.accelerator.predict(np.zeros(shape, np.uint8))
        except InputError:
            return
        assert tuple(shape[1:]) == self.accelerator.params.spec.network.image_shape

    @precondition(lambda self: hasattr(self, "accelerator"))
    @rule(
        fault=st.sampled_from([("short_packets", 1), ("mm2s_error", 0x10), ("s2mm_error", 0x40), ("lost_accesses", 1)])
    )
    def the_device_fails_once(self, fault: tuple[str, int]) -> None:
        """A command that ends in an error in words; the next one works, whatever it is."""
        setattr(self.device.board.faults, *fault)
        with pytest.raises(DeviceError):
            self.accelerator.predict(self.images[:1])

    def teardown(self) -> None:
        if hasattr(self, "accelerator"):
            self.accelerator.close()


TestDriver = Driver.TestCase
