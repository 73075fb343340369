"""The checks of the self-test, one function each: what was checked, or an error of this package."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsodenet.contract import (
    BEAT_BYTES,
    COEFF,
    REGISTERS,
    Command,
    Kind,
    Status,
    image_bytes,
    logits_bytes,
    pack_images,
)
from dsodenet.errors import DeviceError, SpecError
from dsodenet.reference import Reference
from dsodenet.runtime import golden
from dsodenet.runtime.accelerator import Accelerator
from dsodenet.runtime.driver import MAX_BATCH_BYTES, STARTUP_CYCLES, KernelDriver
from dsodenet.runtime.pixels import PIXEL_MAX
from dsodenet.spec import TABLEAUS, random_images

MEMORY_BYTES = MAX_BATCH_BYTES
SIMULATED_LOOPS = 1024  # images of the long loop where a simulation counts every cycle
GOLDEN_IMAGES = 3
TINY_SPAN = 1e-9  # a time so short that every step coefficient rounds to 0
BATCHES = (1, 2, 3, 7, 16, 33)
ARGUMENT_BITS = {"COEFF": 17}  # a coefficient has 18 bits with its sign; every other argument takes 32


class NotPossible(Exception):
    """A check that this kernel cannot do, and why."""


def _identity(accelerator: Accelerator) -> str:
    accelerator.predict(random_images(accelerator.params.spec, 1, 0))
    with accelerator.driver() as driver:
        identity = driver.identity
    assert identity is not None, "a call that returned has identified the kernel"
    return (
        f"{identity.kind.name.lower()} kernel, up to {identity.max_channels} channels, "
        f"{identity.max_pixels} pixels and {identity.max_steps} steps"
    )


def _registers(accelerator: Accelerator) -> str:
    """Every bit of every argument, alone and beside its neighbours' values."""
    count = 0
    with accelerator.driver() as driver:
        transport = driver.transport
        words = [(register.name, register.offset + 4 * i) for register in _arguments() for i in range(register.words)]
        for shift in range(32):
            expected = {}
            for i, (name, offset) in enumerate(words):
                bits = ARGUMENT_BITS.get(name, 32)
                expected[name, offset] = 1 << (shift + i) % bits
                transport.write(offset, expected[name, offset])
            for (name, offset), value in expected.items():
                count += 1
                if (found := transport.read(offset)) != value:
                    raise DeviceError(f"{name} at {offset:#x} reads {found:#x} after {value:#x} was written")
    return f"{count} words written and read back in {len(words)} argument registers"


def _arguments() -> Iterator[Any]:
    return (
        register
        for register in REGISTERS.values()
        if register.access == "rw" and register.offset >= REGISTERS["COMMAND"].offset
    )


def _memory(accelerator: Accelerator) -> str:
    """What the processor writes reaches memory and comes back from there, past the cache.

    The patterns tell every address apart and move every data line.
    """
    from dsodenet.runtime.zcu104 import Zcu104Transport  # imports pynq

    with accelerator.driver() as driver:
        transport = driver.transport
        assert isinstance(transport, Zcu104Transport), "BOARDS has boards only"
        size = min(MEMORY_BYTES, transport.max_bytes) // BEAT_BYTES * BEAT_BYTES
        index = np.arange(size // 4, dtype="<u4")
        line = np.eye(8 * BEAT_BYTES, dtype=np.uint8)  # one bit of a beat at a time
        walk = np.resize(np.packbits(line, bitorder="little"), size).view("<u4")
        for pattern in (index, ~index, walk, ~walk):
            data = pattern.view(np.uint8)
            wrong = np.flatnonzero(transport.memory_round_trip(data) != data)
            if wrong.size:
                raise DeviceError(
                    f"{wrong.size} of {size} bytes of memory came back wrong, the first at offset {int(wrong[0])}"
                )
    return f"addresses and walking bits, plain and inverted, through {size} bytes"


def _interrupt(accelerator: Accelerator) -> str:
    """The kernel says that it is done, and Linux passes that on."""
    from dsodenet.runtime.zcu104 import Zcu104Transport  # imports pynq

    with accelerator.driver() as driver:
        assert isinstance(driver.transport, Zcu104Transport), "BOARDS has boards only"
        came = driver.transport.interrupt_comes()
    if came is None:
        raise NotPossible("not asked for: wait='interrupt', or --wait interrupt, does")
    if not came:
        raise DeviceError("the kernel was done, but its interrupt did not come")
    return "it comes when the kernel is done"


def _loop(accelerator: Accelerator) -> str:
    """Pixels go from memory through DMA, engine and DMA back to memory.

    First each bit of an image is set alone. Then comes a command as long as fits, in which each image is different.
    """
    with accelerator.driver() as driver:
        if driver.kernel_kind() is Kind.HLS:
            raise NotPossible(
                "the hls kernel has its weights in the bitstream and returns no pixels; transfers use its own model"
            )
        kernel, moved, longest = accelerator.params.spec.kernel, 0, 0
        for high in (False, True):
            looped = KernelDriver(driver.transport, golden.loop(kernel, high))
            batches = [golden.walking_ones(high)]
            if not high:
                most = looped.frames_per_batch if accelerator.kind == "measured" else SIMULATED_LOOPS
                batches.append(golden.addresses(min(most, looped.frames_per_batch)))
            for images in batches:
                _compare(looped.predict(images), golden.loop_logits(images, high), f"a loop of {len(images)} images")
                moved, longest = moved + images.size, max(longest, images.size)
    return f"{moved} bytes there and as many back: each bit of an image alone, and a command of {longest} bytes"


def _layers(accelerator: Accelerator) -> str:
    """One kind of layer computes at a time, and the rest pass on what they get.

    The hls kernel has its weights built in. It runs its own model with ODE blocks that do nothing.
    """
    with accelerator.driver() as driver:
        if driver.kernel_kind() is Kind.RTL:
            for name, case in golden.CASES.items():
                params = case.params(accelerator.params.spec.kernel, 1)
                images = random_images(params.spec, GOLDEN_IMAGES, 6)
                _compare(
                    KernelDriver(driver.transport, params).predict(images), Reference(params).predict(images), name
                )
            return "; ".join(golden.CASES)
        params = accelerator.params
        spec = dataclasses.replace(
            params.spec, solver=dataclasses.replace(params.spec.solver, t1=params.spec.solver.t0 + TINY_SPAN)
        )
        still = dataclasses.replace(params, spec=spec)
        images = random_images(spec, GOLDEN_IMAGES, 6)
        received = KernelDriver(driver.transport, still).predict(images)
        _compare(received, Reference(still).predict(images), "steps of length 0")
    return "stem, downs, average and linear, with ODE blocks whose steps have length 0"


def _transfers(accelerator: Accelerator) -> str:
    """Batches of several sizes, each image different: every one must come back in its place."""
    images = random_images(accelerator.params.spec, max(BATCHES), 2)
    expected = Reference(accelerator.params).predict(images)
    for count in BATCHES:
        _compare(accelerator.predict(images[:count]), expected[:count], f"a batch of {count}")
    return f"batches of {', '.join(map(str, BATCHES))}"


def _errors(accelerator: Accelerator) -> str:
    """A command that is too short and one that makes no sense are refused, and the next call works."""
    image = random_images(accelerator.params.spec, 1, 3)
    expected = Reference(accelerator.params).predict(image)
    _compare(accelerator.predict(image), expected, "before")
    network = accelerator.params.spec.network
    for values, size, status in (
        ({"COMMAND": Command.RUN, "FRAMES": 2}, image_bytes(network), Status.SHORT_INPUT),
        ({"COMMAND": max(Command) + 1}, 0, Status.BAD_COMMAND),
    ):
        with accelerator.driver() as driver:
            found = _raw_command(driver, values, image, size)
        if found != status:
            raise DeviceError(
                f"a faulty command ended with status {found}, but {status.value} ({status.name}) was expected"
            )
        _compare(accelerator.predict(image), expected, f"after {status.name}")
    return "a short input and an unknown command are refused, and the next call is right"


def _raw_command(driver: KernelDriver, values: dict[str, int], image: NDArray[np.uint8], size: int) -> int:
    for name, value in values.items():
        driver.transport.write(REGISTERS[name].offset, int(value))
    # Room for one image of logits: a kernel that runs on in spite of the error has somewhere to put them.
    out_bytes = logits_bytes(driver.params.spec.network) if size else 0
    exchange = driver.transport.exchange(size, out_bytes, STARTUP_CYCLES + driver.max_cycles)
    if size:
        pack_images(image, exchange.input)
    exchange.start()
    return exchange.finish()


def _golden(accelerator: Accelerator) -> str:
    """Images that each show a fault in one kind of layer.

    Flat images show biases, a single pixel shows each tap of a kernel, and an edge shows the padding.
    """
    network = accelerator.params.spec.network
    shape = network.image_shape
    images = np.zeros((6, *shape), np.uint8)
    images[1] = PIXEL_MAX
    images[2][:, shape[1] // 2, shape[2] // 2] = PIXEL_MAX
    images[3][:, 0, :] = images[3][:, :, -1] = PIXEL_MAX
    images[4] = PIXEL_MAX * (np.indices(shape).sum(axis=0) % 2)
    images[5] = random_images(accelerator.params.spec, 1, 4)[0]
    expected = Reference(accelerator.params).predict(images)
    received = accelerator.predict(images)
    for i, name in enumerate(("black", "white", "one pixel", "edge", "checkerboard", "noise")):
        _compare(received[i : i + 1], expected[i : i + 1], f"the {name} image")
    return "black, white, one pixel, edge, checkerboard and noise"


def _solvers(accelerator: Accelerator) -> str:
    """The same kernel under every solver that this model can run."""
    image = random_images(accelerator.params.spec, 1, 5)
    before = accelerator.params.spec.solver
    done, left_out = [], []
    try:
        for method in TABLEAUS:
            try:
                accelerator.set_solver(method, 2)
            except SpecError:
                left_out.append(method)
                continue
            _compare(accelerator.predict(image), Reference(accelerator.params).predict(image), f"solver {method}")
            done.append(method)
    finally:
        accelerator.set_solver(before.method, before.n_steps)
    return ", ".join(done) + (f"; not possible with this model: {', '.join(left_out)}" if left_out else "")


def _compare(received: NDArray[np.int32], expected: NDArray[np.int32], what: str) -> None:
    wrong = np.argwhere(received != expected)
    if len(wrong):
        image, logit = (int(i) for i in wrong[0])
        raise DeviceError(
            f"{what}: logit {logit} of image {image} is {received[image, logit]}, "
            f"but the reference has {expected[image, logit]}"
        )


CHECKS: dict[str, Callable[[Accelerator], str]] = {
    "identity": _identity,
    "registers": _registers,
    "memory": _memory,
    "interrupt": _interrupt,
    "loop": _loop,
    "transfers": _transfers,
    "layers": _layers,
    "errors": _errors,
    "golden images": _golden,
    "solvers": _solvers,
}
assert COEFF.name in ARGUMENT_BITS
