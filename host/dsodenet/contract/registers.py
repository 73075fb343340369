"""The AXI-Lite registers and the stream contract of both kernels: one table for Python, C++ and SystemVerilog.

Words 0x00-0x0C are the block control of Vitis HLS (UG1399, s_axilite). Every other register takes 8 bytes, because
HLS places a valid flag behind each output; COEFF is a memory. A command is started by CTRL.AP_START and ends with
CTRL.AP_DONE:

    IDENTIFY  fills the read-only registers
    LOAD      reads a program from s_axis (hls: bias tables, int32; rtl: weights and layer descriptors), TLAST on its
    last beat
    RUN       reads FRAMES images from s_axis and writes FRAMES logits to m_axis

Streams carry BEAT_BYTES bytes per beat, little-endian. An image is uint8 in (height, width, channel) order, logits
are int32 per class; each image and each set of logits is zero-padded to whole beats. TLAST marks the last beat of the
command, and only that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from dsodenet.spec import MAX_BLOCKS, MAX_STAGES, MAX_STEPS, Tableau

BEAT_BYTES = 16
IDENTITY = 0x64734F44  # "dsOD" in ASCII
CONTRACT_VERSION = 5
COEFFS_PER_BLOCK = MAX_STAGES * (MAX_STAGES - 1) // 2 + MAX_STAGES  # a below the diagonal, row by row, then b


class Command(IntEnum):
    IDENTIFY = 0
    LOAD = 1
    RUN = 2


class Kind(IntEnum):
    """Which kernel answers; in VERSION bits 31:16."""

    HLS = 1
    RTL = 2


class Status(IntEnum):
    """Result of the last command.

    After an error the kernel is idle, its input drained to TLAST, and ready for a command.
    """

    OK = 0
    BAD_COMMAND = 1  # COMMAND is none of Command
    BAD_STEPS = 2  # N_STEPS is 0 or over the limit
    BAD_STAGES = 3  # NUM_STAGES is 0 or over MAX_STAGES
    BAD_FRAMES = 4  # FRAMES is 0
    SHORT_INPUT = 5  # TLAST before the last beat of the command
    LONG_INPUT = 6  # no TLAST on the last beat of the command
    NOT_LOADED = 7  # RUN before a program was loaded
    BAD_PROGRAM = 8  # a program that does not fit this kernel or this model
    WRITE_WHILE_BUSY = 9  # an argument was written while a command ran; the write was ignored
    WATCHDOG = 10  # the kernel itself stood still for longer than any program takes; its program is gone


# Where the rtl kernel is, in the order of its own states (commander.sv, scheduler.sv)
COMMANDER = ("idle", "checking the command", "loading the program", "before the image", "reading the image",
             "computing", "sending the logits", "draining its input")  # fmt: skip
SCHEDULER = ("idle", "beginning a pass", "in a pass", "between passes", "before the average", "averaging", "done")


def state_text(word: int) -> str:
    """The register STATE in words."""
    commander, scheduler = word & 15, word >> 4 & 15
    text = COMMANDER[commander] if commander < len(COMMANDER) else f"in the unknown state {commander}"
    if text != "computing":
        return text
    frame = SCHEDULER[scheduler] if scheduler < len(SCHEDULER) else f"in the unknown state {scheduler}"
    return f"{text}, {frame}: pass {word >> 8 & 255}, step {word >> 18}, stage {word >> 16 & 3}"


@dataclass(frozen=True)
class Register:
    name: str
    offset: int  # bytes
    access: str  # "rw": argument, written by the host; "ro": result, written by the kernel
    description: str
    words: int = 1


@dataclass(frozen=True)
class Field:
    name: str
    bit: int
    access: str


CTRL_FIELDS = (
    Field("AP_START", 0, "rw"),
    Field("AP_DONE", 1, "ro"),
    Field("AP_IDLE", 2, "ro"),
    Field("AP_READY", 3, "ro"),
    Field("AUTO_RESTART", 7, "rw"),
)
CONTROL = (
    Register("CTRL", 0x00, "rw", "block control signals"),
    Register("GIER", 0x04, "rw", "global interrupt enable"),
    Register("IP_IER", 0x08, "rw", "interrupt enable"),
    Register("IP_ISR", 0x0C, "rw", "interrupt status"),
)
_SCALARS = (
    ("COMMAND", "rw", "what AP_START starts: 0 identify, 1 load, 2 run"),
    ("FRAMES", "rw", "images of a run"),
    ("NUM_STAGES", "rw", "stages of the solver"),
    *((f"N_STEPS_{block + 1}", "rw", f"solver steps of ODE block {block + 1}") for block in range(MAX_BLOCKS)),
    ("IDENTITY", "ro", f"always {IDENTITY:#x}"),
    ("VERSION", "ro", "31:16 kind of kernel (1 hls, 2 rtl), 15:0 contract version"),
    ("STATUS", "ro", "result of the last command"),
    ("FINGERPRINT_LO", "ro", "low word of the model fingerprint"),
    ("FINGERPRINT_HI", "ro", "high word of the model fingerprint"),
    ("CAP_CHANNELS", "ro", "largest number of channels"),
    ("CAP_PIXELS", "ro", "largest number of pixels of a map"),
    ("CAP_STEPS", "ro", "largest n_steps"),
    ("CAP_LANES", "ro", "rtl: 31:24 pixel, 23:16 depthwise, 15:8 input, 7:0 output lanes; hls: 0"),
    ("FRAMES_DONE", "ro", "frames completed by the last command"),
    ("CYCLES", "ro", "clock cycles of the last command; hls: 0, it has no counter"),
    ("STALLS_IN", "ro", "cycles in which the kernel waited for s_axis; hls: 0"),
    ("STALLS_OUT", "ro", "cycles in which the kernel waited for m_axis; hls: 0"),
    ("STATE", "ro", "rtl: 31:18 step, 17:16 stage, 15:8 pass, 7:4 scheduler, 3:0 commander, at any time; hls: 0"),
)
COEFF = Register(
    "COEFF", 0x100, "rw", "step coefficients, COEFFS_PER_BLOCK words per ODE block", MAX_BLOCKS * COEFFS_PER_BLOCK
)
ARGUMENTS = (*(Register(name, 0x10 + 8 * i, access, text) for i, (name, access, text) in enumerate(_SCALARS)), COEFF)
REGISTERS = {register.name: register for register in (*CONTROL, *ARGUMENTS)}
ADDRESS_BITS = 9
assert all(r.offset + 4 * r.words <= 1 << ADDRESS_BITS for r in REGISTERS.values())
assert REGISTERS[_SCALARS[-1][0]].offset + 8 <= COEFF.offset
AP_START, AP_DONE, AP_IDLE, AP_READY = (1 << field.bit for field in CTRL_FIELDS[:4])


def fingerprint_words(fingerprint: str) -> tuple[int, int]:
    """(low, high) register words of a fingerprint in hexadecimal: its first 64 bits."""
    value = int(fingerprint[:16], 16)
    return value & 0xFFFFFFFF, value >> 32


def coefficient_words(method: Tableau, rows: list[list[int]]) -> list[int]:
    """The step coefficients of one ODE block in the order of the COEFF registers, zeros for stages the method lacks."""
    *a, b = rows
    words = [a[i][j] if i < method.num_stages else 0 for i in range(1, MAX_STAGES) for j in range(i)]
    return words + [b[j] if j < method.num_stages else 0 for j in range(MAX_STAGES)]


def beats(num_bytes: int) -> int:
    """Stream beats that hold this many bytes."""
    return -(-num_bytes // BEAT_BYTES)


def _constants() -> dict[str, int]:
    """Every number of the contract by its C name."""
    values = {
        "BEAT_BYTES": BEAT_BYTES,
        "IDENTITY": IDENTITY,
        "CONTRACT_VERSION": CONTRACT_VERSION,
        "MAX_STAGES": MAX_STAGES,
        "MAX_STEPS": MAX_STEPS,
        "MAX_BLOCKS": MAX_BLOCKS,
        "COEFFS_PER_BLOCK": COEFFS_PER_BLOCK,
        "ADDRESS_BITS": ADDRESS_BITS,
    }
    values |= {f"REG_{register.name}": register.offset for register in REGISTERS.values()}
    for enum in (Command, Kind, Status):
        values |= {f"{enum.__name__.upper()}_{member.name}": int(member) for member in enum}
    return values


def cpp_header() -> str:
    """The contract as a C++ header, namespace dsodenet."""
    lines = [f"constexpr unsigned {name} = {value:#x};" for name, value in _constants().items()]
    body = "\n".join(lines)
    return f"// Generated from registers.py.\n#pragma once\nnamespace dsodenet {{\n{body}\n}}  // namespace dsodenet\n"


def sv_package() -> str:
    """The contract as a SystemVerilog package."""
    lines = [f"  localparam logic [31:0] {name} = 32'h{value:08x};" for name, value in _constants().items()]
    body = "\n".join(lines)
    return f"// Generated from registers.py.\npackage dsodenet_registers_pkg;\n{body}\nendpackage\n"
