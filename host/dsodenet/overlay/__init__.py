"""Build the bitstream of a run with Vivado and Vitis HLS: `bit = build(run, "hls")`."""

from dsodenet.overlay.flow import build

__all__ = ["build"]
