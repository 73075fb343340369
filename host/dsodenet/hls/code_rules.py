"""Rules of the code in and around processes: interfaces, loops, recursion, memory, partitions and structs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dsodenet.hls.costs import PARTITION_LIMIT
from dsodenet.hls.cplusplus import LOOPS, Node, call, pragmas, text, walk
from dsodenet.hls.kernel_sources import KernelSources, declarations
from dsodenet.hls.source_file import Function

Breach = Iterator[tuple[Path, Node, str]]
ALLOCATORS = ("malloc", "calloc", "realloc", "free")
CONTAINERS = re.compile(r"\bstd::(vector|string|deque|list|map|set|queue|function|unique_ptr|shared_ptr)\b")


def interface_on_top(kernel: KernelSources) -> Breach:
    for function in kernel.functions:
        if function.name == kernel.top:
            continue
        for node in walk(function.body):
            for pragma in pragmas(node, "INTERFACE"):
                yield (
                    function.file,
                    pragma.node,
                    f"INTERFACE in {function.path}, which is not the top function {kernel.top}",
                )


def loop_bound(kernel: KernelSources) -> Breach:
    """Loops with a bound that changes while they run, with more than one exit, or without any bound.

    A loop whose end depends on data may wait for a stream in each pass: that is how a packet is read to its end.
    """
    for function in kernel.functions:
        for node in walk(function.body):
            if node.type in ("while_statement", "do_statement"):
                if not _waits_for_stream(kernel, node):
                    yield function.file, node, f"a loop in {function.path} has no bound and waits for no stream"
            elif node.type == "for_statement":
                waits = _waits_for_stream(kernel, node)
                yield from ((function.file, place, sentence) for place, sentence in _for_loop(node, function, waits))


def _waits_for_stream(kernel: KernelSources, node: Node, depth: int = 3) -> bool:
    """Whether a loop, or a function that it calls, reads or writes a stream."""
    found = [call(n, n) for n in walk(node) if n.type == "call_expression"]
    if any(c.name in ("read", "write") and "." in c.callee for c in found):
        return True
    return depth > 0 and any(_waits_for_stream(kernel, f.body, depth - 1) for c in found for f in kernel.callees(c))


def _for_loop(loop: Node, function: Function, waits: bool) -> Iterator[tuple[Node, str]]:
    condition, body = loop.child_by_field_name("condition"), loop.child_by_field_name("body")
    if condition is None:
        yield loop, f"a for loop in {function.path} has no condition"
        return
    operator = condition.child_by_field_name("operator")
    if condition.type != "binary_expression" or text(operator) not in ("<", "<=", ">", ">=", "!="):
        if waits:
            return
        yield loop, f"a for loop in {function.path} ends on '{text(condition)}', not on one comparison of its counter"
        return
    names = {text(n) for n in walk(condition.child_by_field_name("right")) if n.type == "identifier"}
    if any(n.type == "call_expression" for n in walk(condition)):
        yield loop, f"the bound of a for loop in {function.path} is computed in every pass: '{text(condition)}'"
    for node in walk(body):
        if node.type in ("assignment_expression", "update_expression"):
            target = node.child_by_field_name("left") or node.child_by_field_name("argument")
            if text(target) in names:
                yield node, f"the bound '{text(target)}' of a for loop in {function.path} changes while the loop runs"
        elif node.type in ("break_statement", "goto_statement", "return_statement") and _leaves(node, loop):
            yield node, f"a for loop in {function.path} has a second exit"


def _leaves(node: Node, loop: Node) -> bool:
    if node.type != "break_statement":
        return True
    while node.type not in (*LOOPS, "switch_statement"):
        node = node.parent
    return bool(node == loop)


def no_recursion(kernel: KernelSources) -> Breach:
    own = set(kernel.functions)
    graph = {
        f: {callee: found for found in kernel.calls(f) for callee in kernel.callees(found) if callee in own}
        for f in own
    }

    def reaches(start: Function, goal: Function, seen: set[Function]) -> bool:
        for callee in graph[start]:
            if callee == goal:
                return True
            if callee not in seen:
                seen.add(callee)
                if reaches(callee, goal, seen):
                    return True
        return False

    for function in own:
        if reaches(function, function, set()):
            yield function.file, function.node, f"{function.path} calls itself, directly or through others"


def no_dynamic_memory(kernel: KernelSources) -> Breach:
    for function in kernel.functions:
        for node in _synthesised(function.node):
            name = call(node, node).name if node.type == "call_expression" else ""
            kind = node.child_by_field_name("type") if node.type in ("declaration", "parameter_declaration") else None
            if node.type in ("new_expression", "delete_expression") or name in ALLOCATORS:
                yield function.file, node, f"{function.path} allocates memory: '{text(node)}'"
            elif kind is not None and (found := CONTAINERS.search(text(kind))):
                yield function.file, node, f"{function.path} uses {found[0]}, which allocates memory"
            elif node.type in ("throw_statement", "try_statement") or (
                node.type == "virtual" and node.child_count == 0
            ):
                yield function.file, node, f"{function.path} uses {node.type.split('_')[0]}, which is not synthesised"


def _synthesised(node: Node) -> Iterator[Node]:
    """A node and what is below it, without what `#ifndef __SYNTHESIS__` keeps from the tool."""
    yield node
    for child in node.children:
        if not (child.type == "preproc_ifdef" and text(child).startswith("#ifndef __SYNTHESIS__")):
            yield from _synthesised(child)


def partition_limit(kernel: KernelSources) -> Breach:
    """Complete partitions of arrays whose size is known and above the limit; sizes that templates leave open pass."""
    for function in kernel.functions:
        arrays = {v.name: v for v in (*function.parameters, *declarations(function.body)) if v.dimensions}
        for node in walk(function.body):
            for pragma in pragmas(node, "ARRAY_PARTITION"):
                if re.search(r"\b(block|cyclic)\b", pragma.options):
                    continue
                array = arrays.get(pragma.option("variable") or "")
                if array is None:
                    continue
                sizes = [kernel.largest(size) for size in array.dimensions]
                dim = int(pragma.option("dim") or 1)
                chosen = sizes if dim == 0 else sizes[dim - 1 : dim]
                elements = 1
                for size in chosen:
                    elements *= size or 1
                if elements > PARTITION_LIMIT:
                    yield (
                        function.file,
                        pragma.node,
                        f"'{array.name}' of {function.path} would become {elements} registers, above {PARTITION_LIMIT}",
                    )


def aggregate_structs(kernel: KernelSources) -> Breach:
    """Arrays of structs in the kernel's own functions; registers (a complete partition) need no packing."""
    for function in kernel.functions:
        packed = {
            pragma.option("variable")
            for node in walk(function.body)
            for pragma in pragmas(node, "AGGREGATE", "ARRAY_PARTITION")
            if pragma.kind == "AGGREGATE" or not re.search(r"\b(block|cyclic)\b", pragma.options)
        }
        for variable in declarations(function.body):
            if variable.dimensions and variable.name not in packed and not variable.stream:
                struct = kernel.struct(variable.type)
                if struct is not None:
                    yield (
                        function.file,
                        variable.node,
                        f"'{variable.name}' of {function.path} is an array of struct {struct.name} "
                        "without #pragma HLS AGGREGATE",
                    )
