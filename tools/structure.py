"""The import graph of the package in numbers: modules, lines and floors, and which arrows run up.

A module stands one floor above the highest that it imports; imports inside functions count.

python -m tools.structure [--folder OTHER/host]
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

from dsodenet.command import Values
from dsodenet.text import table
from tools import command_line

HOST = Path(__file__).parents[1] / "host"


def import_graph(folder: Path) -> tuple[dict[str, set[str]], dict[str, int]]:
    """(module -> modules of the package that it imports, module -> lines). A package is its __init__."""
    files = {
        ".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__"): file
        for file in (folder / "dsodenet").rglob("*.py")
    }
    graph, lines = {}, {}
    for module, file in files.items():
        text = file.read_text(encoding="utf-8")
        names: set[str] = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
        graph[module] = {name for name in names if name in files and name not in ("dsodenet", module)}
        lines[module] = text.count("\n")
    return graph, lines


def measure(folder: Path) -> dict[str, Any]:
    graph, lines = import_graph(folder)
    faces = {module for module in graph if any(other.startswith(f"{module}.") for other in graph)}

    @cache
    def floor(module: str) -> int:
        below = graph[module] - ({module} | faces if module in faces else set())
        return 1 + max((floor(other) for other in below if other not in faces), default=0)

    packages: dict[str, list[str]] = defaultdict(list)
    for module in graph:
        if module != "dsodenet":
            parts = module.split(".")[1:]
            inside = len(parts) > 1 or module in faces
            packages[parts[0] if inside else "(beside the packages)"].append(module)
    rows = [
        {
            "package": name,
            "modules": len([module for module in modules if module not in faces]),
            "lines": sum(lines[module] for module in modules),
            "floors": max(floor(module) for module in modules),
        }
        for name, modules in sorted(packages.items())
    ]
    return {
        "packages": rows,
        "modules": len(graph) - len(faces),
        "lines": sum(lines.values()),
        "arrows": sum(map(len, graph.values())),
        "floors": max(map(floor, graph)),
    }


def text(result: dict[str, Any]) -> str:
    rows = [tuple(row.values()) for row in result["packages"]]
    header = ("package", "modules", "lines", "highest floor")
    total = ", ".join(f"{result[key]:,} {key}" for key in ("modules", "lines", "arrows", "floors"))
    return f"{table(header, rows)}\n{total}"


def work(args: argparse.Namespace) -> Values:
    return Values(measure(args.folder), text)


def main(arguments: list[str] | None = None) -> int:
    parser = command_line.parser("tools.structure", __doc__)
    parser.add_argument("--folder", type=Path, default=HOST, metavar="DIR", help="folder that holds dsodenet/")
    return command_line.run(parser, work, arguments)


if __name__ == "__main__":
    sys.exit(main())
