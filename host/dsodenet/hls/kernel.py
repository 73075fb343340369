"""The generated half of the HLS kernel: types of one model, the chain of its sections, and the registers of its top.

The written half is in hls/*.h; the sections are hls4ml's. Nothing here computes: it names types and wires functions.

    config.h    one struct of types per ODE block and per section, and `model`, of which hls/kernel.h makes the commands
    model.h     the top function, and a call of it on a register file
    kernel.cpp  the top function: its ports
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from dsodenet.contract import ARGUMENTS, COEFFS_PER_BLOCK, CONTRACT_VERSION, IDENTITY, Kind, fingerprint_words
from dsodenet.hls.graph import bias_format
from dsodenet.hls.reuse import Plan
from dsodenet.spec import MAX_BLOCKS, MAX_STAGES, MAX_STEPS, UPDATE_BITS, Format, Params, Section, sections

TOP = "dsodenet_hls"
MAX_EVALUATIONS = MAX_STEPS * MAX_STAGES
A_WORDS = COEFFS_PER_BLOCK - MAX_STAGES  # of a block in COEFF; b is behind them
STREAM_DEPTH = 2  # a chain needs no more than a slot between neighbours
VERDICTS = 8  # images that may be between the reader and the writer before the reader waits


def model_header(params: Params) -> str:
    """model.h: the top function, and a call of it on a register file."""
    call = ", ".join(_passed(name, access, words) for name, access, words in _registers())
    return f"""{_title(params)}
#pragma once

#include "stream_io.h"

void {TOP}({_ports()});

// Run the command that a register file holds, for callers that have registers and not arguments.
inline void call_kernel(hls::stream<dsodenet::beat_t> &s_axis, hls::stream<dsodenet::beat_t> &m_axis,
                        unsigned *registers) {{
    using namespace dsodenet;
    {TOP}(s_axis, m_axis, {call});
}}
"""


def kernel_source(params: Params) -> str:
    """kernel.cpp: the top function, whose ports are the registers of the contract."""
    low, high = fingerprint_words(params.kernel_fingerprint)
    network = params.spec.network
    constants = {
        "identity": f"{IDENTITY:#x}",
        "version": f"{Kind.HLS << 16 | CONTRACT_VERSION:#x}",
        "fingerprint_lo": f"{low:#x}",
        "fingerprint_hi": f"{high:#x}",
        "cap_channels": str(max(network.channels)),
        "cap_pixels": str(math.prod(network.map_size(0))),
        "cap_steps": "dsodenet::MAX_STEPS",
    }
    computed = ("status", "frames_done")
    outputs = [name for name, access, _ in _registers() if access == "ro" and name not in computed]
    assigned = "\n".join(f"    *{name} = {constants.get(name, '0')};" for name in outputs)
    offsets = "\n".join(
        f"    #pragma HLS INTERFACE s_axilite port={r.name.lower()} bundle=control offset={r.offset:#x}"
        for r in ARGUMENTS
    )
    names = ", ".join(f"n_steps_{block + 1}" for block in range(MAX_BLOCKS))
    return f"""{_title(params)}
#include "config.h"
#include "model.h"

void {TOP}({_ports()}) {{
    #pragma HLS INTERFACE axis port=s_axis
    #pragma HLS INTERFACE axis port=m_axis
    #pragma HLS INTERFACE s_axilite port=return bundle=control
{offsets}
    const dsodenet::request asked = {{command, frames, num_stages, {{{names}}}}};
    dsodenet::execute<dsodenet::model>(s_axis, m_axis, asked, coeff, status, frames_done);
{assigned}
}}
"""


def config_header(params: Params, plan: Plan) -> str:
    """config.h: what the written half takes as its template arguments."""
    parts = sections(params.spec.network)
    blocks = [part for part in parts if part.kind == "f"]
    # hls4ml gives the types header of every project the same guard.
    includes = "\n".join(f'#include "{part.name}/firmware/{part.name}.h"\n#undef DEFINES_H_' for part in parts)
    types = "\n".join(
        block_types(params, part, plan) + _table(part) if part.kind == "f" else _section_types(part) for part in parts
    )
    timed = [part for part in blocks if part.biased.timed]
    reads = "\n".join(
        f"        read_table<block{p.block + 1}::bias_t, {p.biased.out_channels}>"
        f"(words, beats, asked.n_steps[{p.block}] * asked.num_stages, table{p.block + 1});"
        for p in timed
    )
    memories = "\n".join(
        f"        int {row}{part.block + 1}[{size}];"
        for part in blocks
        for row, size in (("a", "A_WORDS"), ("b", "MAX_STAGES"))
    )
    copies = "\n".join(f"        own_coefficients(coeff, {p.block}, a{p.block + 1}, b{p.block + 1});" for p in blocks)
    passed = ", ".join(f"asked.n_steps[{p.block}], a{p.block + 1}, b{p.block + 1}" for p in blocks)
    return f"""{_title(params)}
#pragma once

#include "kernel.h"

{includes}

namespace dsodenet {{

{types}
{_network(params, parts, plan)}
struct model {{
    static const unsigned blocks = {len(blocks)};
    static const bool timed = {str(bool(timed)).lower()};

    static void load(word_reader<32> &words, hls::stream<beat_t> &beats, const request &asked) {{
{reads or "        // no block has a table"}
    }}

    static void run(hls::stream<beat_t> &beats, hls::stream<beat_t> &results, const request &asked, const int coeff[],
                    unsigned *status, unsigned *frames_done) {{
{memories}
{copies}
        network(beats, results, asked.frames, asked.num_stages, {passed}, status, frames_done);
    }}
}};

}} // namespace dsodenet
"""


def _title(params: Params) -> str:
    return f"// Generated by dsodenet lower for model {params.spec.name}, fingerprint {params.model_fingerprint[:16]}."


def _registers() -> list[tuple[str, str, int]]:
    return [(register.name.lower(), register.access, register.words) for register in ARGUMENTS]


def _ports() -> str:
    kinds = {("rw", True): "const int {}[{}]", ("rw", False): "unsigned {}", ("ro", False): "unsigned *{}"}
    registers = [kinds[access, words > 1].format(name, words) for name, access, words in _registers()]
    streams = [f"hls::stream<dsodenet::beat_t> &{name}" for name in ("s_axis", "m_axis")]
    return ",\n          ".join([*streams, *registers])


def _passed(name: str, access: str, words: int) -> str:
    place = f"registers[REG_{name.upper()} / 4]"
    return f"(const int *)&{place}" if words > 1 else f"&{place}" if access == "ro" else place


def block_types(params: Params, part: Section, plan: Plan) -> str:
    """The struct `block<number>` that ode_block.h takes: types and slope of one ODE block."""
    network, layer = params.spec.network, part.biased
    z, _, frac_bits = params.update_formats(part.block)
    pixels, channels = math.prod(network.map_size(part.block)), layer.out_channels
    bias = bias_format(params, part)
    ns = part.name
    if layer.timed:
        slope = f"""        #pragma HLS DATAFLOW
        hls::stream<{ns}::input2_t> map("map");
        #pragma HLS STREAM variable=map depth={STREAM_DEPTH}
        repeat<pixels>(table, evaluation, map);
        {ns}::{ns}(x, map, k);"""
    else:
        slope = f"        {ns}::{ns}(x, k); // its bias is in its weights"
    exact = Format(UPDATE_BITS, UPDATE_BITS - frac_bits, rounding="TRN", overflow="WRAP")
    return f"""struct block{part.block + 1} {{
    typedef nnet::array<{z.hls_type}, {channels}> pack_t;
    typedef {ns}::input_t x_t;
    typedef {ns}::result_t k_t;
    typedef {params.spec.quantisation.coeff.hls_type} coeff_t;
    typedef {exact.hls_type} sum_t; // exact: bounds are proved at export
    typedef {bias.hls_type} bias_t;
    static const unsigned pixels = {pixels};
    static const unsigned lanes = {plan.lanes[part.block]};
    static const unsigned skip_depth = {plan.skip_words(part.block)};
    static const bool in_uram = {str(plan.in_uram(part.block)).lower()};
    static void f(hls::stream<x_t> &x, const bias_t table[], int evaluation, hls::stream<k_t> &k) {{
{slope}
    }}
}};
"""


def _table(part: Section) -> str:
    """The memory of one ODE block's bias table; a block without one keeps a word that nothing reads."""
    number, words = part.block + 1, MAX_EVALUATIONS * part.biased.out_channels if part.biased.timed else 1
    return f"static block{number}::bias_t table{number}[{words}];\n"


def _section_types(part: Section) -> str:
    ns = part.name
    return f"""struct {ns}_section {{
    typedef {ns}::input_t in_t;
    typedef {ns}::result_t out_t;
    static void run(hls::stream<in_t> &in, hls::stream<out_t> &out) {{
        {ns}::{ns}(in, out);
    }}
}};
"""


def _steps(parts: tuple[Section, ...], plan: Plan) -> Iterator[tuple[str, str, str]]:
    """The processes between the ends: type and name of its output, and its call with {go}, {in}, {out} and {next}."""
    for part in parts:
        number = part.block + 1
        if part.kind == "f":
            own = f"n_steps_{number}, num_stages, a{number}, b{number}, table{number}"
            yield (
                f"block{number}::pack_t",
                f"y{number}",
                f"block<block{number}>({{go}}, {{in}}, {{out}}, {{next}}, {own})",
            )
            continue
        if part.kind == "down":
            convert = f"convert<block{number}::pixels>({{go}}, {{in}}, {{out}}, {{next}})"
            yield f"{part.name}::input_t", f"x{number + 1}", convert
        name = {"stem": "z1", "down": f"z{number + 1}", "head": "logits"}[part.kind]
        yield f"{part.name}::result_t", name, f"section<{part.name}_section>({{go}}, {{in}}, {{out}}, {{next}})"


def _network(params: Params, parts: tuple[Section, ...], plan: Plan) -> str:
    """The dataflow region of a run: the chain of the sections, each a process that takes image after image."""
    network = params.spec.network
    streams: list[str] = []

    def stream(kind: str, name: str, depth: int = STREAM_DEPTH) -> str:
        streams.append(
            f'    hls::stream<{kind}> {name}("{name}");\n    #pragma HLS STREAM variable={name} depth={depth}'
        )
        return name

    go, data = stream("bool", "go_0"), stream("stem::input_t", "pixel")
    verdicts = stream("verdict", "verdicts", VERDICTS)
    calls = [f"read_images<{network.height * network.width}>(beats, frames, {go}, {data}, {verdicts});"]
    for index, (kind, name, call) in enumerate(_steps(parts, plan), 1):
        ends = {"go": go, "in": data, "out": stream(kind, name), "next": stream("bool", f"go_{index}")}
        calls.append(call.format(**ends) + ";")
        go, data = ends["next"], ends["out"]
    calls.append(f"write_logits({go}, {data}, {verdicts}, results, status, frames_done);")
    numbers = [part.block + 1 for part in parts if part.kind == "f"]
    arguments = "".join(
        f"unsigned n_steps_{n}, const int a{n}[A_WORDS], const int b{n}[MAX_STAGES],\n{' ' * 20}" for n in numbers
    )
    body = "\n".join([*streams, *(f"    {call}" for call in calls)])
    return f"""// The whole network. Every process takes image after image, so that neighbouring images overlap.
static void network(hls::stream<beat_t> &beats, hls::stream<beat_t> &results, unsigned frames, unsigned num_stages,
                    {arguments}unsigned *status, unsigned *frames_done) {{
    #pragma HLS DATAFLOW
{body}
}}
"""
