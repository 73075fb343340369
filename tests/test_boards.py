"""The table of boards: the clocks that a processor can give."""

from __future__ import annotations

import pytest

from dsodenet.contract import BOARDS, ZCU104, Board


@pytest.mark.parametrize(
    ("wanted", "made", "asked", "divisors"),
    [
        (200.0, 187.498125, 187.5, (8, 1)),
        (187.5, 187.498125, 187.5, (8, 1)),
        (187.498, 187.498125, 187.5, (8, 1)),
        (187.49, 166.665, 166.667, (9, 1)),
        (300.0, 299.997, 300.0, (5, 1)),
        (250.0, 249.9975, 250.0, (6, 1)),
        (215.0, 214.283571, 214.286, (7, 1)),
        (22.0, 21.738913, 21.74, (23, 3)),  # 67 is a prime over 63, 68 is 34 by 2, 69 is 23 by 3
        (10.0, 9.9999, 10.0, (50, 3)),
    ],
)
def test_the_fastest_clock_that_is_not_over_the_wanted_one(
    wanted: float, made: float, asked: float, divisors: tuple[int, int]
) -> None:
    """1,499.985 MHz over 8, 9, 5 ... by hand, as pynq's own table divides them."""
    clock = ZCU104.clock(wanted)
    assert clock.mhz == pytest.approx(made, rel=1e-6)
    assert (clock.asked_mhz, clock.divisors) == (asked, divisors)


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_pynq_makes_the_same_divisors(board: Board) -> None:
    ps = pytest.importorskip("pynq.ps")
    made = ps._ClocksUltrascale.__new__(ps._ClocksUltrascale)
    for clock in board.clocks[:400]:
        first, second = made._get_2_divisors(clock.pll_mhz, clock.mhz, 6, 6)
        assert first * second == clock.divisors[0] * clock.divisors[1]
        assert clock.asked_mhz >= clock.mhz, "Vivado never gives more than it is asked for"
