"""The documented rules of Vitis HLS 2024.1 to 2025.2 that C simulation cannot show, checked on a generated kernel.

Vitis HLS is not run here: each rule cites the paragraph that it was written from. UG1399 is the user guide, UG1448 the
guide to its messages; "AMD hls-dataflow" is the list of rules of canonical dataflow in AMD's ross-ai-assistant
(skills/hls-dataflow).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dsodenet.hls import code_rules, region_rules
from dsodenet.hls.cplusplus import Node, line
from dsodenet.hls.kernel_sources import TOP, KernelSources

Check = Callable[[KernelSources], Iterator[tuple[Path, Node, str]]]


@dataclass(frozen=True)
class Rule:
    """check yields (file, place, sentence) of every breach; paragraph is the vendor's."""

    name: str
    paragraph: str
    check: Check


@dataclass(frozen=True, order=True)
class Finding:
    """A breach. file: relative to the kernel's folder; line: from 1."""

    file: str
    line: int
    rule: str
    sentence: str
    paragraph: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.sentence} ({self.paragraph})"


BODY, LIST = (
    "UG1399 Canonical Body",
    "AMD hls-dataflow rule",
)  # the guide, and the list of its dataflow compiler's authors
RULES = (
    Rule("one-process", f"{BODY}, item 2.1; {LIST} 6.1 to 6.3, 10.3 and 10.4; HLS 200-977", region_rules.one_process),
    Rule("void-process", f"{BODY}, item 2.3", region_rules.void_process),
    Rule("canonical-region", f"{BODY}, item 2.5; {LIST} 4.1; UG1448 214-114", region_rules.canonical),
    Rule("named-argument", f"{LIST} 4.6 and 4.7; UG1399 WYSIWYG Coding Style", region_rules.named_arguments),
    Rule("pointer-to-pointer", "UG1399 Pointer Limitations", region_rules.pointer_to_pointer),
    Rule("dataflow-loop", f"UG1399 WYSIWYG Coding Style; {LIST} 3", region_rules.dataflow_loop),
    Rule("one-call-site", f"{LIST} 5; UG1399 Canonical Dataflow", region_rules.one_call_site),
    Rule("stream-depth", "UG1399 pragma HLS stream, depth", region_rules.stream_depth),
    Rule("static-state", f"{BODY}, item 1; {LIST} 4.4, 5 and 9", region_rules.static_state),
    Rule("interface-on-top", "UG1399 pragma HLS interface, top-level function only", code_rules.interface_on_top),
    Rule("loop-bound", "UG1399 Working with Variable Loop Bounds", code_rules.loop_bound),
    Rule("no-recursion", "UG1399 Unsupported C/C++ Constructs, recursive functions", code_rules.no_recursion),
    Rule("no-dynamic-memory", "UG1399 Unsupported C/C++ Constructs, dynamic memory", code_rules.no_dynamic_memory),
    Rule("partition-limit", "UG1448 200-868, complete partition above 1024", code_rules.partition_limit),
    Rule("aggregate-structs", "UG1399 Structs, arrays of structs", code_rules.aggregate_structs),
)


def check_rules(folder: str | Path, top: str = TOP) -> list[Finding]:
    """Every breach of the vendor's rules in the kernel in `folder` (RUN/hls), in the order of the files.

    top: the function that becomes the kernel. ToolError without tree-sitter, RunError where there is no kernel.
    """
    kernel = KernelSources(Path(folder), top)
    found = {
        Finding(file.as_posix(), line(place), rule.name, sentence, rule.paragraph)
        for rule in RULES
        for file, place, sentence in rule.check(kernel)
    }
    return sorted(found)
