"""C++ as HLS sees it, piece by piece: declarations, pragmas and calls.

tree-sitter parses, because it keeps every pragma with its place, needs no include to be found, and is one small wheel.
libclang would know the types, but drops the HLS pragmas, wants the vendor's headers, and stopped at version 18.
So a callee is every function of its name with that many parameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dsodenet.errors import ToolError

Node = Any  # tree_sitter.Node, which is not there without the extra `lower`
REFERENCES = ("reference_declarator",)
POINTERS = ("pointer_declarator", "abstract_pointer_declarator")
LOOPS = ("for_statement", "while_statement", "do_statement", "for_range_loop")


def parser() -> Any:
    """A C++ parser; ToolError without its packages."""
    try:
        import tree_sitter
        import tree_sitter_cpp
    except ImportError:
        raise ToolError(
            "reading the kernel's C++ needs the packages tree-sitter and tree-sitter-cpp; install dsodenet[lower]"
        ) from None
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_cpp.language()))


def text(node: Node) -> str:
    return " ".join(node.text.decode().split())


def line(node: Node) -> int:
    return int(node.start_point.row) + 1


def walk(node: Node) -> Iterator[Node]:
    """A node and everything below it, in the order of the text."""
    yield node
    for child in node.children:
        yield from walk(child)


def root(expression: Node) -> Node | None:
    """The variable that an expression reads or points into: `coeff` of `coeff + 10`, `&coeff[2]` and `*coeff`."""
    if expression.type in ("identifier", "field_identifier"):
        return expression
    if expression.type == "call_expression":
        return None
    for name in ("argument", "left", "value", "operand"):
        if (inner := expression.child_by_field_name(name)) is not None and (found := root(inner)) is not None:
            return found
    return next((found for child in expression.named_children if (found := root(child)) is not None), None)


@dataclass(frozen=True)
class Variable:
    """A declared name. type: its text without storage and qualifiers; dimensions: the texts of array sizes."""

    name: str
    type: str
    node: Node  # the whole declaration
    const: bool
    static: bool
    constexpr: bool
    pointers: int
    reference: bool
    dimensions: tuple[str, ...]
    initialiser: Node | None

    @property
    def stream(self) -> bool:
        return "hls::stream" in self.type

    @property
    def by_value(self) -> bool:
        """The callee gets a copy, and cannot write to the caller's variable."""
        return not (self.pointers or self.reference or self.dimensions)


def variables(node: Node) -> list[Variable]:
    """The variables of a declaration, a field or a parameter."""
    kind = node.child_by_field_name("type")
    if kind is None or node.type not in (
        "declaration",
        "field_declaration",
        "parameter_declaration",
        "optional_parameter_declaration",
    ):
        return []
    words = {text(child) for child in node.children if child.type in ("storage_class_specifier", "type_qualifier")}
    found = []
    for declarator in node.children_by_field_name("declarator"):
        initialiser = node.child_by_field_name("default_value")
        if declarator.type == "init_declarator":
            initialiser = declarator.child_by_field_name("value")
            declarator = declarator.child_by_field_name("declarator")
        pointers, reference, sizes, inner = 0, False, [], declarator
        while inner is not None and inner.type not in ("identifier", "field_identifier"):
            if inner.type == "function_declarator":
                break
            pointers += inner.type in POINTERS
            reference |= inner.type in REFERENCES
            if inner.type == "array_declarator":
                size = inner.child_by_field_name("size")
                sizes.append("" if size is None else text(size))
            below = inner.child_by_field_name("declarator")
            inner = below if below is not None else (inner.named_children[-1] if inner.named_children else None)
        if inner is None or inner.type == "function_declarator":
            continue
        found.append(
            Variable(
                text(inner),
                text(kind),
                node,
                "const" in words or "constexpr" in words,
                "static" in words,
                "constexpr" in words,
                pointers,
                reference,
                tuple(reversed(sizes)),
                initialiser,
            )
        )
    return found


@dataclass(frozen=True)
class Pragma:
    """`#pragma HLS KIND options`; several values of one option are separated by commas, as the vendor writes them."""

    kind: str
    options: str
    node: Node

    def option(self, name: str) -> str | None:
        found = re.search(
            rf"\b{name}\s*=\s*([^=]*?)(?=\s+\w+\s*=|\s+(?:complete|block|cyclic|off)\b|\s*$)", self.options
        )
        return found[1].strip() if found else None


def pragmas(node: Node, *kinds: str) -> list[Pragma]:
    """The HLS pragmas among the direct children of a node."""
    found = []
    for child in node.children:
        if child.type != "preproc_call" or (argument := child.child_by_field_name("argument")) is None:
            continue
        words = text(argument).split(None, 2)
        if len(words) > 1 and words[0] == "HLS" and (not kinds or words[1].upper() in kinds):
            found.append(Pragma(words[1].upper(), words[2] if len(words) > 2 else "", child))
    return found


def unlabelled(node: Node) -> Node:
    return node.named_children[-1] if node.type == "labeled_statement" else node


@dataclass(frozen=True)
class Call:
    """A statement that calls a function. callee: its text; name: its last part, without template arguments."""

    statement: Node
    node: Node
    callee: str
    name: str
    arguments: tuple[Node, ...]


def call_of(statement: Node) -> Call | None:
    """The call that a statement is, also where the result is assigned; None when it is no call."""
    if statement.type != "expression_statement" or not statement.named_children:
        return None
    node = statement.named_children[0]
    if node.type == "assignment_expression":
        node = node.child_by_field_name("right")
    return call(node, statement) if node.type == "call_expression" else None


def call(node: Node, statement: Node) -> Call:
    function = node.child_by_field_name("function")
    last = function
    while last.type in (
        "qualified_identifier",
        "field_expression",
        "template_function",
        "template_method",
        "dependent_name",
    ):
        below = last.child_by_field_name("name") or last.child_by_field_name("field")
        if below is None:
            below = last.named_children[-1]
        last = below
    arguments = tuple(n for n in node.child_by_field_name("arguments").named_children if n.type != "comment")
    return Call(statement, node, text(function), text(last), arguments)
