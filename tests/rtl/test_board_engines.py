"""The engines of the other boards: every word of an image, and its cycles, in simulation."""

from __future__ import annotations

import numpy as np
import pytest

from dsodenet.contract import BOARDS, ZCU104
from dsodenet.reference import Reference
from dsodenet.rtl import Engine, engine_library, estimate, rtl_resources
from dsodenet.runtime.driver import KernelDriver
from dsodenet.runtime.library import LibraryTransport
from dsodenet.spec import Spec, random_images, random_params, with_lanes

OTHERS = [board for board in BOARDS.values() if board is not ZCU104]


@pytest.mark.slow
@pytest.mark.parametrize("board", OTHERS, ids=lambda board: board.name)
def test_s_and_m_run_on_the_engine_of_the_board(board) -> None:
    with_steps = [Spec.named(size).with_solver(n_steps=2) for size in ("s", "m")]
    for spec in (with_lanes(spec, board.lanes) for spec in with_steps):
        engine = Engine.of(spec.kernel, board)
        params = random_params(spec, 1)
        images = random_images(spec, 1, 1)
        driver = KernelDriver(LibraryTransport(engine_library(engine)), params)
        np.testing.assert_array_equal(driver.predict(images), Reference(params).predict(images))
        assert driver.cycles == estimate(params, engine).command_cycles(1)
        driver.close()


@pytest.mark.parametrize("board", OTHERS, ids=lambda board: board.name)
def test_the_engine_fits_its_board(board) -> None:
    used = rtl_resources(Engine.of(with_lanes(Spec.named("m"), board.lanes).kernel, board), board).to_dict()
    assert all(used[kind] <= there for kind, there in board.device.items())
    too_wide = Engine.of(with_lanes(Spec.named("m"), "3x32x64").kernel, board)
    assert board.device["DSP"] < rtl_resources(too_wide, board).DSP
