"""What the host reads of a hand-off file (.hwh) beside what pynq keeps of it.

That is the memory that the DMA reaches, and the interrupt: pynq's parser looks for interrupt controllers only, which a
design with one interrupt does not need.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from dsodenet.contract import DMA_VLNV, IRQ_INPUT, IRQ_NUMBER, KERNEL_VLNVS
from dsodenet.errors import DeviceError
from dsodenet.outside import guard

Windows = tuple[tuple[int, int], ...]  # (first, last address)


def dma_windows(hwh: Path) -> Windows:
    """The memory that both channels of the AXI DMA reach; DeviceError for a file of another form.

    Empty where the file says nothing of it.
    """
    with guard(hwh, "a hand-off file of Vivado", DeviceError):
        root = ET.fromstring(hwh.read_bytes())
        masters: dict[str, set[tuple[int, int]]] = {}
        for module in root.iter("MODULE"):
            if module.get("VLNV") == DMA_VLNV:
                for item in module.iter("MEMRANGE"):
                    window = int(item.attrib["BASEVALUE"], 16), int(item.attrib["HIGHVALUE"], 16)
                    masters.setdefault(item.attrib["MASTERBUSINTERFACE"], set()).add(window)
    return tuple(sorted(set.intersection(*masters.values()))) if masters else ()


def kernel_interrupt(hwh: Path) -> int | None:
    """The number that the processor knows the kernel's interrupt by; None where it is not wired to its first line.

    DeviceError for a file of another form.
    """
    with guard(hwh, "a hand-off file of Vivado", DeviceError):
        modules = list(ET.fromstring(hwh.read_bytes()).iter("MODULE"))
        nets = {
            (module.get("VLNV"), port.get("NAME")): port.get("SIGNAME")
            for module in modules
            for port in module.iter("PORT")
        }
        sources = {nets[key] for key in nets if key[0] in KERNEL_VLNVS.values() and key[1] == "interrupt"}
        inputs = {nets[key] for key in nets if key[1] == IRQ_INPUT}
    return IRQ_NUMBER if sources & inputs - {None, ""} else None


def reached(windows: Windows, address: int, size: int) -> bool:
    """Whether a buffer lies in one of the windows; all memory is reached where nothing is known."""
    return not windows or any(first <= address and address + size - 1 <= last for first, last in windows)


def windows_text(windows: Windows) -> str:
    return " and ".join(f"{first:#x} to {last:#x}" for first, last in windows)
