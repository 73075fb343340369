"""The files that pynq opens for a simulated overlay.

The .hwh comes from the block design table, and follows what Vivado 2024.1 writes as far as pynq's parser reads it. The
.bit holds no configuration. PYNQ caches a parsed .hwh under the hash of its .bit, so the .bit carries the hash of its
.hwh: another design is another .bit.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree as ET

from dsodenet.contract import ADDRESS_BLOCK, CTRL_FIELDS, DMA_VLNV, REGISTERS, Design, Instance, Register
from dsodenet.files import atomic_file

# The wire that stands for an interface in the netlist: pynq follows connections by any one of them.
WIRES = {"aximm": "awaddr", "axis": "tdata"}
ACCESS = {"rw": "read-write", "ro": "read-only"}
DMA_REGISTERS = {
    "MM2S_DMACR": 0x00, "MM2S_DMASR": 0x04, "MM2S_SA": 0x18, "MM2S_SA_MSB": 0x1C, "MM2S_LENGTH": 0x28,
    "S2MM_DMACR": 0x30, "S2MM_DMASR": 0x34, "S2MM_DA": 0x48, "S2MM_DA_MSB": 0x4C, "S2MM_LENGTH": 0x58,
}  # fmt: skip


def write_overlay(design: Design, kernel: str, folder: Path) -> Path:
    """Write <design name>.hwh and .bit into `folder`; returns the path of the .bit.

    kernel: the instance with our register map.
    """
    hwh = hwh_text(design, kernel)
    with atomic_file(folder / f"{design.name}.hwh") as path:
        path.write_text(hwh, encoding="utf-8")
    bit = folder / f"{design.name}.bit"
    with atomic_file(bit) as path:
        path.write_bytes(bit_bytes(design.name, design.board.part, hashlib.sha256(hwh.encode()).digest()))
    return bit


def bit_bytes(design: str, part: str, payload: bytes) -> bytes:
    """A .bit file: the header that Vivado writes and pynq's parse_bit_header reads, then `payload` for a bitstream."""

    def field(tag: bytes, text: str) -> bytes:
        data = text.encode() + b"\0"
        return tag + struct.pack(">h", len(data)) + data

    start = struct.pack(">h", 9) + b"\x0f\xf0" * 4 + b"\0" + struct.pack(">h", 1)
    header = field(b"a", f"{design};UserID=0XFFFFFFFF;Version=SIMULATED") + field(b"b", part)
    return (
        start
        + header
        + field(b"c", "2000/01/01")
        + field(b"d", "00:00:00")
        + b"e"
        + struct.pack(">i", len(payload))
        + payload
    )


def hwh_text(design: Design, kernel: str) -> str:
    """The hardware hand-off file of a design."""
    system = ET.Element("EDKSYSTEM", EDWVERSION="1.2", VIVADOVERSION="2024.1")
    device, package, speed, *_ = design.board.part.split("-")
    info = {"ARCH": "zynquplus", "BOARD": design.board.board_part, "DEVICE": device, "NAME": design.name}
    ET.SubElement(system, "SYSTEMINFO", info, PACKAGE=package, SPEEDGRADE=f"-{speed}")
    ET.SubElement(system, "EXTERNALPORTS")
    ET.SubElement(system, "EXTERNALINTERFACES")
    modules = ET.SubElement(system, "MODULES")
    for instance in design.instances:
        _module(modules, design, instance, kernel)
    ET.indent(system)
    return '<?xml version="1.0" encoding="UTF-8" standalone="no" ?>\n' + ET.tostring(system, encoding="unicode") + "\n"


def _module(modules: ET.Element, design: Design, instance: Instance, kernel: str) -> None:
    modtype, version = instance.vlnv.split(":")[2:]
    module = ET.SubElement(
        modules, "MODULE", FULLNAME=f"/{instance.name}", HWVERSION=version, INSTANCE=instance.name, IPTYPE="PERIPHERAL",
        IS_ENABLE="1", MODCLASS="PERIPHERAL", MODTYPE=modtype, VLNV=instance.vlnv,
    )  # fmt: skip
    for window in design.windows:
        if window.instance == instance.name:
            blocks = ET.SubElement(module, "ADDRESSBLOCKS")
            block = ET.SubElement(
                blocks, "ADDRESSBLOCK", ACCESS="read-write", INTERFACE=window.interface, NAME=ADDRESS_BLOCK,
                RANGE=str(window.size), USAGE="register",
            )  # fmt: skip
            registers = ET.SubElement(block, "REGISTERS")
            for register in _registers(instance, kernel):
                _register(registers, register)
    parameters = ET.SubElement(module, "PARAMETERS")
    for name, value in (
        *instance.parameters,
        *instance.derived,
        *(_clock_parameters(design) if instance.name == design.clock_source[0] else ()),
    ):
        ET.SubElement(parameters, "PARAMETER", NAME=name, VALUE=value)
    ports, interfaces = ET.SubElement(module, "PORTS"), ET.SubElement(module, "BUSINTERFACES")
    for master, slave in design.buses:
        for here, there, direction in ((master, slave, "O"), (slave, master, "I")):
            if here[0] == instance.name:
                protocol = instance.interface(here[1]).protocol
                _port(
                    ports,
                    _wire(here[1], protocol),
                    direction,
                    "undef",
                    "_".join(master),
                    [(there[0], _wire(there[1], protocol))],
                )
                bus = ET.SubElement(
                    interfaces, "BUSINTERFACE", BUSNAME="_".join(master), NAME=here[1],
                    TYPE="MASTER" if direction == "O" else "SLAVE", VLNV=f"xilinx.com:interface:{protocol}:1.0",
                )  # fmt: skip
                maps = ET.SubElement(bus, "PORTMAPS")
                ET.SubElement(maps, "PORTMAP", LOGICAL=WIRES[protocol].upper(), PHYSICAL=_wire(here[1], protocol))
    _nets(ports, design, instance)
    if instance.vlnv == DMA_VLNV:
        memory = ET.SubElement(module, "MEMORYMAP")
        for _, space in design.memory.spaces:
            for reached in design.memory.windows:
                ET.SubElement(
                    memory, "MEMRANGE", ADDRESSBLOCK=reached.segment, BASENAME="C_BASEADDR",
                    BASEVALUE=f"{reached.base:#010x}", HIGHNAME="C_HIGHADDR",
                    HIGHVALUE=f"{reached.base + reached.size - 1:#010x}", INSTANCE=design.control[0], IS_DATA="TRUE",
                    IS_INSTRUCTION="TRUE", MASTERBUSINTERFACE=f"M_AXI_{space.removeprefix('Data_')}",
                    MEMTYPE="MEMORY", SLAVEBUSINTERFACE="S_AXI_HP0_FPD",
                )  # fmt: skip
    if instance.name == design.control[0]:
        memory = ET.SubElement(module, "MEMORYMAP")
        for window in design.windows:
            ET.SubElement(
                memory, "MEMRANGE", ADDRESSBLOCK=ADDRESS_BLOCK, BASENAME="C_BASEADDR", BASEVALUE=f"{window.base:#010x}",
                HIGHNAME="C_HIGHADDR", HIGHVALUE=f"{window.base + window.size - 1:#010x}", INSTANCE=window.instance,
                IS_DATA="TRUE", IS_INSTRUCTION="TRUE", MASTERBUSINTERFACE=design.control[1], MEMTYPE="REGISTER",
                SLAVEBUSINTERFACE=window.interface,
            )  # fmt: skip


def _nets(ports: ET.Element, design: Design, instance: Instance) -> None:
    """The wires that are no interface: one driver each, and its loads."""
    for net in design.nets:
        name = "_".join(net.driver)
        if net.driver[0] == instance.name:
            _port(ports, net.driver[1], "O", net.kind, name, net.loads)
        for load in net.loads:
            if load[0] == instance.name:
                _port(ports, load[1], "I", net.kind, name, [net.driver])


def _port(ports: ET.Element, name: str, direction: str, kind: str, net: str, others: Iterable[tuple[str, str]]) -> None:
    port = ET.SubElement(ports, "PORT", DIR=direction, NAME=name, SIGIS=kind, SIGNAME=net)
    connections = ET.SubElement(port, "CONNECTIONS")
    for instance, pin in others:
        ET.SubElement(connections, "CONNECTION", INSTANCE=instance, PORT=pin)


def _wire(interface: str, protocol: str) -> str:
    return f"{interface}_{WIRES[protocol]}"


def _registers(instance: Instance, kernel: str) -> Iterable[Register]:
    if instance.name == kernel:
        return REGISTERS.values()
    assert instance.vlnv == DMA_VLNV, instance
    return (Register(name, offset, "rw", "") for name, offset in DMA_REGISTERS.items())


def _register(registers: ET.Element, register: Register) -> None:
    element = ET.SubElement(registers, "REGISTER", NAME=register.name)
    for name, value in (
        ("DESCRIPTION", register.description),
        ("ADDRESS_OFFSET", str(register.offset)),
        ("SIZE", str(32 * register.words)),
        ("ACCESS", ACCESS[register.access]),
    ):
        ET.SubElement(element, "PROPERTY", NAME=name, VALUE=value)
    fields = ET.SubElement(element, "FIELDS")
    for item in CTRL_FIELDS if register.name == "CTRL" else ():
        field = ET.SubElement(fields, "FIELD", NAME=item.name)
        for name, value in (
            ("DESCRIPTION", ""),
            ("BIT_OFFSET", str(item.bit)),
            ("BIT_WIDTH", "1"),
            ("ACCESS", ACCESS[item.access]),
        ):
            ET.SubElement(field, "PROPERTY", NAME=name, VALUE=value)


def _clock_parameters(design: Design) -> list[tuple[str, str]]:
    """What Vivado derives from the clock that was asked for."""
    prefix = "PSU__CRL_APB__PL{}_REF_CTRL__"
    result = [(prefix.format(0) + "ACT_FREQMHZ", f"{design.pl_clock.mhz:.6f}")]
    for i in range(4):
        values = design.pl_clock.divisors if i == 0 else (1, 1)
        result += [(f"{prefix.format(i)}DIVISOR{j}", str(value)) for j, value in enumerate(values)]
    return result
