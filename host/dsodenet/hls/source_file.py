"""One file of C++: its functions, structs, variables of namespaces, and dataflow regions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dsodenet.hls.cplusplus import (
    LOOPS,
    Call,
    Node,
    Variable,
    call_of,
    parser,
    pragmas,
    root,
    text,
    unlabelled,
    variables,
    walk,
)


@dataclass(frozen=True)
class Function:
    file: Path
    name: str
    returns: str
    parameters: tuple[Variable, ...]
    node: Node
    body: Node
    scope: str  # the namespaces and structs around it

    @property
    def path(self) -> str:
        return f"{self.scope}::{self.name}" if self.scope else self.name


@dataclass(frozen=True)
class Region:
    """A dataflow region: the body of a function, or of a loop that is alone in its function."""

    function: Function
    block: Node
    loop: Node | None

    @cached_property
    def calls(self) -> list[Call]:
        return [found for child in self.block.children if (found := call_of(unlabelled(child))) is not None]

    @cached_property
    def locals(self) -> dict[str, Variable]:
        """What is declared in the region, or around its loop: streams that carry words from pass to pass."""
        blocks = [self.block] if self.loop is None else [self.function.body, self.block]
        return {v.name: v for block in blocks for child in block.children for v in variables(child)}

    @cached_property
    def aliases(self) -> dict[str, str]:
        """References to other variables: hls4ml names a reshaped stream anew."""
        return {
            name: text(v.initialiser)
            for name, v in self.locals.items()
            if v.reference and v.initialiser is not None and v.initialiser.type == "identifier"
        }

    def root(self, expression: Node) -> str | None:
        """The name of the variable behind an argument."""
        found = root(expression)
        if found is None:
            return None
        name = text(found)
        while name in self.aliases:
            name = self.aliases[name]
        return name

    @cached_property
    def outer(self) -> dict[str, Variable]:
        return {v.name: v for v in self.function.parameters}

    def variable(self, outside: Mapping[str, Variable], name: str) -> Variable | None:
        """What a name means in the region; outside: the variables of the namespaces."""
        return self.locals.get(name) or self.outer.get(name) or outside.get(name)


@dataclass(frozen=True)
class Struct:
    file: Path
    name: str
    fields: tuple[Variable, ...]
    node: Node


class Source:
    """One parsed file."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.path, self.content = path, content
        self.tree = parser().parse(content)
        self.functions: list[Function] = []
        self.structs: list[Struct] = []
        self.globals: list[Variable] = []
        self._collect(self.tree.root_node, "")
        self.regions = [region for function in self.functions for region in _regions(function)]

    def _collect(self, node: Node, scope: str) -> None:
        for child in node.children:
            if child.type == "function_definition":
                self._function(child, scope)
            elif child.type in ("struct_specifier", "class_specifier"):
                self._struct(child, scope)
            elif child.type == "declaration" and node.type in ("translation_unit", "declaration_list"):
                self.globals += variables(child)
            elif child.type == "namespace_definition":
                name = child.child_by_field_name("name")
                self._collect(child.child_by_field_name("body"), scope if name is None else _join(scope, text(name)))
            elif child.type.startswith("preproc_if") or child.type in (
                "template_declaration",
                "declaration_list",
                "linkage_specification",
                "type_definition",
                "declaration",
                "field_declaration",
            ):
                self._collect(child, scope)

    def _struct(self, node: Node, scope: str) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is None or body is None:
            return
        fields = tuple(v for child in body.children if child.type == "field_declaration" for v in variables(child))
        self.structs.append(Struct(self.path, text(name).split("<")[0], fields, node))
        self._collect(body, _join(scope, text(name)))

    def _function(self, node: Node, scope: str) -> None:
        body, declarator = node.child_by_field_name("body"), node.child_by_field_name("declarator")
        kind = node.child_by_field_name("type")
        result = "" if kind is None else text(kind)
        while declarator is not None and declarator.type != "function_declarator":
            result += {"pointer_declarator": " *", "reference_declarator": " &"}.get(declarator.type, "")
            inner = declarator.child_by_field_name("declarator")
            declarator = inner if inner is not None else (declarator.named_children or [None])[-1]
        if body is None or body.type != "compound_statement" or declarator is None:
            return
        parameters = tuple(
            v for child in declarator.child_by_field_name("parameters").children for v in variables(child)
        )
        name = text(declarator.child_by_field_name("declarator"))
        self.functions.append(Function(self.path, name, result, parameters, node, body, scope))


def _join(scope: str, name: str) -> str:
    return f"{scope}::{name}" if scope else name


def _regions(function: Function) -> Iterator[Region]:
    for node in walk(function.body):
        if node.type == "compound_statement" and pragmas(node, "DATAFLOW"):
            loop = node.parent if node.parent is not None and node.parent.type in LOOPS else None
            yield Region(function, node, loop)
