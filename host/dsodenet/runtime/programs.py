"""What a kernel can be loaded with for one model: its program, and those that compute several small images as one.

A wide program costs more cycles for one image and fewer for each of many, and to load another one costs time. The
cheapest program for each batch is found by the closed form; another one is loaded when the cycles that were lost by not
having it reach what loading it costs, so that at most twice the least possible is ever spent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dsodenet.contract import BEAT_BYTES, Kind, bias_program
from dsodenet.errors import DeviceError, SpecError
from dsodenet.runtime.transport import Identity
from dsodenet.spec import Network, Params, side_by_side

WIDTHS = (1, 2, 4)  # images of a frame
LOAD_CYCLES = 10_000  # of the host's work for a LOAD: 50 us at 200 MHz


@dataclass(frozen=True)
class Program:
    """A program, and the frames that it takes."""

    data: bytes  # empty: no LOAD needed
    network: Network  # of a frame
    images: int = 1  # of a frame
    run_cycles: Callable[[int], int] = lambda frames: 0  # by the closed form, where there is one

    def cycles(self, images: int) -> int:
        """Of a run with so many images."""
        return self.run_cycles(-(-images // self.images))

    @property
    def load_cycles(self) -> int:
        return LOAD_CYCLES + len(self.data) // BEAT_BYTES


class Programs:
    """The plain program, and once a batch comes those of wider frames that pay for it."""

    def __init__(self, plain: Program, wider: Callable[[Program], list[Program]] = lambda plain: []) -> None:
        """wider: makes the others, which takes a while."""
        self.plain = plain
        self._options, self._wider = [plain], wider
        self._is_complete = False
        self._lost: dict[int, int] = {}  # cycles by images of a frame, since another program was loaded

    def best(self, images: int) -> Program:
        """The cheapest for a batch of this size."""
        if images > 1 and not self._is_complete:
            self._options, self._is_complete = [self.plain, *self._wider(self.plain)], True
        return min(self._options, key=lambda program: program.cycles(images))

    def choose(self, images: int, loaded: Program) -> Program:
        """The one to run this batch with."""
        best = self.best(images)
        if best is loaded:
            return loaded
        lost = self._lost.get(best.images, 0) + loaded.cycles(images) - best.cycles(images)
        if lost < best.load_cycles:
            self._lost[best.images] = lost
            return loaded
        self._lost.clear()
        return best


def _hls_programs(params: Params, identity: Identity, images_at_once: int | None) -> Programs:
    return Programs(Program(bias_program(params), params.spec.network))


def _rtl_programs(params: Params, identity: Identity, images_at_once: int | None) -> Programs:
    from dsodenet.rtl import Engine

    lanes = tuple(Engine.of(params.spec.kernel).lanes_word.to_bytes(4, "big"))
    if lanes != identity.lanes:
        raise DeviceError(
            f"the kernel has {identity.lanes} pixel, depthwise, input and output lanes, but the spec says {lanes}"
        )
    return rtl_programs(params, identity.max_channels, images_at_once)


def rtl_programs(params: Params, max_channels: int | None = None, images_at_once: int | None = None) -> Programs:
    """Of a model on the engine of its spec; images_at_once: only the program with frames of so many images."""
    from dsodenet.rtl import Engine, estimate, program

    engine = Engine.of(params.spec.kernel)

    def made(images: int) -> Program:
        wide = side_by_side(params, images)
        return Program(program(wide, engine), wide.spec.network, images, estimate(wide, engine).command_cycles)

    def wider(plain: Program) -> list[Program]:
        found, channels = [], params.spec.network.channels
        for images in WIDTHS[1:]:
            if images * min(channels) > engine.output_lanes or (max_channels and images * max(channels) > max_channels):
                break  # no lanes are idle for another image, or the kernel is not that wide
            try:
                found.append(made(images))
            except SpecError:
                break  # it does not fit the kernel's memories
        return [one for one in found if one.cycles(one.images) < plain.cycles(one.images)]

    return Programs(made(1), wider) if images_at_once is None else Programs(made(images_at_once))


MakePrograms = Callable[[Params, Identity, int | None], Programs]
PROGRAMS: dict[Kind, MakePrograms] = {Kind.HLS: _hls_programs, Kind.RTL: _rtl_programs}
