// The kernel's commands, over one generated struct M that describes the model (config.h):
//   blocks   its ODE blocks
//   timed    whether f has bias tables, which LOAD brings
//   load     words of a LOAD command -> the tables
//   run      the images of a RUN command -> logits, a status, and how many images were answered
#pragma once

#include "ode_block.h"
#include "stream_io.h"

namespace dsodenet {

// What the host asks for. The array holds a value for each ODE block.
struct request {
    unsigned command;
    unsigned frames;
    unsigned num_stages;
    unsigned n_steps[MAX_BLOCKS];
};

// A token announces one image, or none any more. A process passes it on at once, so that the one behind it gets ready.
inline bool pass(hls::stream<bool> &go, hls::stream<bool> &next) {
    #pragma HLS INLINE
    const bool more = go.read();
    next.write(more);
    return more;
}

// S names a section of hls4ml, run(in, out) for one map, and the types of its ends.
template <class S>
void section(hls::stream<bool> &go, hls::stream<typename S::in_t> &in, hls::stream<typename S::out_t> &out,
             hls::stream<bool> &next) {
Images:
    while (pass(go, next))
        S::run(in, out);
}

// The ODE block B, for image after image.
template <class B>
void block(hls::stream<bool> &go, hls::stream<typename B::pack_t> &in, hls::stream<typename B::pack_t> &out,
           hls::stream<bool> &next, unsigned n_steps, unsigned num_stages, const int a[A_WORDS],
           const int b[MAX_STAGES], const typename B::bias_t table[]) {
    const int stages = num_stages, evaluations = n_steps * num_stages;
Images:
    while (pass(go, next))
        ode_block<B>::solve(in, out, evaluations, stages, a, b, table);
}

// Convert maps pixel by pixel from one fixed-point type to another.
template <unsigned pixels, class in_t, class out_t>
void convert(hls::stream<bool> &go, hls::stream<in_t> &in, hls::stream<out_t> &out, hls::stream<bool> &next) {
Images:
    while (pass(go, next)) {
    Convert:
        for (unsigned i = 0; i < pixels; i++) {
            #pragma HLS PIPELINE II=1
            const in_t from = in.read();
            out_t to;
            for (unsigned c = 0; c < in_t::size; c++)
                to[c] = from[c];
            out.write(to);
        }
    }
}

// The COEFF words of one block, in memories of its own: each has one reader.
inline void own_coefficients(const int coeff[MAX_BLOCKS * COEFFS_PER_BLOCK], unsigned block, int a[A_WORDS],
                             int b[MAX_STAGES]) {
A:
    for (unsigned i = 0; i < A_WORDS; i++)
        a[i] = coeff[block * COEFFS_PER_BLOCK + i];
B:
    for (unsigned i = 0; i < MAX_STAGES; i++)
        b[i] = coeff[block * COEFFS_PER_BLOCK + A_WORDS + i];
}

template <class M>
void execute(hls::stream<beat_t> &beats, hls::stream<beat_t> &logits, const request &asked,
             const int coeff[MAX_BLOCKS * COEFFS_PER_BLOCK], unsigned *status, unsigned *frames_done) {
    // Evaluations of f for which each table was loaded; 0 is none, which no request can ask for.
    static unsigned loaded[M::blocks] = {0};
    unsigned result = STATUS_OK, done = 0;
    bool steps_fit = true, tables_fit = true;
Check:
    for (unsigned block = 0; block < M::blocks; block++) {
        steps_fit = steps_fit && asked.n_steps[block] >= 1 && asked.n_steps[block] <= MAX_STEPS;
        tables_fit = tables_fit && loaded[block] == asked.n_steps[block] * asked.num_stages;
    }
    const bool loads = asked.command == COMMAND_LOAD, runs = asked.command == COMMAND_RUN;
    if (loads || runs) {
        if (!steps_fit)
            result = STATUS_BAD_STEPS;
        else if (asked.num_stages < 1 || asked.num_stages > MAX_STAGES)
            result = STATUS_BAD_STAGES;
        else if (loads && !M::timed)
            result = STATUS_BAD_PROGRAM; // this model has no time table
        else if (runs && M::timed && !tables_fit)
            result = STATUS_NOT_LOADED;
        else if (runs && asked.frames == 0)
            result = STATUS_BAD_FRAMES;

        if (result != STATUS_OK) {
            discard(beats);
        } else if (loads) {
            word_reader<32> words;
            M::load(words, beats, asked);
            const bool surplus = words.drain(beats);
            result = words.exhausted ? STATUS_SHORT_INPUT : surplus ? STATUS_LONG_INPUT : STATUS_OK;
        Remember:
            for (unsigned block = 0; block < M::blocks; block++)
                loaded[block] = result == STATUS_OK ? asked.n_steps[block] * asked.num_stages : 0;
        } else {
            M::run(beats, logits, asked, coeff, &result, &done);
        }
    } else if (asked.command != COMMAND_IDENTIFY) {
        result = STATUS_BAD_COMMAND;
    }
    *status = result;
    *frames_done = done;
}

} // namespace dsodenet
