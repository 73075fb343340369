"""What lies between the driver and a kernel: the transport, and what the kernel says that it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dsodenet.contract import CONTRACT_VERSION, IDENTITY, REGISTERS, Kind, fingerprint_words
from dsodenet.errors import DeviceError
from dsodenet.runtime.stages import Stages
from dsodenet.spec import Params


@dataclass(frozen=True)
class Form:
    """What the images of an exchange are in memory."""

    images: int
    pixels: int  # of one channel
    channels: int
    classes: int
    planar: bool  # (images, channels, pixels); else (images, pixels, channels), the order of the stream


class Exchange(Protocol):
    """One command of a fixed size, prepared; used for any number of calls."""

    input: NDArray[np.uint8]  # the memory (in_bytes,) from which it sends; fill it before `start`
    output: NDArray[np.uint8]  # the memory (out_bytes,) into which it receives, valid until the next `start`

    def start(self) -> None:
        """Run what the arguments say. On hardware the kernel works from now on, and the caller need not wait."""

    def native(self, form: Form) -> Callable[[NDArray[np.uint8], NDArray[np.int32]], int] | None:
        """Pack, `start` and all that follows, images -> logits, in native code; None where there is none for it.

        Returns one of native_call's codes; with what is not DONE the logits are not there, and with NOT_TAKEN
        nothing has been started.
        """

    def finish(self, control: int = 0) -> int:
        """Wait for its end: STATUS.

        control: CTRL with AP_DONE, where it was read already, which cleared it.
        DeviceError when the kernel does not end in time or, with STATUS OK, sends another number of bytes.
        """


class Transport(Protocol):
    """What carries registers and streams to a kernel.

    After an error the next command starts afresh, or raises DeviceError.
    """

    kind: str  # whether its times are "simulated" or "measured"
    works_alone: bool  # whether the kernel computes while this process does something else
    max_bytes: int  # the most that one command moves in each direction
    clock_mhz: float | None  # the fabric's clock, where there is one

    @property
    def stages(self) -> Stages:
        """Where the last predict spent its time: an exchange laps what it knows apart, the driver the rest."""

    def write(self, offset: int, value: int) -> None:
        """Set an argument register."""

    def read(self, offset: int) -> int:
        """A result register of the last command."""

    def exchange(self, in_bytes: int, out_bytes: int, max_cycles: int, slot: int = 0) -> Exchange:
        """Prepare a command. Exchanges of one slot share memory, so one of them at a time may be under way.

        max_cycles: after which a simulated kernel is given up.
        """

    def close(self) -> None:
        """Give everything back; called once, and nothing after it."""


@dataclass(frozen=True)
class Identity:
    """What IDENTIFY says about the kernel behind a transport."""

    kind: Kind
    fingerprint: tuple[int, int]  # low, high word
    max_channels: int
    max_pixels: int
    max_steps: int
    lanes: tuple[int, int, int, int]  # pixel, depthwise, input, output; zeros for hls

    @classmethod
    def read(cls, transport: Transport) -> Identity:
        """Read the registers that IDENTIFY filled; DeviceError when something else answers."""

        def word(name: str) -> int:
            return transport.read(REGISTERS[name].offset)

        if (identity := word("IDENTITY")) != IDENTITY:
            raise DeviceError(
                f"the device answers identity {identity:#010x}, but a dsODENet kernel answers {IDENTITY:#010x}"
            )
        kind, version = divmod(word("VERSION"), 1 << 16)
        if version != CONTRACT_VERSION:
            raise DeviceError(f"the kernel has contract version {version}, but this package has {CONTRACT_VERSION}")
        if kind not in list(Kind):
            known = ", ".join(f"{k.value} {k.name.lower()}" for k in Kind)
            raise DeviceError(f"the kernel is of kind {kind}, but this package knows {known}")
        lanes = word("CAP_LANES").to_bytes(4, "big")
        return cls(
            Kind(kind),
            (word("FINGERPRINT_LO"), word("FINGERPRINT_HI")),
            word("CAP_CHANNELS"),
            word("CAP_PIXELS"),
            word("CAP_STEPS"),
            (lanes[0], lanes[1], lanes[2], lanes[3]),
        )

    def check(self, params: Params) -> None:
        """DeviceError unless this kernel can run this model.

        An hls kernel has one model built in. An rtl kernel takes any model that fits, so its fingerprint says nothing.
        """
        low, high = fingerprint_words(params.kernel_fingerprint)
        if self.kind is Kind.HLS and self.fingerprint != (low, high):
            raise DeviceError(
                f"the kernel was built for model {self.fingerprint[1]:08x}{self.fingerprint[0]:08x}, "
                f"but the run holds model {high:08x}{low:08x}; build the kernel from this run"
            )
        network = params.spec.network
        pixels = max(height * width for height, width in map(network.map_size, range(len(network.channels))))
        for what, needed, limit in (
            ("channels", max(network.channels), self.max_channels),
            ("pixels in a map", pixels, self.max_pixels),
            ("solver steps", max(params.spec.solver.n_steps), self.max_steps),
        ):
            if needed > limit:
                raise DeviceError(f"the model needs {needed} {what}, but the kernel takes at most {limit}")
