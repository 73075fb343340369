"""All files of a generated kernel, and who is who in them: functions, structs, typedefs and constants by name."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from dsodenet.errors import RunError
from dsodenet.hls.cplusplus import Call, Node, Variable, call, text, variables, walk
from dsodenet.hls.source_file import Function, Region, Source, Struct

TOP = "dsodenet_hls"
# hls4ml's templates are read to know what a section calls. They are not checked: a finding there is not ours to mend.
TEMPLATES = "include/nnet_utils"


class KernelSources:
    """The C++ of RUN/hls. checked: kernel.cpp, our headers, the sections; templates: hls4ml's headers."""

    def __init__(self, folder: Path, top: str = TOP) -> None:
        self.folder, self.top = folder, top
        paths = [
            *sorted(folder.glob("*.h")),
            *sorted(folder.glob("*.cpp")),
            *sorted(folder.glob("include/*.h")),
            *sorted(p for p in folder.glob("*/firmware/*") if p.suffix in (".h", ".cpp")),
        ]
        if not any(path.suffix == ".cpp" for path in paths):
            raise RunError(f"{folder}: no C++ of a kernel here; run `dsodenet lower` first")
        self.checked = [self._read(path) for path in paths]
        self.templates = [self._read(path) for path in sorted(folder.glob(f"{TEMPLATES}/*.h"))]

    def _read(self, path: Path) -> Source:
        try:
            return Source(path.relative_to(self.folder), path.read_bytes())
        except OSError as error:
            raise RunError(f"{path}: cannot be read ({error.strerror})") from None

    def text(self, path: Path) -> bytes:
        """The content of one of the checked files."""
        return next(source.content for source in self.checked if source.path == path)

    @cached_property
    def functions(self) -> list[Function]:
        return [function for source in self.checked for function in source.functions]

    @cached_property
    def regions(self) -> list[Region]:
        return [region for source in self.checked for region in source.regions]

    @cached_property
    def _by_name(self) -> dict[str, list[Function]]:
        names: dict[str, list[Function]] = defaultdict(list)
        for source in (*self.checked, *self.templates):
            for function in source.functions:
                names[function.name].append(function)
        return names

    @cached_property
    def structs(self) -> dict[str, Struct]:
        return {s.name: s for source in (*self.templates, *self.checked) for s in source.structs}

    @cached_property
    def globals(self) -> dict[str, Variable]:
        """Variables of namespaces; the weights of the sections are in headers of their own and are not among them."""
        return {v.name: v for source in self.checked for v in source.globals}

    @cached_property
    def typedefs(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = defaultdict(list)
        for source in self.checked:
            for node in walk(source.tree.root_node):
                if node.type == "type_definition":
                    for declarator in node.children_by_field_name("declarator"):
                        names[text(declarator)].append(text(node.child_by_field_name("type")))
                elif node.type == "alias_declaration":
                    names[text(node.child_by_field_name("name"))].append(text(node.child_by_field_name("type")))
        return names

    def callees(self, found: Call) -> list[Function]:
        """The functions that a call may mean: the name, the number of arguments and, where it names one, the scope."""
        named = [f for f in self._by_name[found.name] if len(f.parameters) == len(found.arguments)]
        scope = re.sub(r"<.*>", "", found.callee.rsplit("::", 1)[0]) if "::" in found.callee else ""
        exact = [f for f in named if scope and f.scope.split("::")[-1] == scope.split("::")[-1]]
        return exact or named

    def calls(self, function: Function) -> Iterator[Call]:
        """The calls in a function, but not those of methods of hls::stream and of other types that are not ours."""
        types = {v.name: v.type for v in function.parameters}
        for node in walk(function.body):
            types |= {v.name: v.type for v in variables(node)}
        for node in walk(function.body):
            if node.type != "call_expression":
                continue
            found = call(node, node)
            callee = node.child_by_field_name("function")
            if callee.type == "field_expression" and self.struct(types.get(text(callee.children[0]), "")) is None:
                continue
            yield found

    def struct(self, type_text: str) -> Struct | None:
        """The struct behind a type, through typedefs; None for numbers, for ap_fixed and for streams."""
        seen: set[str] = set()
        open_names = [type_text]
        while open_names:
            name = open_names.pop()
            last = re.sub(r"<.*", "", name if "<" in name else name.split("::")[-1]).split("::")[-1].split()[-1:]
            if not last or last[0] in seen or "hls::stream" in name:
                continue
            seen.add(last[0])
            if last[0] in self.structs:
                return self.structs[last[0]]
            open_names += self.typedefs.get(last[0], [])
        return None

    @cached_property
    def _constants(self) -> dict[str, list[str]]:
        """The texts that the constants of this name have, in whichever struct."""
        values: dict[str, list[str]] = defaultdict(list)
        for source in self.checked:
            for v in (*source.globals, *(v for s in source.structs for v in s.fields)):
                if v.const and v.initialiser is not None and not v.dimensions:
                    values[v.name].append(text(v.initialiser))
        return values

    def largest(self, expression: str, depth: int = 8) -> int | None:
        """The largest value that a constant expression can have in this kernel; None where it cannot be known."""
        if depth == 0:
            return None

        def value(match: re.Match[str]) -> str:
            name = match[0]
            if name.endswith("::size"):
                sizes = [_last_argument(t) for t in self.typedefs.get(name.split("::")[-2], []) if "nnet::array" in t]
            else:
                sizes = self._constants.get(name.split("::")[-1], [])
            found = [n for size in sizes if (n := self.largest(size, depth - 1)) is not None]
            return str(max(found)) if found else "unknown"

        plain = re.sub(r"[A-Za-z_]\w*(?:\s*::\s*\w+)*", value, re.sub(r"\b(\d+)[uUlL]+\b", r"\1", expression))
        return _arithmetic(plain)


def _last_argument(type_text: str) -> str:
    return type_text[type_text.rindex(",") + 1 : type_text.rindex(">")] if "," in type_text else "unknown"


def _arithmetic(expression: str) -> int | None:
    """The value of integers with + - * / % << >> and parentheses."""
    operators = (
        ast.Expression,
        ast.BinOp,
        ast.Add,
        ast.Sub,
        ast.Mult,
        ast.Div,
        ast.Mod,
        ast.LShift,
        ast.RShift,
        ast.Constant,
    )
    try:
        tree = ast.parse(expression.strip(), mode="eval")
        if not all(isinstance(node, operators) for node in ast.walk(tree)):
            return None
        return int(eval(compile(tree, "size", "eval"), {"__builtins__": {}}))
    except (SyntaxError, TypeError, ZeroDivisionError, ValueError):
        return None


def declarations(node: Node) -> Iterator[Variable]:
    """The variables that are declared anywhere in a node."""
    for child in walk(node):
        yield from variables(child)
