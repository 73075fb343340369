"""The concurrent C simulation: every process of a dataflow region at once, streams with the depth of their pragma.

The kernel's own C++ is compiled. A copy of it gets, around each call of a region, what makes the call a process, and
beside each memory what watches it; no statement of the kernel changes. hls/csim/concurrent holds the scheduler.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dsodenet.errors import RunError
from dsodenet.files import atomic_folder, source_folder
from dsodenet.hls.cplusplus import Call, Node, Variable, call_of, pragmas, unlabelled, variables
from dsodenet.hls.kernel_sources import KernelSources
from dsodenet.hls.lowering import CONCURRENT, CXX_FLAGS, _run, find_compiler, sealed_folder
from dsodenet.hls.region_rules import by_value, simple_loop, target
from dsodenet.hls.source_file import Function, Region
from dsodenet.native import MANIFEST, check_seal, seal
from dsodenet.outside import read_json
from dsodenet.runs import write_manifest

LIBRARY = "libdsodenet_concurrent.so"
PARTS = ("fibers", "channels", "regions", "report", "memories")
SIMULATOR = ("csim.cpp", *(f"concurrent/{part}.cpp" for part in PARTS))
SAMPLE, READ, WRITE = 1, 2, 4  # csim::mode
Edit = tuple[int, int, str]  # from and to which byte, and what goes there
# The compiler calls a function before each access to memory. The simulator brings these functions in place of the
# compiler's run time.
WATCHED = ("-fsanitize=thread", "--param=tsan-instrument-func-entry-exit=0", "-fno-threadsafe-statics")


def concurrent_library(run: str | Path, progress: Callable[[str], None] = lambda step: None) -> Path:
    """The concurrent simulation of a lowered run, compiled when it is first asked for; opened as the C simulation is.

    RunError without a lowered kernel that fits the run and was compiled here, ToolError without a compiler or
    tree-sitter.
    """
    sources = sealed_folder(run)
    folder = sources / CONCURRENT
    if not _is_current(folder):
        with atomic_folder(folder) as beside:
            build_concurrent(sources, beside / LIBRARY, progress)
            write_manifest(beside, seal(beside))
    return folder / LIBRARY


def _is_current(folder: Path) -> bool:
    """Whether a concurrent simulation may be loaded: this account compiled it, with the simulator as it is."""
    library = folder / LIBRARY
    newest = max(path.stat().st_mtime for path in source_folder("hls").glob("csim/**/*") if path.is_file())
    try:
        check_seal(folder, read_json(folder / MANIFEST, "a manifest", RunError), "")
    except RunError:
        return False
    return library.is_file() and library.stat().st_mtime >= newest


def build_concurrent(folder: Path, library: Path, progress: Callable[[str], None] = lambda step: None) -> None:
    """Compile the kernel in `folder` into a concurrent simulation; `library` appears whole or not at all."""
    compiler = find_compiler()
    with tempfile.TemporaryDirectory(dir=library.parent, prefix=".concurrent-") as name:
        place = Path(name)
        shutil.copytree(
            folder, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.so", ".*", CONCURRENT, "csim")
        )
        simulator = source_folder("hls") / "csim"
        shutil.copytree(simulator, place / "include" / "csim")
        make_concurrent(place)
        includes = [
            f"-I{part}" for part in (".", "include/csim/concurrent", "include", "include/csim", "include/ap_types")
        ]
        sections = sorted(
            str(path.relative_to(place)) for path in place.glob("*/firmware/*.cpp") if "test" not in path.stem
        )

        def compile_one(source: str) -> str:
            watched = WATCHED if source == "kernel.cpp" else ()
            item = str(Path(source).with_suffix(".o"))
            _run([compiler, *CXX_FLAGS, *watched, *includes, "-c", source, "-o", item], place)
            progress(f"g++ {Path(source).stem}, concurrent")
            return item

        # The kernel comes first: of what several files compile, the linker takes the first, which must be watched.
        sources = ("kernel.cpp", *(f"include/csim/{part}" for part in SIMULATOR), *sections)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compile_one, sources))
        _run([compiler, "-shared", *objects, "-o", LIBRARY], place)
        os.replace(place / LIBRARY, library)


def make_concurrent(folder: Path) -> None:
    """Turn every region in `folder` into concurrent processes, in place. Lines keep their numbers."""
    kernel = KernelSources(folder)
    watched = _around_regions(kernel)
    for source in kernel.checked:
        edits: list[Edit] = []
        for region in source.regions:
            edits += _region_edits(kernel, region)
        blocks = {f.body.start_byte: f.body for f in source.functions} | {
            r.block.start_byte: r.block for r in source.regions
        }
        edits += [edit for block in blocks.values() for edit in _depths(block)]
        if "firmware" not in source.path.parts:
            places = [(node, True) for node in _namespaces(source.tree.root_node)]
            places += [(f.body, False) for f in source.functions if f in watched]
            for block, outside in places:
                for child in block.children:
                    edits += [_insert(child.end_byte, _watch(v, outside)) for v in variables(child) if _is_memory(v)]
        if edits:
            content = source.content
            for start, end, addition in sorted(edits, key=lambda edit: edit[0], reverse=True):
                content = content[:start] + addition.encode() + content[end:]
            (folder / source.path).write_bytes(content)


def _around_regions(kernel: KernelSources) -> set[Function]:
    """The regions, their processes and whatever calls them: the functions whose memories live longer than a pixel."""
    found = {region.function for region in kernel.regions} | {f for f in kernel.functions if f.name == kernel.top}
    found |= {f for region in kernel.regions for call in region.calls for f in kernel.callees(call)}
    calls = {f: {callee for call in kernel.calls(f) for callee in kernel.callees(call)} for f in kernel.functions}
    while callers := {f for f, callees in calls.items() if f not in found and callees & found}:
        found |= callers
    return found


def _namespaces(node: Node) -> list[Node]:
    """A file and the bodies of its namespaces."""
    return [node] + [
        found
        for child in node.children
        if child.type == "namespace_definition"
        for found in _namespaces(child.child_by_field_name("body"))
    ]


def _is_memory(variable: Variable) -> bool:
    return bool(variable.dimensions) and not (variable.stream or variable.const or variable.initialiser is not None)


def _watch(variable: Variable, outside: bool) -> str:
    storage = "static " if outside or variable.static else ""
    return f' {storage}csim::memory {variable.name}_memory("{variable.name}", {variable.name});'


def _insert(offset: int, addition: str) -> Edit:
    return offset, offset, addition


def _depths(block: Node) -> list[Edit]:
    """The depth that pragmas of a block state, given to each stream behind its declaration."""
    stated = {
        name.strip(): depth
        for pragma in pragmas(block, "STREAM")
        if (depth := pragma.option("depth"))
        for name in (pragma.option("variable") or "").split(",")
    }
    return [
        _insert(child.end_byte, f" csim::set_depth({v.name}, {stated[v.name]});")
        for child in block.children
        for v in variables(child)
        if v.stream and not v.reference and v.name in stated
    ]


def _region_edits(kernel: KernelSources, region: Region) -> list[Edit]:
    """A region in a loop becomes one region whose processes loop each for itself: in hardware its passes overlap.

    Where it has memories of its own, its passes follow each other: a ping-pong buffer would need a copy for each.
    """
    block, around, end = region.block, "", ""
    edits = [
        _insert(block.start_byte + 1, f' csim::region dsodenet_region("{region.function.path}");'),
        _insert(block.end_byte - 1, "dsodenet_region.run(); "),
    ]
    if region.loop is not None and simple_loop(region.loop) and all(v.stream for v in region.locals.values()):
        header = kernel.text(region.function.file)[region.loop.start_byte : block.start_byte].decode()
        edits.append((region.loop.start_byte, block.start_byte, "\n" * header.count("\n")))
        around, end = " ".join(header.split()) + " { ", " }"
    for child in block.children:
        statement = unlabelled(child)
        if (found := call_of(statement)) is not None:
            uses = ", ".join(_uses(kernel, region, found))
            edits.append(_insert(statement.start_byte, f'dsodenet_region.add("{found.callee}", [&] {{ {around}'))
            edits.append(_insert(statement.end_byte, f"{end} }}, {{{uses}}});"))
    return edits


def _uses(kernel: KernelSources, region: Region, found: Call) -> list[str]:
    """What a process does with the variables that it is given, as csim::use."""
    uses = []

    def add(name: str | None, how: int) -> None:
        variable = None if name is None else region.variable(kernel.globals, name)
        if variable is not None and not (variable.constexpr or (variable.const and name in kernel.globals)):
            local = "true" if name in region.locals else "false"
            uses.append(f'csim::given("{name}", {name}, {how}, {local})')

    if (place := target(found)) is not None:
        add(region.root(place), WRITE)
    for index, argument in enumerate(found.arguments):
        name = region.root(argument)
        if name is None:
            continue
        copied = by_value(kernel, found, index, region.variable(kernel.globals, name))
        constant = all(f.parameters[index].const for f in kernel.callees(found)) and bool(kernel.callees(found))
        add(name, SAMPLE if copied else READ if constant else READ | WRITE)
    return uses
