"""Build the bitstream of a run with Vivado and Vitis HLS, and pack it for the board.

`package(build(run, "hls"), wheel, "board.zip")` does both.
"""

from dsodenet.overlay.archive import package
from dsodenet.overlay.flow import build

__all__ = [
    "build",
    "package",
]
