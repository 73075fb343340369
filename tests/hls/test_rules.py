"""The vendor's rules on C++: each is kept by a small good kernel and found broken, by line, in a planted fault.

The shapes of the kernel as it was before the rules were read are among the faults: arguments of several processes, a reader that holds
a reference, a status that is written and read in one region, arrays of structs, a region in a loop that waits for its result,
INTERFACE below the top, and one region at two places with ALLOCATION.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dsodenet.errors import RunError, ToolError
from dsodenet.hls.rules import RULES, check_rules, require_rules

GOOD = """
struct record { int z; int k[3]; };
static void source(hls::stream<int> &in, unsigned n, hls::stream<int> &out) {
Words:
    for (unsigned i = 0; i < n; i++)
        out.write(in.read());
}
static void fill(hls::stream<int> &in, int table[64]) {
    for (unsigned i = 0; i < 64; i++)
        table[i] = in.read();
}
static void sink(const int table[64], hls::stream<int> &out) {
    record kept[64];
    #pragma HLS AGGREGATE variable=kept compact=bit
    for (unsigned i = 0; i < 64; i++) {
        kept[i].z = table[i];
        out.write(kept[i].z);
    }
}
static void chain(hls::stream<int> &in, unsigned n, hls::stream<int> &out) {
    #pragma HLS DATAFLOW
    hls::stream<int> x("x");
    #pragma HLS STREAM variable=x depth=2
    int table[64];
    source(in, n, x);
    fill(x, table);
    sink(table, out);
}
static void passes(hls::stream<int> &in, unsigned n, hls::stream<int> &out) {
    for (unsigned i = 0; i < n; i++) {
        #pragma HLS DATAFLOW
        hls::stream<int> y("y");
        #pragma HLS STREAM variable=y depth=2
        source(in, n, y);
        source(y, n, out);
    }
}
void dsodenet_hls(hls::stream<int> &in, hls::stream<int> &out, unsigned n) {
    #pragma HLS INTERFACE axis port=in
    chain(in, n, out);
    passes(in, n, out);
    bool last = false;
    while (!last)
        last = in.read() == 0;
}
"""

# rule -> C++ whose lines with `// <-` break it, and no other rule. The first line of a multi-line statement is marked.
FAULTS = {
    "one-process: an argument of three": (
        "void block(hls::stream<int> &in, const int coeff[10], hls::stream<int> &out);\n"
        "static void block1(hls::stream<int> &in, const int coeff[10], hls::stream<int> &out) { out.write(in.read() + coeff[0]); }\n"
        "static void frame(hls::stream<int> &in, const int *coeff, hls::stream<int> &out) {\n"
        "    #pragma HLS DATAFLOW\n"
        '    hls::stream<int> x("x");\n'
        "    #pragma HLS STREAM variable=x depth=2\n"
        "    block1(in, coeff, x);\n"
        "    block1(x, coeff, out); // <-\n"
        "}\n"
    ),
    "one-process: written and sampled": (
        "static void read_image(hls::stream<int> &in, unsigned *fault, hls::stream<int> &out) { *fault = in.read(); out.write(1); }\n"
        "static void write_logits(hls::stream<int> &in, const unsigned *fault, hls::stream<int> &out) { out.write(in.read() + *fault); }\n"
        "static void frame(hls::stream<int> &in, unsigned *fault, hls::stream<int> &out) {\n"
        "    #pragma HLS DATAFLOW\n"
        '    hls::stream<int> x("x");\n'
        "    #pragma HLS STREAM variable=x depth=2\n"
        "    read_image(in, fault, x);\n"
        "    write_logits(x, fault, out); // <-\n"
        "}\n"
    ),
    "one-process: a map read by one process and written by another": (
        "static void feed(const int map[64], hls::stream<int> &x) { x.write(map[0]); }\n"
        "static void update(hls::stream<int> &x, int map[64]) { map[0] = x.read(); }\n"
        "static void evaluate(int map[64]) {\n"
        "    #pragma HLS DATAFLOW\n"
        '    hls::stream<int> x("x");\n'
        "    #pragma HLS STREAM variable=x depth=2\n"
        "    feed(map, x);\n"
        "    update(x, map); // <-\n"
        "}\n"
    ),
    "one-process: read before its channel is written": (
        "static void feed(const int map[64], hls::stream<int> &x) { x.write(map[0]); }\n"
        "static void update(hls::stream<int> &x, int map[64]) { map[0] = x.read(); }\n"
        "static void evaluate(hls::stream<int> &in, hls::stream<int> &out) {\n"
        "    #pragma HLS DATAFLOW\n"
        "    int map[64];\n"
        "    feed(map, out); // <-\n"
        "    update(in, map);\n"
        "}\n"
    ),
    "void-process": (
        "static unsigned read_image(hls::stream<int> &in, hls::stream<int> &out) { out.write(in.read()); return 0; }\n"
        "static void frame(hls::stream<int> &in, hls::stream<int> &out) {\n"
        "    #pragma HLS DATAFLOW\n"
        "    read_image(in, out); // <-\n"
        "}\n"
    ),
    "canonical-region: a conditional": (
        "static void work(hls::stream<int> &in, hls::stream<int> &out) { out.write(in.read()); }\n"
        "static void frame(hls::stream<int> &in, bool go, hls::stream<int> &out) {\n"
        "    #pragma HLS DATAFLOW\n"
        "    if (go) // <-\n"
        "        work(in, out);\n"
        "}\n"
    ),
    "canonical-region: a value": (
        "static void work(hls::stream<int> &in, int scale, hls::stream<int> &out) { out.write(scale * in.read()); }\n"
        "static void frame(hls::stream<int> &in, int half, hls::stream<int> &out) {\n"
        "    #pragma HLS DATAFLOW\n"
        "    int scale = 2 * half; // <-\n"
        "    work(in, scale, out);\n"
        "}\n"
    ),
    "named-argument: an offset": (
        "static void work(hls::stream<int> &in, const int *coeff, hls::stream<int> &out) { out.write(coeff[0] * in.read()); }\n"
        "static void frame(hls::stream<int> &in, const int *coeff, hls::stream<int> &out) {\n"
        "    #pragma HLS DATAFLOW\n"
        "    work(in, coeff + 10, out); // <-\n"
        "}\n"
    ),
    "named-argument: a row": (
        "static void work(hls::stream<int> &in, const int bias[8], hls::stream<int> &out) { out.write(bias[0] * in.read()); }\n"
        "static void evaluate(hls::stream<int> &in, const int bias[8], hls::stream<int> &out) {\n"
        "    #pragma HLS DATAFLOW\n"
        "    work(in, bias, out);\n"
        "}\n"
        "static void run(hls::stream<int> &in, const int bias[4][8], unsigned n, hls::stream<int> &out) {\n"
        "    for (unsigned i = 0; i < n; i++)\n"
        "        evaluate(in, bias[i], out); // <-\n"
        "}\n"
    ),
    "pointer-to-pointer: a reader that holds a reference": (
        "struct word_reader { hls::stream<int> &stream; int beat; };\n"
        "static void read_image(word_reader &bytes, hls::stream<int> &out) { // <-\n"
        "    out.write(bytes.stream.read());\n"
        "}\n"
        "static void frame(word_reader &bytes, hls::stream<int> &out) { // <-\n"
        "    #pragma HLS DATAFLOW\n"
        "    read_image(bytes, out);\n"
        "}\n"
    ),
    "dataflow-loop": (
        "static void work(hls::stream<int> &in, hls::stream<int> &out) { out.write(in.read()); }\n"
        "static void frame(hls::stream<int> &in, hls::stream<int> &out) {\n"
        "    #pragma HLS DATAFLOW\n"
        "    work(in, out);\n"
        "}\n"
        "static void frames(hls::stream<int> &in, hls::stream<int> &out) {\n"
        "    bool more = true;\n"
        "    while (more) { // <-\n"
        "        frame(in, out);\n"
        "        more = in.read() != 0;\n"
        "    }\n"
        "}\n"
    ),
    "one-call-site: twice": (
        "static void work(const int in[8], int out[8]) { out[0] = in[0]; }\n"
        "static void evaluate(const int in[8], int out[8]) {\n"
        "    #pragma HLS DATAFLOW\n"
        "    work(in, out);\n"
        "}\n"
        "static void run(int ping[8], int pong[8], bool odd) {\n"
        "    if (odd)\n"
        "        evaluate(pong, ping);\n"
        "    else\n"
        "        evaluate(ping, pong); // <-\n"
        "}\n"
    ),
    "one-call-site: allocation": (
        "static void work(const int in[8], int out[8]) { out[0] = in[0]; }\n"
        "static void evaluate(const int in[8], int out[8]) {\n"
        "    #pragma HLS DATAFLOW\n"
        "    work(in, out);\n"
        "}\n"
        "static void run(int ping[8], int pong[8]) {\n"
        "    #pragma HLS ALLOCATION function instances=evaluate limit=1 // <-\n"
        "    evaluate(ping, pong);\n"
        "}\n"
    ),
    "stream-depth": (
        "static void work(hls::stream<int> &in, hls::stream<int> &out) { out.write(in.read()); }\n"
        "static void frame(hls::stream<int> &in, hls::stream<int> &out) {\n"
        "    #pragma HLS DATAFLOW\n"
        '    hls::stream<int> x("x"); // <-\n'
        "    work(in, x);\n"
        "    work(x, out);\n"
        "}\n"
    ),
    "static-state: a static channel": (
        "static void work(hls::stream<int> &in, int map[8]) { map[0] = in.read(); }\n"
        "static void more(const int map[8], hls::stream<int> &out) { out.write(map[0]); }\n"
        "static void frame(hls::stream<int> &in, hls::stream<int> &out) {\n"
        "    #pragma HLS DATAFLOW\n"
        "    static int map[8]; // <-\n"
        "    work(in, map);\n"
        "    more(map, out);\n"
        "}\n"
    ),
    "static-state: a process that keeps something is called twice": (
        "static void work(hls::stream<int> &in, hls::stream<int> &out) { static int sum; sum += in.read(); out.write(sum); }\n"
        "static void frame(hls::stream<int> &in, hls::stream<int> &out) {\n"
        "    #pragma HLS DATAFLOW\n"
        '    hls::stream<int> x("x");\n'
        "    #pragma HLS STREAM variable=x depth=2\n"
        "    work(in, x);\n"
        "    work(x, out); // <-\n"
        "}\n"
    ),
    "interface-on-top": (
        "static void section(hls::stream<int> &in, hls::stream<int> &out) {\n"
        "    #pragma HLS INTERFACE axis port=in,out // <-\n"
        "    out.write(in.read());\n"
        "}\n"
    ),
    "loop-bound: two conditions": (
        "static unsigned work(unsigned n, unsigned result) {\n"
        "    unsigned sum = 0;\n"
        "    for (unsigned i = 0; i < n && result == 0; i++) // <-\n"
        "        sum += i;\n"
        "    return sum;\n"
        "}\n"
    ),
    "loop-bound: no bound": (
        "static unsigned work(unsigned n) {\n    while (n % 3) // <-\n        n++;\n    return n;\n}\n"
    ),
    "loop-bound: a second exit": (
        "static unsigned work(const int table[8]) {\n"
        "    for (unsigned i = 0; i < 8; i++) {\n"
        "        if (table[i])\n"
        "            break; // <-\n"
        "    }\n"
        "    return 0;\n"
        "}\n"
    ),
    "loop-bound: a bound that moves": (
        "static void work(unsigned n) {\n    for (unsigned i = 0; i < n; i++)\n        n -= 2; // <-\n}\n"
    ),
    "no-recursion": (
        "static unsigned odd(unsigned n);\n"
        "static unsigned even(unsigned n) { return n ? odd(n - 1) : 1; } // <-\n"
        "static unsigned odd(unsigned n) { return n ? even(n - 1) : 0; } // <-\n"
    ),
    "no-dynamic-memory": (
        "static void work(unsigned n) {\n"
        "    int *map = new int[n]; // <-\n"
        "    std::vector<int> more; // <-\n"
        "    delete[] map; // <-\n"
        "}\n"
    ),
    "partition-limit": (
        "struct block { static const unsigned pixels = 32 * 64; };\n"
        "template <class B> void work(hls::stream<int> &in) {\n"
        "    int map[B::pixels];\n"
        "    #pragma HLS ARRAY_PARTITION variable=map complete // <-\n"
        "    for (unsigned i = 0; i < B::pixels; i++)\n"
        "        map[i] = in.read();\n"
        "}\n"
    ),
    "aggregate-structs": (
        "struct pair { int z; int k; };\n"
        "typedef pair pixel_t;\n"
        "static void work(hls::stream<int> &in) {\n"
        "    static pixel_t ping[8]; // <-\n"
        "    for (unsigned i = 0; i < 8; i++)\n"
        "        ping[i].z = in.read();\n"
        "}\n"
    ),
}


def kernel(folder: Path, content: str) -> Path:
    (folder / "kernel.cpp").write_text(content, encoding="utf-8")
    return folder


def test_a_kernel_that_keeps_the_rules(tmp_path: Path) -> None:
    assert check_rules(kernel(tmp_path, GOOD)) == []
    require_rules(tmp_path)


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault(name: str, tmp_path: Path) -> None:
    content = GOOD + FAULTS[name]
    marked = [number for number, text in enumerate(content.splitlines(), 1) if "// <-" in text]
    found = check_rules(kernel(tmp_path, content))
    rule = name.split(":")[0]
    assert {(f.file, f.line, f.rule) for f in found} == {("kernel.cpp", number, rule) for number in marked}
    assert all(f.paragraph and f.sentence in str(f) for f in found)
    with pytest.raises(RunError, match=f"kernel.cpp:{marked[0]}: {rule}"):
        require_rules(tmp_path)


def test_every_rule_has_a_planted_fault() -> None:
    assert {rule.name for rule in RULES} == {name.split(":")[0] for name in FAULTS}


def test_what_synthesis_does_not_see_may_allocate(tmp_path: Path) -> None:
    hidden = "static void trace(int word) {\n#ifndef __SYNTHESIS__\n    std::vector<int> kept;\n#endif\n}\n"
    assert check_rules(kernel(tmp_path, GOOD + hidden)) == []


def test_missing_parser_and_missing_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match=r"no C\+\+ of a kernel"):
        check_rules(tmp_path)
    monkeypatch.setitem(sys.modules, "tree_sitter_cpp", None)
    with pytest.raises(ToolError, match=r"tree-sitter-cpp; install dsodenet\[lower\]"):
        check_rules(kernel(tmp_path, GOOD))
