"""Build the bitstream of a run with Vivado and Vitis HLS, here or on another machine, and pack it for the board.

`package(build(run, "hls"), wheel, "board.zip")` does both.
"""

from dsodenet.overlay.archive import package
from dsodenet.overlay.flow import JOBS, build, first_clock, publish_from
from dsodenet.overlay.project import STRATEGIES

__all__ = [
    "JOBS",
    "STRATEGIES",
    "build",
    "first_clock",
    "package",
    "publish_from",
]
