"""The sleep before the first question: near the kernel's time, with few questions, and not spoilt by a stall."""

from __future__ import annotations

import random

import pytest

from dsodenet.runtime.pacing import Pace


def call(pace: Pace, kernel_s: float) -> tuple[float, int]:
    """One command that takes kernel_s, as the driver waits for it: (when it is seen to be done, questions)."""
    now, pause, questions = pace.sleep_s, max(20e-6, pace.pause_s), 1
    while now < kernel_s:
        now, pause, questions = now + pause, min(2 * pause, max(0.002, pace.pause_s)), questions + 1
    if questions > 1:
        pace.done_later(now)
    else:
        pace.done_at_once()
    return now, questions


@pytest.mark.parametrize("kernel_s", [0.0005, 0.02, 3.0])
def test_it_finds_the_time_and_asks_at_most_twice(kernel_s: float) -> None:
    pace = Pace()
    for _ in range(20):
        call(pace, kernel_s)
    for _ in range(200):
        seconds, questions = call(pace, kernel_s)
        assert kernel_s <= seconds <= 1.04 * kernel_s + 20e-6
        assert questions <= 2


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
    assert call(pace, 0.1)[1] <= 2


def test_jitter_is_not_overslept() -> None:
    rng, pace = random.Random(1), Pace()
    times = [0.01 * rng.uniform(0.95, 1.05) for _ in range(500)]
    took = [call(pace, seconds) for seconds in times]
    assert sum(seconds for seconds, _ in took[50:]) < 1.1 * sum(times[50:])
    assert sum(questions for _, questions in took[50:]) < 3 * 450
