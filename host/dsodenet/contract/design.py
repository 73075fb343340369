"""The block design of the overlay, as a table.

The .hwh of the simulated board and the data of Vivado's Tcl come from it.
Addresses, widths and connections have their one home here. Interfaces are named as the IPs name them (PG021, PG201,
UG1399).
"""

from __future__ import annotations

from dataclasses import dataclass

from dsodenet.contract.boards import ZCU104, Board, PlClock
from dsodenet.contract.boards import Window as MemoryWindow
from dsodenet.contract.registers import BEAT_BYTES, Kind

KERNEL_VLNVS = {Kind.HLS: "dsodenet:kernel:dsodenet_hls:1.0", Kind.RTL: "dsodenet:kernel:dsodenet_rtl:1.0"}
# Vitis HLS names clock and reset itself; the rtl kernel takes the names of the contract.
KERNEL_PINS = {Kind.HLS: ("ap_clk", "ap_rst_n"), Kind.RTL: ("clk", "rst_n")}
FAST_CLOCK_PIN = "clk2"  # of an rtl kernel whose array is double-pumped
DMA_VLNV = "xilinx.com:ip:axi_dma:7.1"
DMA_LENGTH_BITS = 26  # the most that the IP has; its default of 14 would end transfers at 16 KiB
WINDOW_BYTES = 1 << 16
IRQ_INPUT, IRQ_NUMBER = "pl_ps_irq0", 121  # of the processor, and the number of its first line (PG201, IRQ-F2P[0])
ADDRESS_BLOCK = "Reg"  # the register block of an IP, as Vitis HLS and Xilinx's IPs call it


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
    parameters: tuple[tuple[str, str], ...] = ()  # set by the build, and reported in the .hwh
    derived: tuple[tuple[str, str], ...] = ()  # what Vivado adds to the .hwh
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
class Memory:
    """What the fabric reaches of the processor's memory."""

    spaces: tuple[Pin, ...]  # address spaces of the masters
    port: str  # the processor's address block of the HP port
    windows: tuple[MemoryWindow, ...]
    excluded: tuple[str, ...]  # segments behind the same port that no master may reach


@dataclass(frozen=True)
class Net:
    driver: Pin
    kind: str  # as the .hwh calls it: clk, rst, INTERRUPT
    loads: tuple[Pin, ...]


@dataclass(frozen=True)
class Design:
    name: str
    board: Board
    pl_clock: PlClock
    instances: tuple[Instance, ...]
    buses: tuple[tuple[Pin, Pin], ...]  # master -> slave
    monitors: tuple[tuple[Pin, Pin], ...]  # interface on a bus -> what watches it
    windows: tuple[Window, ...]
    memory: Memory
    clock: Pin  # drives every clock input ...
    clock_source: Pin  # ... made from the processor's; the same pin where nothing is between them
    derived_nets: tuple[Net, ...]  # of what makes further clocks
    reset: Pin  # drives every reset input
    processor_reset: Pin  # what `reset` follows ...
    reset_input: Pin  # ... here
    control: Pin  # the processor's master that reaches the windows
    interrupts: tuple[tuple[Pin, Pin], ...]  # source -> the processor's line; PYNQ's images give programs the first

    @property
    def nets(self) -> tuple[Net, ...]:
        """Every wire that is no interface: clocks, reset and where it comes from, interrupt."""
        clocks = tuple((instance.name, pin) for instance in self.instances for pin in instance.clocks)
        resets = tuple((instance.name, pin) for instance in self.instances for pin in instance.resets)
        return (
            Net(self.clock, "clk", clocks),
            *self.derived_nets,
            Net(self.reset, "rst", resets),
            Net(self.processor_reset, "rst", (self.reset_input,)),
            *(Net(source, "INTERRUPT", (line,)) for source, line in self.interrupts),
        )

    def instance(self, name: str) -> Instance:
        return next(instance for instance in self.instances if instance.name == name)


def block_design(
    name: str, kind: Kind, clock_mhz: float, board: Board = ZCU104, debug: bool = False, double_pumped: bool = False
) -> Design:
    """Processor, AXI DMA in simple mode, and one kernel between its two streams; memory through one 128-bit HP port.

    clock_mhz: the fastest clock that is wanted; the design has the next one that the board's PLL makes.
    debug: with a System ILA (PG261) on both streams and the kernel's registers. double_pumped: with a Clocking Wizard
    (PG065) that makes the fabric's clock and one twice as fast, in phase, of the processor's.
    """
    pl_clock = board.clock(clock_mhz)
    width = str(8 * BEAT_BYTES)
    processor = Instance(
        "zynq_ultra_ps_e_0",
        "xilinx.com:ip:zynq_ultra_ps_e:3.5",
        (Interface("M_AXI_HPM0_FPD", "aximm", True), Interface("S_AXI_HP0_FPD", "aximm", False)),
        (
            *((f"PSU__USE__M_AXI_GP{i}", str(int(i == 0))) for i in range(3)),
            *((f"PSU__USE__S_AXI_GP{i}", str(int(i == 2))) for i in range(7)),
            ("PSU__MAXIGP0__DATA_WIDTH", "32"),
            ("PSU__SAXIGP2__DATA_WIDTH", width),
            *((f"PSU__FPGA_PL{i}_ENABLE", str(int(i == 0))) for i in range(4)),
            ("PSU__USE__IRQ0", "1"),
            ("PSU__CRL_APB__PL0_REF_CTRL__SRCSEL", "IOPLL"),
            ("PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ", f"{pl_clock.asked_mhz:g}"),
        ),
        (
            ("C_MAXIGP0_DATA_WIDTH", "32"),
            ("C_SAXIGP2_DATA_WIDTH", width),
            *((f"PSU__CRL_APB__PL{i}_REF_CTRL__SRCSEL", "IOPLL") for i in range(1, 4)),
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
        (),
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
        clocks=KERNEL_PINS[kind][:1],
        resets=KERNEL_PINS[kind][1:],
    )
    control, memory = (
        Instance(
            name,
            "xilinx.com:ip:smartconnect:1.0",
            tuple(Interface(f"S{i:02}_AXI", "aximm", False) for i in range(slaves))
            + tuple(Interface(f"M{i:02}_AXI", "aximm", True) for i in range(masters)),
            (("NUM_SI", str(slaves)), ("NUM_MI", str(masters))),
            (),
            ("aclk",),
            ("aresetn",),
        )
        for name, slaves, masters in (("smartconnect_control", 1, 2), ("smartconnect_memory", 2, 1))
    )
    reset = Instance("proc_sys_reset_0", "xilinx.com:ip:proc_sys_reset:5.0", clocks=("slowest_sync_clk",))
    wizard = Instance(
        "clk_wiz_0",
        "xilinx.com:ip:clk_wiz:6.0",
        (),
        (
            ("PRIM_SOURCE", "No_buffer"),  # the processor's clock comes from a buffer
            ("USE_RESET", "false"),
            ("USE_LOCKED", "true"),
            ("NUM_OUT_CLKS", "2"),
            ("CLKOUT2_USED", "true"),
            # The fast one is the first. With matched routing both leave one output of the PLL, through buffers that
            # divide (PG065, Auto Buffer Selection): the least skew that two clocks can have.
            *((f"CLKOUT{i}_REQUESTED_OUT_FREQ", f"{pl_clock.mhz * (3 - i):.6f}") for i in (1, 2)),
            *((f"CLKOUT{i}_DRIVES", "Buffer") for i in (1, 2)),
            *((f"CLKOUT{i}_MATCHED_ROUTING", "true") for i in (1, 2)),
        ),
    )
    clock_source = processor.name, "pl_clk0"
    clock = (wizard.name, "clk_out2") if double_pumped else clock_source
    derived_nets = (
        Net(clock_source, "clk", ((wizard.name, "clk_in1"),)),
        Net((wizard.name, "clk_out1"), "clk", ((kernel.name, FAST_CLOCK_PIN),)),
        Net((wizard.name, "locked"), "undef", ((reset.name, "dcm_locked"),)),
    )
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
    # What each slot watches, by any end of the bus.
    watched = ((kernel.name, "s_axis"), (kernel.name, "m_axis"), (kernel.name, "s_axi_control"))
    analyser = Instance(
        "system_ila_0",
        "xilinx.com:ip:system_ila:1.1",
        (
            Interface("SLOT_0_AXIS", "axis", False),
            Interface("SLOT_1_AXIS", "axis", False),
            Interface("SLOT_2_AXI", "aximm", False),
        ),
        (
            ("C_MON_TYPE", "INTERFACE"),
            ("C_NUM_MONITOR_SLOTS", str(len(watched))),
            *((f"C_SLOT_{i}_INTF_TYPE", "xilinx.com:interface:axis_rtl:1.0") for i in range(2)),
            ("C_SLOT_2_INTF_TYPE", "xilinx.com:interface:aximm_rtl:1.0"),
            ("C_DATA_DEPTH", "1024"),
        ),
        clocks=("clk",),
        resets=("resetn",),
    )
    memory_map = Memory(
        ((dma.name, "Data_MM2S"), (dma.name, "Data_S2MM")),
        f"{processor.name}/SAXIGP2",
        board.memory,
        tuple(f"{processor.name}/SAXIGP2/{name}" for name in ("HP0_LPS_OCM", "HP0_QSPI")),
    )
    windows = (
        Window(dma.name, "S_AXI_LITE", 0xA000_0000, WINDOW_BYTES),
        Window(kernel.name, "s_axi_control", 0xA001_0000, WINDOW_BYTES),
    )
    return Design(
        name,
        board,
        pl_clock,
        (
            *(processor, control, memory, reset, dma, kernel),
            *((analyser,) if debug else ()),
            *((wizard,) if double_pumped else ()),
        ),
        buses,
        tuple(zip(watched, ((analyser.name, i.name) for i in analyser.interfaces))) if debug else (),
        windows,
        memory_map,
        clock=clock,
        clock_source=clock_source,
        derived_nets=derived_nets if double_pumped else (),
        reset=(reset.name, "peripheral_aresetn"),
        processor_reset=(processor.name, "pl_resetn0"),
        reset_input=(reset.name, "ext_reset_in"),
        control=(processor.name, "M_AXI_HPM0_FPD"),
        interrupts=(((kernel.name, "interrupt"), (processor.name, IRQ_INPUT)),),
    )
