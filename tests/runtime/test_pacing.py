"""The sleep before the first question: near the kernel's time, with little spinning, and not spoilt by a stall."""

from __future__ import annotations

import random

import pytest

from dsodenet.runtime.pacing import SPIN_S, Pace

QUESTION_S = 2e-6


def call(pace: Pace, kernel_s: float) -> tuple[float, float]:
    """One command that takes kernel_s, as the driver waits for it: (when it is seen to be done, seconds awake)."""
    now = start = pace.sleep_s
    pause, awake = 20e-6, QUESTION_S
    if now < kernel_s:
        while now < kernel_s:
            if now < start + SPIN_S:
                now, awake = now + QUESTION_S, awake + QUESTION_S
            else:
                now, awake = now + pause, awake + QUESTION_S
                pause = min(2 * pause, max(0.002, pace.pause_s))
        pace.done_later(now)
    elif pace.sleep_s:
        pace.done_at_once()
    return now, awake


@pytest.mark.parametrize("kernel_s", [0.00005, 0.0005, 0.02, 3.0])
def test_it_finds_the_time_and_sleeps_most_of_it(kernel_s: float) -> None:
    pace = Pace()
    for _ in range(20):
        call(pace, kernel_s)
    for _ in range(200):
        seconds, awake = call(pace, kernel_s)
        assert kernel_s <= seconds <= 1.04 * kernel_s + 2 * QUESTION_S
        assert awake <= SPIN_S + 20 * QUESTION_S
        assert kernel_s > SPIN_S or pace.sleep_s == 0


@pytest.mark.parametrize("before", [0, 20])
def test_a_stall_is_left_behind(before: int) -> None:
    """Sleeping as long as the last command took, and 5 % less each time, would lose twenty times the stall."""
    pace = Pace()
    for _ in range(before):
        call(pace, 0.001)
    call(pace, 0.5)
    lost = sum(call(pace, 0.001)[0] - 0.001 for _ in range(50))
    assert lost < (0.01 if before else 8 * 0.5)


def test_a_command_that_stays_slower_is_slept_for() -> None:
    pace = Pace()
    for seconds in (0.001,) * 20 + (0.1,) * 2:
        call(pace, seconds)
    assert call(pace, 0.1)[1] <= 2 * SPIN_S


def test_jitter_is_not_overslept() -> None:
    rng, pace = random.Random(1), Pace()
    times = [0.01 * rng.uniform(0.95, 1.05) for _ in range(500)]
    took = [call(pace, seconds) for seconds in times]
    assert sum(seconds for seconds, _ in took[50:]) < 1.1 * sum(times[50:])
    assert sum(awake for _, awake in took[50:]) < 0.1 * sum(times[50:])
