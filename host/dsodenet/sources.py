"""Where the hardware sources are: beside the package in an installation, at the top of the tree in a checkout."""

from __future__ import annotations

from pathlib import Path

from dsodenet.errors import ToolError


def source_folder(name: str) -> Path:
    """The folder of hardware sources `name`: `hls` or `overlays`; in a checkout also `notebooks`."""
    package = Path(__file__).resolve().parent
    for folder in (package / "sources" / name, package.parents[1] / name):
        if folder.is_dir():
            return folder
    raise ToolError(f"{name}/ is not installed with this package; use a source checkout")
