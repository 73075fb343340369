"""The plan of the package, read from its sources: which package stands on which, and what one may take from another.

Imports inside functions count. Each rule is also shown to fail on a planted fault.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import dsodenet

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "host"
# The packages and the modules beside them, from the ground up: each imports only from those before it.
ORDER = (
    *("lazy", "errors", "outside", "files", "native", "text", "command", "runs", "spec", "reference", "contract"),
    *("data", "rtl", "plots", "qonnx_graph", "hls", "nets", "training", "exporting"),
    *("runtime", "adapting", "evaluation", "ladder", "overlay", "exploration", "zoo", "bench", "cli", "__main__"),
)
# Module -> the modules that it imports. The package dsodenet itself only names others and is apart.
Graph = dict[str, set[str]]


def modules(folder: Path) -> dict[str, Path]:
    """training.loop -> its file; a package is its __init__.py."""
    files = (folder / "dsodenet").rglob("*.py")
    names = {".".join(file.relative_to(folder / "dsodenet").with_suffix("").parts): file for file in files}
    return {name.removesuffix(".__init__"): file for name, file in names.items() if name != "__init__"}


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, name in it) of every import of the package, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not read here"
            found = [(node.module or "", alias.name) for alias in node.names]
        else:
            continue
        yield from (
            (module.removeprefix("dsodenet."), name) for module, name in found if module.startswith("dsodenet.")
        )


def import_graph(folder: Path) -> Graph:
    files = modules(folder)
    graph: Graph = {}
    for module, file in files.items():
        names = {
            name if (name := f"{source}.{part}") in files else source
            for source, part in imported(ast.parse(file.read_text(encoding="utf-8")))
        }
        graph[module] = {name for name in names if name in files}
    return graph


def unit(module: str) -> str:
    """The package of a module, or a module that stands beside the packages."""
    return module.split(".")[0]


def cycle(graph: Graph) -> list[str]:
    """The modules of a cycle, or none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def wrong_way(graph: Graph) -> list[str]:
    """Each import of something that stands further up."""
    place = {name: number for number, name in enumerate(ORDER)}
    return [
        f"{module} imports {other}"
        for module, others in graph.items()
        for other in sorted(others)
        if unit(other) != unit(module) and place[unit(other)] >= place[unit(module)]
    ]


def past_the_face(graph: Graph) -> list[str]:
    """Each import of an inner module of another package. A package within a package has a face of its own."""
    faces = {other.rpartition(".")[0] for other in graph}
    return [
        f"{module} imports {other}"
        for module, others in graph.items()
        for other in sorted(others)
        if unit(other) != unit(module) and "." in other and other not in faces
    ]


def twins(graph: Graph) -> list[str]:
    """Names that several modules or packages have."""
    return [name for name, count in Counter(module.split(".")[-1] for module in graph).items() if count > 1]


def hidden(folder: Path) -> list[str]:
    """Public names of a package that one of its modules has too: importing the module would replace them."""
    found = []
    files = modules(folder)
    for package, file in {"": folder / "dsodenet" / "__init__.py", **files}.items():
        if file.name != "__init__.py":
            continue
        inside = {name.split(".")[-1] for name in files if name.rpartition(".")[0] == package}
        tree = ast.parse(file.read_text(encoding="utf-8"))
        faces = [
            node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == "__all__"
        ]
        public = {str(name) for face in faces for name in ast.literal_eval(face)}
        own = f"dsodenet.{package}".rstrip(".")
        modules_meant = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == own
            for alias in node.names
        }
        public -= modules_meant  # a module that is public itself, such as dsodenet.zoo
        found += [f"{package or 'dsodenet'}: {name}" for name in sorted(inside & public)]
    return found


GRAPH = import_graph(FOLDER)


def test_the_graph_is_that_of_the_package() -> None:
    assert {"spec", "rtl.words"} <= GRAPH["rtl.builder"]
    assert "rtl" in GRAPH["runtime.programs"], "inside a function"
    assert {unit(module) for module in GRAPH} == set(ORDER), "every package has its place"


def test_no_module_imports_itself_through_others() -> None:
    assert cycle(GRAPH) == []


def test_imports_go_one_way() -> None:
    assert wrong_way(GRAPH) == []


def test_packages_meet_by_their_faces() -> None:
    assert past_the_face(GRAPH) == []


def test_every_name_has_one_module() -> None:
    assert twins(GRAPH) == []


def test_no_module_hides_a_public_name() -> None:
    assert hidden(FOLDER) == []


def test_names_of_the_top_are_the_same_to_the_type_checker_and_at_run_time() -> None:
    tree = ast.parse((FOLDER / "dsodenet/__init__.py").read_text(encoding="utf-8"))
    typed = {
        alias.name: name.module if name.module != "dsodenet" else f"dsodenet.{alias.name}"
        for name in ast.walk(tree)
        if isinstance(name, ast.ImportFrom)
        for alias in name.names
    }
    for told in ("TYPE_CHECKING", "lazy_names"):
        del typed[told]
    (homes,) = (node for node in ast.walk(tree) if isinstance(node, ast.Dict))
    assert ast.literal_eval(homes) == typed
    assert {*typed, "__version__"} == set(dsodenet.__all__)


def test_importing_every_module_changes_no_name_of_the_top() -> None:
    """A module train.py beside the function train would take its name as soon as it is imported."""
    code = (
        "import importlib, sys, dsodenet\n"
        "before = {name: getattr(dsodenet, name) for name in dsodenet.__all__}\n"
        "for module in sys.argv[1:]: importlib.import_module(module)\n"
        "changed = [name for name in before if getattr(dsodenet, name) is not before[name]]\n"
        "assert not changed, changed\n"
    )
    every = [f"dsodenet.{module}" for module in modules(FOLDER) if module != "__main__"]
    subprocess.run([sys.executable, "-c", code, *every], check=True, timeout=300, cwd=ROOT)


def test_nothing_puts_a_folder_on_the_path_of_tests() -> None:
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]
    tinkering = [file.name for file in files if "sys.path.insert(0" in file.read_text(encoding="utf-8")]
    assert tinkering == [Path(__file__).name]


def changed(folder: Path, module: str, line: str) -> Path:
    """The package as it is, with a line more in one module, which may be new."""
    target = folder / "dsodenet" / f"{module}.py"
    for file in (FOLDER / "dsodenet").rglob("*.py"):
        path = folder / file.relative_to(FOLDER)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    before = target.read_text(encoding="utf-8") if target.exists() else ""
    target.write_text(f"{before}\n{line}\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("module", "line", "member"),
    [
        ("spec/solvers", "def f():\n    from dsodenet.spec import params", "spec.solvers"),
        ("runtime/pacing", "import dsodenet.runtime.zcu104", "runtime.pacing"),
    ],
)
def test_a_planted_cycle_shows(tmp_path: Path, module: str, line: str, member: str) -> None:
    assert member in cycle(import_graph(changed(tmp_path, module, line)))


def test_a_planted_arrow_up_shows(tmp_path: Path) -> None:
    graph = import_graph(changed(tmp_path, "nets/time_table", "def f():\n    from dsodenet.exporting import export"))
    assert wrong_way(graph) == ["nets.time_table imports exporting"]


def test_a_planted_look_past_a_face_shows(tmp_path: Path) -> None:
    graph = import_graph(changed(tmp_path, "bench/rows", "from dsodenet.spec.params import Params"))
    assert past_the_face(graph) == ["bench.rows imports spec.params"]


def test_a_planted_twin_shows(tmp_path: Path) -> None:
    assert twins(import_graph(changed(tmp_path, "bench/solvers", ""))) == ["solvers"]


def test_a_planted_hidden_name_shows(tmp_path: Path) -> None:
    assert hidden(changed(tmp_path, "training/train", "")) == ["training: train"]
