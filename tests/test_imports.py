"""The import graph of the package: no cycle, and the one direction of its parts, read from the sources; imports inside functions count."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "host"
# From left to right, left imports nothing from right, not even through others.
DIRECTION = (
    ("spec", "fixed_point", "solvers"),
    ("model", "data"),
    ("train",),
    ("export",),
    ("lower", "program"),
    ("reference",),
    ("runtime",),
    ("bench",),
    ("cli", "commands"),
)
Graph = dict[str, set[str]]  # module -> modules that it imports


def modules(folder: Path) -> dict[str, Path]:
    """dsodenet.train.loop -> its file; a package is its __init__.py."""
    files = (folder / "dsodenet").rglob("*.py")
    return {".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, name in it) of every import statement, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not read here"
            yield from ((node.module or "", alias.name) for alias in node.names)


def import_graph(folder: Path) -> Graph:
    files = modules(folder)
    graph: Graph = {}
    for module, file in files.items():
        names = {
            name if (name := f"{source}.{part}") in files else source for source, part in imported(ast.parse(file.read_text()))
        }
        graph[module] = {name for name in names if name in files}
    return graph


def cycle(graph: Graph) -> list[str]:
    """The modules of a cycle, or none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def wrong_way(graph: Graph) -> list[str]:
    """Each module that reaches one further right."""
    place = {part: number for number, parts in enumerate(DIRECTION) for part in parts}

    def where(module: str) -> int | None:
        return place.get(".".join(module.split(".")[1:2]))

    found = []
    for start in graph:
        seen, todo = {start}, [start]
        while todo:
            new = graph[todo.pop()] - seen
            seen |= new
            todo += new
        own = where(start)
        right = sorted(module for module in seen if own is not None and (where(module) or 0) > own)
        found += [f"{start} imports {module}" for module in right]
    return found


GRAPH = import_graph(FOLDER)


def test_the_graph_is_that_of_the_package() -> None:
    assert len(GRAPH) > 100
    assert {"dsodenet.spec", "dsodenet.program_words"} <= GRAPH["dsodenet.program"] | GRAPH["dsodenet.estimate"]
    assert "dsodenet.train.losses" in set().union(*GRAPH.values()), "of packages, too"
    assert "dsodenet.program" in GRAPH["dsodenet.runtime.driver"], "inside a function"
    assert {f"dsodenet.{part}" for parts in DIRECTION for part in parts} <= set(GRAPH)


def test_no_module_imports_itself_through_others() -> None:
    assert cycle(GRAPH) == []


def test_imports_go_one_way() -> None:
    assert wrong_way(GRAPH) == []


@pytest.mark.parametrize(
    ("module", "line", "message"),
    [
        ("solvers", "def f():\n    from dsodenet import spec", "dsodenet.solvers"),
        ("runtime/pacing", "import dsodenet.runtime.zcu104", "dsodenet.runtime.pacing"),
    ],
)
def test_a_cycle_would_show(tmp_path: Path, module: str, line: str, message: str) -> None:
    assert message in cycle(import_graph(changed(tmp_path, module, line)))


def test_an_import_from_the_right_would_show(tmp_path: Path) -> None:
    graph = import_graph(changed(tmp_path, "time_modules", "from dsodenet.zoo.make import main"))
    assert "dsodenet.model imports dsodenet.export" in wrong_way(graph)
    graph = import_graph(changed(tmp_path, "data_read", "from dsodenet.params import Params\nfrom dsodenet.bench import bars"))
    assert "dsodenet.data imports dsodenet.bench.bars" in wrong_way(graph)


def changed(folder: Path, module: str, line: str) -> Path:
    """The package as it is, with a line more in one module."""
    for name, file in modules(FOLDER).items():
        path = folder / file.relative_to(FOLDER)
        path.parent.mkdir(parents=True, exist_ok=True)
        more = line if name == f"dsodenet.{module.replace('/', '.')}" else ""
        path.write_text(f"{file.read_text()}\n{more}\n")
    return folder
