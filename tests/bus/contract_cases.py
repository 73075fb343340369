"""The tests of the contract that both kernels keep, as data: which test runs on which kernel, and every faulty command.

tb_contract.py holds the tests, test_rtl_bus.py and test_hls_bus.py report them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from dsodenet.contract.registers import Command, Status

BOTH, RTL = ("hls", "rtl"), ("rtl",)


@dataclass(frozen=True)
class Case:
    kernels: tuple[str, ...] = BOTH
    why: str = ""  # it is not for both


TESTS = {
    "frames_without_a_pause": Case(),
    "stalled_streams": Case(),
    "reset_in_the_middle": Case(),
    "fault": Case(),  # each of FAULTS
    "solver_steps": Case(),
    "saturation": Case(),
    "registers": Case(),
    "block_control": Case(),
    "rest_of_a_packet_without_tlast": Case(RTL, "the hls kernel waits for TLAST until the host resets it"),
    "programs_reloaded_between_frames": Case(RTL, "the weights of the hls kernel are in its bitstream"),
    "bad_programs": Case(RTL, "a program of the hls kernel is a table without a header: any content is one"),
    "writes_while_running": Case(RTL, "the register block that Vitis HLS makes takes writes at any time"),
}


@dataclass(frozen=True)
class Fault(Case):
    """One command with something wrong.

    After it the next good run is right; after a faulty LOAD it needs a good one first.

    packet: what is sent: "images" of the good run, its "program", or nothing. beats: how many more (or fewer) beats
    it has than it should; keep: how many it has, counted from the front. TLAST is on its last beat, or on none.
    """

    status: Status = Status.OK
    command: int = Command.RUN
    registers: dict[str, int] = field(default_factory=dict)
    packet: str = "images"
    beats: int = 0
    keep: int | None = None
    tlast: bool = True


FRAMES = 2  # of the good run that a fault is a change of
DRAINS = "the hls kernel reads the input of a RUN up to TLAST whatever is wrong, so it waits for a packet"
_ARGUMENTS = {
    "no_frames": ({"FRAMES": 0}, Status.BAD_FRAMES),
    "no_stages": ({"NUM_STAGES": 0}, Status.BAD_STAGES),
    "five_stages": ({"NUM_STAGES": 5}, Status.BAD_STAGES),
    "stages_over_16_bits": ({"NUM_STAGES": 2 + (1 << 16)}, Status.BAD_STAGES),
    "no_steps": ({"N_STEPS_1": 0}, Status.BAD_STEPS),
    "steps_over_the_limit": ({"N_STEPS_1": 65}, Status.BAD_STEPS),
    "steps_over_16_bits": ({"N_STEPS_1": 2 + (1 << 16)}, Status.BAD_STEPS),
    "steps_of_another_table": ({"N_STEPS_1": 1}, Status.NOT_LOADED),
}
FAULTS = {
    **{name: Fault(status=status, registers=registers) for name, (registers, status) in _ARGUMENTS.items()},
    **{
        f"{name}_no_packet": Fault(RTL, DRAINS, _ARGUMENTS[name][1], registers=_ARGUMENTS[name][0], packet="")
        for name in ("no_frames", "steps_of_another_table")
    },
    "bad_command": Fault(status=Status.BAD_COMMAND, command=7, packet=""),
    "bad_command_with_a_packet": Fault(
        RTL, "the hls kernel reads no stream for a command that it does not know", Status.BAD_COMMAND, 7
    ),
    "tlast_on_first_beat": Fault(status=Status.SHORT_INPUT, keep=1),
    "tlast_inside_first_image": Fault(status=Status.SHORT_INPUT, keep=2),
    "one_beat_short": Fault(status=Status.SHORT_INPUT, beats=-1),
    "one_image_too_few": Fault(status=Status.SHORT_INPUT, registers={"FRAMES": FRAMES + 1}),
    "one_image_too_many": Fault(status=Status.LONG_INPUT, registers={"FRAMES": FRAMES - 1}),
    **{f"long_by_{n}_beats": Fault(status=Status.LONG_INPUT, beats=n) for n in (1, 10, 200)},
    "no_tlast_then_silence": Fault(RTL, TESTS["rest_of_a_packet_without_tlast"].why, Status.LONG_INPUT, tlast=False),
    "program_short": Fault(status=Status.SHORT_INPUT, command=Command.LOAD, packet="program", beats=-1),
    "program_of_one_beat": Fault(status=Status.SHORT_INPUT, command=Command.LOAD, packet="program", keep=1),
    "program_long": Fault(status=Status.LONG_INPUT, command=Command.LOAD, packet="program", beats=1),
    "program_much_too_long": Fault(status=Status.LONG_INPUT, command=Command.LOAD, packet="program", beats=150),
}


FaultName = Enum(
    "FaultName", [(name, name) for name in FAULTS]
)  # cocotb names a test after an enum's member, not after a long string


def names(kernel: str) -> list[str]:
    """The names of the cases of a kernel, as the reports of cocotb have them."""
    tests = [name for name, case in TESTS.items() if kernel in case.kernels and name != "fault"]
    return tests + [f"fault/name={name}" for name, fault in FAULTS.items() if kernel in fault.kernels]
