"""A model on a Verilated engine, held to the integer reference."""

from __future__ import annotations

import numpy as np

from dsodenet.reference import Reference
from dsodenet.rtl import build as rtl
from dsodenet.rtl.cycles import estimate
from dsodenet.rtl.engine import Engine
from dsodenet.runtime.driver import KernelDriver
from dsodenet.runtime.library import LibraryTransport
from dsodenet.spec.params import Params
from dsodenet.spec.synthetic import random_images


def check(params: Params, images: int = 2, seed: int = 1, engine: Engine | None = None, **parameters: int) -> None:
    """Run; the logits equal the reference and the cycles the closed form.

    engine: that of the model's lanes, if no other is given; parameters: of the engine beside these.
    """
    transport = LibraryTransport(rtl.engine_library(engine or params.spec.kernel, **parameters))
    try:
        driver = KernelDriver(transport, params)
        batch = random_images(params.spec, images, seed)
        expected = Reference(params, threads=1).predict(batch)
        np.testing.assert_array_equal(driver.predict(batch), expected, err_msg=f"{params.spec}, seed {seed}")
        assert driver.cycles == estimate(params).command_cycles(images)
    finally:
        transport.close()
