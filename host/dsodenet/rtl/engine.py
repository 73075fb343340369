"""One build of the rtl kernel: its lanes, its memories, and the layout of a pass, shared by Python and SystemVerilog."""

from __future__ import annotations

from dataclasses import dataclass

from dsodenet.errors import SpecError
from dsodenet.spec import Kernel

PROGRAM_MAGIC = 0x72744C64
CASCADE_LENGTH = 8  # of engine_pkg.sv: multipliers that add up to one pair of sums
PW_BEAT_WEIGHTS = 9  # pointwise weights in a beat: the width of a block RAM
KINDS = ("state", "hidden", "slope", "logits")
FIELDS = (
    *("kind", "block", "stride2", "source_unsigned", "truncate", "accumulate"),
    *("wait_cycles", "width", "height", "pitch", "lead_groups", "last_group"),
    *("tiles_last", "reps_last", "inputs_last", "slot_last"),
    *(
        "outputs_last",
        "words_last",
        "tail_last",
        "row_words",
        "fetch_start",
        "fetch_rotate",
        "line_rotate",
        "line_near",
    ),
    *("line_far", "dst_row_words", "dst_row_rotate", "dw_base", "pw_base", "bias_base", "bias_stride", "loop_passes"),
    *("dw_shift", "dw_min", "dw_max", "out_shift", "out_min", "out_max"),
    *("update_shift", "state_min", "state_max", "x_shift", "x_shift_last", "x_min", "x_max"),
    *("average_shift", "average_count_last", "average_min", "average_max"),
    *("image_beats_last", "image_width_last", "image_height_last", "image_row_words", "image_row_rotate"),
    *("block_shift", "slot_shift", "replicate", "chunks_last", "tail_bytes", "logit_beats_last"),
)
PASS_BYTES = 2 * -(-len(FIELDS) // 8) * 8


@dataclass(frozen=True)
class Engine:
    """Parallelism and memories of one build of the engine; the names are the parameters of dsodenet_engine.sv in lower case."""

    pixel_lanes: int
    input_lanes: int
    output_lanes: int
    map_words: int
    dw_words: int
    pw_words: int
    bias_words: int
    line_words: int
    max_tiles: int
    logit_words: int
    max_passes: int = 32

    def __post_init__(self) -> None:
        for key in ("input_lanes", "output_lanes"):
            lanes = getattr(self, key)
            if lanes & (lanes - 1) or not 4 <= lanes <= 128:
                raise SpecError(f"kernel.{key} is {lanes}, but the rtl kernel needs 4, 8, 16, 32, 64 or 128")
        if self.output_lanes < self.input_lanes:
            raise SpecError(
                f"kernel.output_lanes is {self.output_lanes}, but the rtl kernel needs at least input_lanes, {self.input_lanes}"
            )
        if not 1 <= self.pixel_lanes <= 8:
            raise SpecError(f"kernel.pixel_lanes is {self.pixel_lanes}, but the rtl kernel needs 1 to 8")

    @classmethod
    def of(cls, kernel: Kernel) -> Engine:
        """The build for these lanes; its memories are sized for the ZCU104."""
        p, i, o = kernel.pixel_lanes, kernel.input_lanes, kernel.output_lanes
        return cls(
            *(p, i, o),
            map_words=8192 if p * i <= 32 else 4096,
            dw_words=max(256, 4096 // i),
            pw_words=min(16384, max(512, (1 << 19) // (i * o))),
            bias_words=4096,
            line_words=max(512, 8192 // i),
            max_tiles=1024 // i,
            logit_words=max(32, 1024 // i),
        )

    @property
    def cascade(self) -> int:
        """Input lanes in one cascade of multipliers of the pointwise array."""
        return min(CASCADE_LENGTH, self.input_lanes)

    @property
    def result_stage(self) -> int:
        """ResultStage of core.sv: cycles from a token to its accumulators."""
        depthwise = 4 + 11
        return depthwise + 4 + self.cascade + (self.input_lanes // self.cascade - 1).bit_length()

    @property
    def drain_cycles(self) -> int:
        """DrainCycles of core.sv: from the last token of a pass to its last write."""
        return self.result_stage + 14 + self.output_lanes // self.input_lanes

    @property
    def lanes_word(self) -> int:
        """The register CAP_LANES."""
        lanes = (self.pixel_lanes, self.pixel_lanes * self.input_lanes, self.input_lanes, self.output_lanes)
        return sum((value & 0xFF) << shift for value, shift in zip(lanes, (24, 16, 8, 0)))


def pass_package() -> str:
    """The layout of a pass as a SystemVerilog package."""
    slots = PASS_BYTES // 2
    names = [*FIELDS, *(f"reserved_{i}" for i in range(slots - len(FIELDS)))]
    body = "\n".join(f"    logic [15:0] {name};" for name in reversed(names))
    return (
        f"// Generated from engine.py.\npackage dsodenet_program_pkg;\n  localparam logic [31:0] PROGRAM_MAGIC = 32'h{PROGRAM_MAGIC:08x};\n"
        f"  typedef struct packed {{\n{body}\n  }} pass_t;\nendpackage\n"
    )
