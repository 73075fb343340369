"""Programs of wider frames: packing, the choice between them, and the engine itself."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dsodenet.contract import image_bytes, logits_bytes, pack_logits, unpack_images
from dsodenet.errors import InputError
from dsodenet.reference import Reference
from dsodenet.runtime.accelerator import Accelerator
from dsodenet.runtime.driver import KernelDriver
from dsodenet.runtime.prepared import PreparedRun
from dsodenet.runtime.programs import Program, Programs
from dsodenet.runtime.transport import Form
from dsodenet.spec import Params, random_images, random_params, side_by_side
from tests.models import MODELS, model, on

PARAMS = MODELS["time_bias"]


class WideExchange:
    """What a kernel with a wide program does, by the reference."""

    def __init__(self, wide: Params, frames: int) -> None:
        network = wide.spec.network
        self.wide = wide
        self.input = np.full(frames * image_bytes(network), 0xA5, np.uint8)
        self.output = np.zeros(frames * logits_bytes(network), np.uint8)

    def start(self) -> None:
        images = unpack_images(self.input, self.wide.spec.network)
        self.output[:] = np.frombuffer(pack_logits(Reference(self.wide).predict(images)), np.uint8)

    def native(self, form: Form) -> None:
        """None."""

    def finish(self, control: int = 0) -> int:
        return 0


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("side", [1, 2, 4])
def test_images_go_side_by_side_and_come_back_in_order(side: int, count: int, layout: str) -> None:
    params = random_params(model("colour", "euler", 2, in_channels=3).spec, 5)
    wide, images = side_by_side(params, side), random_images(params.spec, count, 2)
    exchange = WideExchange(wide, -(-count // side))
    run = PreparedRun(exchange, Program(b"", wide.spec.network, side), count, layout)
    run.pack(images if layout == "nchw" else images.transpose(0, 2, 3, 1))
    exchange.start()
    np.testing.assert_array_equal(run.unpack(), Reference(params).predict(images))


def programs(*costs: tuple[int, int]) -> Programs:
    """costs: (images of a frame, cycles of it); a load costs 10,000."""
    plain, *others = (Program(b"", PARAMS.spec.network, images, cycles.__mul__) for images, cycles in costs)
    return Programs(plain, lambda plain: others)


def test_the_cheapest_program_is_loaded_once_it_is_worth_it() -> None:
    made = programs((1, 1000), (2, 1200), (4, 3000))
    assert [made.best(images).images for images in (1, 2, 3, 64)] == [1, 2, 2, 2]
    loaded = made.plain
    assert made.choose(1, loaded) is loaded
    assert made.choose(2, loaded) is loaded, "800 cycles are less than a load"
    assert made.choose(100, loaded).images == 2, "40,000 are more"
    loaded = made.best(2)
    kept = [made.choose(1, loaded).images for _ in range(50)]
    assert kept == [2] * 49 + [1], "200 cycles lost by each single image: after 50 of them it is worth a load"


def test_single_images_never_make_other_programs() -> None:
    made = Programs(Program(b"", PARAMS.spec.network), lambda plain: pytest.fail("made"))
    assert made.choose(1, made.plain) is made.plain


NARROW = on(random_params(model("narrow", "heun", 2, channels=(2, 3), height=8, width=8).spec, 4), "1x4x8")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["rtl", "zcu104-sim"])
def test_the_engine_computes_several_images_as_one(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if backend == "zcu104-sim":
        pytest.importorskip("pynq")
    monkeypatch.setattr("dsodenet.runtime.programs.LOAD_CYCLES", 0)
    images = random_images(NARROW.spec, 33, 1)
    expected = Reference(NARROW).predict(images)
    with Accelerator(NARROW, backend) as accelerator:
        widths, cycles = [], []
        for count in (1, 33, 1, 1, 6, 33):
            np.testing.assert_array_equal(accelerator.predict(images[:count]), expected[:count])
            backend_driver = accelerator._backend
            assert isinstance(backend_driver, KernelDriver)
            assert backend_driver._loaded is not None
            widths.append(backend_driver._loaded.images)
            assert accelerator.last_call is not None
            cycles.append(accelerator.last_call.cycles)
        assert widths[0] == 1
        assert widths[1] > 1
        assert cycles[1] is not None
        assert cycles[0] is not None
        assert cycles[1] < 0.75 * 33 * cycles[0]
        accelerator.set_solver("euler", 3)
        expected = Reference(accelerator.params).predict(images)
        found = list(accelerator.stream([images[:20], images[20:], images[:3]]))
        np.testing.assert_array_equal(np.concatenate(found), np.concatenate([expected, expected[:3]]))
    with Accelerator(NARROW, backend, images_at_once=1) as accelerator:
        accelerator.predict(images)
        assert accelerator.last_call is not None
        plain = accelerator.last_call.cycles
        assert plain is not None
        assert plain > 1.3 * cycles[1]


def test_how_many_at_once_is_a_number() -> None:
    with pytest.raises(InputError, match="images_at_once is 0, but it must be a whole number from 1 to 8"):
        Accelerator(dataclasses.replace(NARROW), "rtl", images_at_once=0)
