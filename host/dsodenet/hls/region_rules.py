"""Rules of dataflow regions: what may stand in one, what its processes may share, and from where it may be called."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from dsodenet.hls.cplusplus import LOOPS, Call, Node, Variable, call_of, pragmas, root, text, unlabelled, walk
from dsodenet.hls.kernel_sources import KernelSources, declarations
from dsodenet.hls.source_file import Function, Region

Breach = Iterator[tuple[Path, Node, str]]
NAMES = ("identifier", "qualified_identifier", "number_literal", "true", "false", "char_literal", "string_literal")
HARMLESS = (
    *("declaration", "comment", "preproc_call", "static_assert_declaration"),
    *("type_definition", "alias_declaration", "using_declaration", "{", "}", ";"),
)


def by_value(kernel: KernelSources, found: Call, index: int, variable: Variable | None) -> bool:
    """Whether a process gets a copy of an argument. An unknown callee copies what is a plain scalar."""
    callees = kernel.callees(found)
    if callees:
        return any(f.parameters[index].by_value for f in callees)
    return variable is not None and variable.by_value and kernel.struct(variable.type) is None


def one_process(kernel: KernelSources) -> Breach:
    """Variables that too many processes of a region use.

    A stream of the region and an array of it have one writer and one reader, the writer first. An argument or a global
    belongs to one process: newer tools let two read an array that nobody writes, older ones do not.
    """
    for region in kernel.regions:
        users: dict[str, list[tuple[Call, bool]]] = defaultdict(list)  # the call, and whether it may write
        for found in region.calls:
            names: dict[str, bool] = {}
            for index, argument in enumerate(found.arguments):
                if (name := region.root(argument)) is None:
                    continue
                variable = region.variable(kernel.globals, name)
                memory = variable is not None and bool(variable.pointers or variable.dimensions)
                copied = by_value(kernel, found, index, variable)
                if memory or not copied:
                    reads = copied or (
                        bool(callees := kernel.callees(found)) and all(f.parameters[index].const for f in callees)
                    )
                    names[name] = names.get(name, False) or not reads
            if (place := target(found)) is not None and (name := region.root(place)) is not None:
                names[name] = True
            for name, writes in names.items():
                users[name].append((found, writes))
        for name, calls in users.items():
            variable = region.variable(kernel.globals, name)
            if variable is None or variable.constexpr or (variable.const and name in kernel.globals):
                continue
            local = name in region.locals
            allowed = 2 if local else 1
            if len(calls) > allowed:
                by = ", ".join(found.callee for found, _ in calls)
                rule = "a channel has one writer and one reader" if local else "it can only be used in one"
                yield (
                    region.function.file,
                    calls[allowed][0].statement,
                    f"'{name}' is used by {len(calls)} processes of {region.function.path} ({by}), but {rule}",
                )
            elif local and variable.dimensions and not variable.stream and len(calls) == 2 and not calls[0][1]:
                yield (
                    region.function.file,
                    calls[0][0].statement,
                    f"'{name}' is read by {calls[0][0].callee} before {calls[1][0].callee} writes it "
                    f"in {region.function.path}",
                )


def target(found: Call) -> Node | None:
    """The left side of an assignment of a call's result."""
    inner = found.statement.named_children[0]
    return inner.child_by_field_name("left") if inner.type == "assignment_expression" else None


def void_process(kernel: KernelSources) -> Breach:
    for region in kernel.regions:
        for found in region.calls:
            returns = {f.returns for f in kernel.callees(found)} - {"void"}
            if returns or target(found) is not None:
                result = f" returns {min(returns)}" if returns else "'s result is used"
                yield (
                    region.function.file,
                    found.statement,
                    f"process {found.callee} of {region.function.path}{result}, but a process returns void",
                )


def canonical(kernel: KernelSources) -> Breach:
    """Anything in a region but declarations and calls; locals that are static or get a value there."""
    for region in kernel.regions:
        for child in region.block.children:
            inner = unlabelled(child)
            if inner.type not in HARMLESS and call_of(inner) is None:
                kind = inner.type.replace("_", " ")
                yield (
                    region.function.file,
                    inner,
                    f"a {kind} stands in the region of {region.function.path}, where only declarations and calls may",
                )
        for variable in region.locals.values():
            reference = variable.reference and variable.initialiser is not None
            value = variable.initialiser
            if variable.constexpr or variable.stream or reference or value is None:
                continue
            if not (variable.const and all(n.type in NAMES for n in walk(value) if n.child_count == 0 and n.is_named)):
                yield (
                    region.function.file,
                    variable.node,
                    f"'{variable.name}' gets a value in the region of {region.function.path}; a process must write it",
                )


def named_arguments(kernel: KernelSources) -> Breach:
    """Arguments that compute or that choose a row of a memory: the tool makes a further process of them, or a copy."""
    functions = {region.function.name for region in kernel.regions}
    for region in kernel.regions:
        for found in region.calls:
            for argument in found.arguments:
                if argument.type not in NAMES:
                    yield (
                        region.function.file,
                        argument,
                        f"argument '{text(argument)}' of process {found.callee} is computed in the region of "
                        f"{region.function.path}; pass a variable",
                    )
    for function in kernel.functions:
        for found in kernel.calls(function):
            callees = kernel.callees(found) if found.name in functions else []
            for index, argument in enumerate(found.arguments):
                if (
                    argument.type == "subscript_expression"
                    and callees
                    and not callees[0].parameters[index].by_value
                    and any(n.type == "identifier" for n in walk(argument.children[-1]))
                ):
                    yield (
                        function.file,
                        argument,
                        f"argument '{text(argument)}' of region {found.callee} is a row chosen at run time; "
                        "copy the row first",
                    )


def pointer_to_pointer(kernel: KernelSources) -> Breach:
    """Parameters of regions and processes that are pointers to pointers, also as a struct that holds a reference."""
    seen: list[Function] = []
    for region in kernel.regions:
        seen += [
            region.function,
            *(f for found in region.calls for f in kernel.callees(found) if f in kernel.functions),
        ]
    for function in dict.fromkeys(seen):
        for parameter in function.parameters:
            depth = parameter.pointers + parameter.reference
            struct = None if parameter.stream else kernel.struct(parameter.type)
            held = [f for f in (struct.fields if struct else ()) if f.reference or f.pointers]
            if held:
                yield (
                    function.file,
                    parameter.node,
                    f"'{parameter.name}' of {function.path} is a {struct.name if struct else ''} that holds the "
                    f"{'reference' if held[0].reference else 'pointer'} '{held[0].name}': a pointer to a pointer",
                )
            elif parameter.pointers > 1 or (parameter.pointers and depth > 1):
                yield function.file, parameter.node, f"'{parameter.name}' of {function.path} is a pointer to a pointer"


def _loop_around(node: Node, function: Function) -> Node | None:
    while node is not None and node != function.body:
        if node.type in LOOPS:
            return node
        node = node.parent
    return None


def simple_loop(loop: Node) -> bool:
    """for (T i = constant; i < name or constant; i++)."""
    if loop.type != "for_statement":
        return False
    start, condition, step = (loop.child_by_field_name(n) for n in ("initializer", "condition", "update"))
    return (
        start is not None
        and start.type == "declaration"
        and condition is not None
        and condition.type == "binary_expression"
        and text(condition.child_by_field_name("operator")) == "<"
        and condition.child_by_field_name("right").type in NAMES
        and step is not None
        and step.type == "update_expression"
    )


def _region_calls(kernel: KernelSources) -> Iterator[tuple[Function, Call, Function]]:
    """(caller, call, region) of every call of a function that is a region, from outside of regions."""
    regions = {region.function for region in kernel.regions if region.loop is None}
    inside = {c.node.start_byte: r for r in kernel.regions for c in r.calls}
    for function in kernel.functions:
        for found in kernel.calls(function):
            place = inside.get(found.node.start_byte)
            if place is not None and place.function == function:
                continue
            yield from ((function, found, f) for f in kernel.callees(found) if f in regions)


def dataflow_loop(kernel: KernelSources) -> Breach:
    for region in kernel.regions:
        if region.loop is None:
            continue
        beside = [n for n in region.function.body.children if unlabelled(n) != region.loop and n.type not in HARMLESS]
        if not simple_loop(region.loop) or beside:
            yield (
                region.function.file,
                region.loop,
                f"the loop of the region in {region.function.path} is not the only statement there, "
                "counting up to a constant or an argument",
            )
    for function, found, region_function in _region_calls(kernel):
        loop = _loop_around(found.node, function)
        if loop is not None and not simple_loop(loop):
            yield (
                function.file,
                loop,
                f"{function.path} calls region {region_function.path} in a loop that does not just "
                "count up to a constant or an argument, so that its passes cannot overlap",
            )


def one_call_site(kernel: KernelSources) -> Breach:
    """A region with several call sites in one function, and ALLOCATION in place of one call site."""
    sites: Counter[tuple[str, str]] = Counter()
    for function, found, region in _region_calls(kernel):
        sites[function.path, found.callee] += 1
        if sites[function.path, found.callee] == 2:
            yield function.file, found.node, f"{function.path} calls region {region.path} in more than one place"
    names = {region.function.name for region in kernel.regions}
    for function in kernel.functions:
        for node in walk(function.body):
            for pragma in pragmas(node, "ALLOCATION"):
                if (pragma.option("instances") or "").split("::")[-1] in names:
                    yield function.file, pragma.node, f"ALLOCATION of a dataflow region in {function.path}"


def stream_depth(kernel: KernelSources) -> Breach:
    for region in kernel.regions:
        blocks = (region.block, region.function.body)
        stated = {p.option("variable") for block in blocks for p in pragmas(block, "STREAM") if p.option("depth")}
        for variable in region.locals.values():
            if variable.stream and variable.name not in stated and not variable.reference:
                yield (
                    region.function.file,
                    variable.node,
                    f"stream '{variable.name}' of {region.function.path} has no #pragma HLS STREAM with its depth",
                )


def static_state(kernel: KernelSources) -> Breach:
    """State that several processes would share. One process may keep state from call to call: the vendor's rule 6.4.

    Found are static channels, globals of two processes, and processes with static locals that are called twice.
    """
    users: dict[str, list[tuple[Region, Call]]] = defaultdict(list)
    calls: dict[str, list[tuple[Region, Call]]] = defaultdict(list)
    for region in kernel.regions:
        for variable in region.locals.values():
            if variable.static and not variable.const:
                yield (
                    region.function.file,
                    variable.node,
                    f"'{variable.name}' is static in the region of {region.function.path}; a channel is local",
                )
        for found in region.calls:
            calls[found.callee].append((region, found))
            for argument in found.arguments:
                name = region.root(argument)
                place = root(argument)
                if name is None or place is None or name in region.locals or name in region.outer:
                    continue
                if name in kernel.globals and not kernel.globals[name].const:
                    users[name].append((region, found))
    for name, places in users.items():
        if len(places) > 1:
            region, found = places[1]
            yield region.function.file, found.statement, f"global '{name}' is used by {len(places)} processes"
    for callee, places in calls.items():
        bodies = [f for f in kernel.callees(places[0][1]) if f in kernel.functions]
        held = [v for f in bodies for v in declarations(f.body) if v.static and not v.const]
        if held and len(places) > 1:
            region, found = places[1]
            yield (
                region.function.file,
                found.statement,
                f"process {callee} is called twice and keeps '{held[0].name}' from call to call",
            )
