"""What the host reads of a hand-off file (.hwh) beside what pynq keeps of it: the memory that the DMA reaches."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from dsodenet.contract import DMA_VLNV
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


def reached(windows: Windows, address: int, size: int) -> bool:
    """Whether a buffer lies in one of the windows; all memory is reached where nothing is known."""
    return not windows or any(first <= address and address + size - 1 <= last for first, last in windows)


def windows_text(windows: Windows) -> str:
    return " and ".join(f"{first:#x} to {last:#x}" for first, last in windows)
