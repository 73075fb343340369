"""The block design of the overlay, as a table: what the simulated board's .hwh is written from, and Vivado's Tcl can be.

Addresses, widths and connections have their one home here. Interfaces are named as the IPs name them (PG021, PG201, UG1399).
"""

from __future__ import annotations

from dataclasses import dataclass

from dsodenet.registers import BEAT_BYTES, Kind
from dsodenet.spec import BOARD, PART

KERNEL_VLNVS = {Kind.HLS: "dsodenet:kernel:dsodenet_hls:1.0", Kind.RTL: "dsodenet:kernel:dsodenet_rtl:1.0"}
DMA_VLNV = "xilinx.com:ip:axi_dma:7.1"
DMA_LENGTH_BITS = 26  # the most that the IP has; its default of 14 would end transfers at 16 KiB
WINDOW_BYTES = 1 << 16


@dataclass(frozen=True)
class Interface:
    name: str
    protocol: str  # aximm, axis
    master: bool


@dataclass(frozen=True)
class Instance:
    name: str
    vlnv: str
    interfaces: tuple[Interface, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    clocks: tuple[str, ...] = ()  # its clock inputs
    resets: tuple[str, ...] = ()  # its active-low reset inputs

    def interface(self, name: str) -> Interface:
        return next(interface for interface in self.interfaces if interface.name == name)


@dataclass(frozen=True)
class Window:
    """A register file in the processor's address space."""

    instance: str
    interface: str
    base: int
    size: int


Pin = tuple[str, str]  # (instance, interface or pin)


@dataclass(frozen=True)
class Design:
    name: str
    part: str
    board: str
    clock_mhz: float
    instances: tuple[Instance, ...]
    buses: tuple[tuple[Pin, Pin], ...]  # master -> slave
    windows: tuple[Window, ...]
    clock: Pin  # drives every clock input
    reset: Pin  # drives every reset input
    control: Pin  # the processor's master that reaches the windows

    def instance(self, name: str) -> Instance:
        return next(instance for instance in self.instances if instance.name == name)


def zcu104(name: str, kind: Kind, clock_mhz: float) -> Design:
    """Processor, AXI DMA in simple mode, and one kernel between its two streams; memory through one 128-bit HP port."""
    width = str(8 * BEAT_BYTES)
    processor = Instance(
        "zynq_ultra_ps_e_0",
        "xilinx.com:ip:zynq_ultra_ps_e:3.5",
        (Interface("M_AXI_HPM0_FPD", "aximm", True), Interface("S_AXI_HP0_FPD", "aximm", False)),
        (
            ("C_MAXIGP0_DATA_WIDTH", "32"),
            ("C_SAXIGP2_DATA_WIDTH", width),
            *((f"PSU__FPGA_PL{i}_ENABLE", str(int(i == 0))) for i in range(4)),
            *((f"PSU__CRL_APB__PL{i}_REF_CTRL__SRCSEL", "IOPLL") for i in range(4)),
            ("PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ", f"{clock_mhz:g}"),
        ),
        ("maxihpm0_fpd_aclk", "saxihp0_fpd_aclk"),
    )
    dma = Instance(
        "axi_dma_0",
        DMA_VLNV,
        (
            Interface("S_AXI_LITE", "aximm", False),
            Interface("M_AXI_MM2S", "aximm", True),
            Interface("M_AXI_S2MM", "aximm", True),
            Interface("M_AXIS_MM2S", "axis", True),
            Interface("S_AXIS_S2MM", "axis", False),
        ),
        (
            ("c_include_sg", "0"),
            ("c_sg_length_width", str(DMA_LENGTH_BITS)),
            ("c_micro_dma", "0"),
            *((f"c_include_{way}", "1") for way in ("mm2s", "s2mm")),
            *((f"c_include_{way}_dre", "0") for way in ("mm2s", "s2mm")),
            *((f"c_m_axi_{way}_data_width", width) for way in ("mm2s", "s2mm")),
            ("c_m_axis_mm2s_tdata_width", width),
            ("c_s_axis_s2mm_tdata_width", width),
            ("c_addr_width", "40"),
        ),
        ("s_axi_lite_aclk", "m_axi_mm2s_aclk", "m_axi_s2mm_aclk"),
        ("axi_resetn",),
    )
    kernel = Instance(
        "kernel_0",
        KERNEL_VLNVS[kind],
        (
            Interface("s_axi_control", "aximm", False),
            Interface("s_axis", "axis", False),
            Interface("m_axis", "axis", True),
        ),
        clocks=("clk",),
        resets=("rst_n",),
    )
    control, memory = (
        Instance(
            name,
            "xilinx.com:ip:smartconnect:1.0",
            tuple(Interface(f"S{i:02}_AXI", "aximm", False) for i in range(slaves))
            + tuple(Interface(f"M{i:02}_AXI", "aximm", True) for i in range(masters)),
            (("NUM_SI", str(slaves)), ("NUM_MI", str(masters))),
            ("aclk",),
            ("aresetn",),
        )
        for name, slaves, masters in (("smartconnect_control", 1, 2), ("smartconnect_memory", 2, 1))
    )
    reset = Instance("proc_sys_reset_0", "xilinx.com:ip:proc_sys_reset:5.0", clocks=("slowest_sync_clk",))
    buses = (
        ((processor.name, "M_AXI_HPM0_FPD"), (control.name, "S00_AXI")),
        ((control.name, "M00_AXI"), (dma.name, "S_AXI_LITE")),
        ((control.name, "M01_AXI"), (kernel.name, "s_axi_control")),
        ((dma.name, "M_AXI_MM2S"), (memory.name, "S00_AXI")),
        ((dma.name, "M_AXI_S2MM"), (memory.name, "S01_AXI")),
        ((memory.name, "M00_AXI"), (processor.name, "S_AXI_HP0_FPD")),
        ((dma.name, "M_AXIS_MM2S"), (kernel.name, "s_axis")),
        ((kernel.name, "m_axis"), (dma.name, "S_AXIS_S2MM")),
    )
    windows = (
        Window(dma.name, "S_AXI_LITE", 0xA000_0000, WINDOW_BYTES),
        Window(kernel.name, "s_axi_control", 0xA001_0000, WINDOW_BYTES),
    )
    return Design(
        name,
        PART,
        BOARD,
        clock_mhz,
        (processor, control, memory, reset, dma, kernel),
        buses,
        windows,
        clock=(processor.name, "pl_clk0"),
        reset=(reset.name, "peripheral_aresetn"),
        control=(processor.name, "M_AXI_HPM0_FPD"),
    )
