// An ODE block on chip: the time loop of an explicit Runge-Kutta method around an hls4ml-generated slope f.
//
// Number of steps, number of stages and step coefficients are run-time arguments. One evaluation of f streams the whole
// map once: stage input in, slope out, state update behind it. All arithmetic is exact until the assignment to a
// fixed-point type, whose rounding and saturation modes are those of the number contract.
//
// The state update is time-multiplexed. A pixel is `groups` words of `lanes` channels, and one word is updated in each
// cycle, so that an update of `lanes` channels keeps up with an f that takes `groups` cycles or more for a pixel.
//
// The map lives in a FIFO. `feed` takes it out of one end and `update` puts it back at the other, so that the loop over
// the evaluations is a dataflow loop in canonical form whose iterations overlap: a dependence from one iteration to the
// next is allowed by way of a stream, and of nothing else (UG1399, Canonical Body). No memory has two users.
#pragma once

#include "ap_fixed.h"
#include "contract.h"
#include "hls_stream.h"

namespace dsodenet {

// Words of a block in COEFF: the rows of a (strictly lower triangular), then b.
constexpr int STAGES = MAX_STAGES; // signed, as the counter of a dataflow loop is
constexpr unsigned A_WORDS = MAX_STAGES * (MAX_STAGES - 1) / 2;
static_assert(A_WORDS + MAX_STAGES == COEFFS_PER_BLOCK, "COEFF holds a below the diagonal, then b");

// Write a row of the bias table to a stream, once per pixel: the bias of an evaluation is the same all over the map.
template <unsigned pixels, class pack_t, class bias_t>
void repeat(const bias_t table[], int evaluation, hls::stream<pack_t> &out) {
    pack_t row; // registers, so that the memory is read once
Row:
    for (unsigned c = 0; c < pack_t::size; c++) {
        #pragma HLS PIPELINE II=1
        row[c] = table[evaluation * pack_t::size + c];
    }
Repeat:
    for (unsigned i = 0; i < pixels; i++) {
        #pragma HLS PIPELINE II=1
        out.write(row);
    }
}

// B names the types of one block: pack_t (a pixel of the state), x_t and k_t (a pixel of f's input and output),
// coeff_t, sum_t (holds state + sum of coefficient * slope exactly), bias_t; the constants `pixels`, `lanes` (a divisor
// of the channels), `skip_depth` (words that f holds back) and `in_uram` (where the map is); and f(x, table,
// evaluation, k).
template <class B> struct ode_block {
    typedef typename B::pack_t pack_t;
    typedef typename B::x_t x_t;
    typedef typename B::k_t k_t;
    typedef typename B::sum_t sum_t;
    typedef typename B::coeff_t coeff_t;
    typedef typename B::bias_t bias_t;
    typedef typename pack_t::value_type state_t;
    typedef typename k_t::value_type slope_t;
    typedef typename x_t::value_type input_t;
    static const unsigned channels = pack_t::size;
    static const unsigned lanes = B::lanes;
    static const unsigned groups = channels / lanes;
    static const unsigned words = B::pixels * groups; // of a map
    static_assert(channels % lanes == 0, "the lanes divide the channels");

    // What goes around f of some channels: their state at the start of the step, and the slopes of the earlier stages.
    struct record {
        state_t z[lanes];
        slope_t k[MAX_STAGES - 1][lanes];
    };

    // What waits for the next evaluation: the record, and the input of its stage.
    struct staged {
        state_t z[lanes];
        slope_t k[MAX_STAGES - 1][lanes];
        input_t x[lanes];
    };

    // The map of this evaluation, from the section in front the first time, else from the evaluation before: its stage
    // inputs to f, and the rest around f.
    static void feed(hls::stream<pack_t> &in, hls::stream<staged> &back, int evaluation, hls::stream<x_t> &x,
                     hls::stream<record> &skip) {
        const bool first = evaluation == 0;
        pack_t entered;
        x_t to;
    Pixels:
        for (unsigned i = 0; i < B::pixels; i++) {
        Groups:
            for (unsigned g = 0; g < groups; g++) {
                #pragma HLS LOOP_FLATTEN
                #pragma HLS PIPELINE II=1
                staged s;
                if (first) {
                    if (g == 0)
                        entered = in.read();
                Enter:
                    for (unsigned lane = 0; lane < lanes; lane++) {
                        #pragma HLS UNROLL
                        s.z[lane] = entered[g * lanes + lane];
                        s.x[lane] = entered[g * lanes + lane];
                        for (unsigned j = 0; j < MAX_STAGES - 1; j++)
                            s.k[j][lane] = 0;
                    }
                } else {
                    s = back.read();
                }
                record r;
            Part:
                for (unsigned lane = 0; lane < lanes; lane++) {
                    #pragma HLS UNROLL
                    to[g * lanes + lane] = s.x[lane];
                    r.z[lane] = s.z[lane];
                    for (unsigned j = 0; j < MAX_STAGES - 1; j++)
                        r.k[j][lane] = s.k[j][lane];
                }
                skip.write(r);
                if (g == groups - 1)
                    x.write(to);
            }
        }
    }

    // The slopes of this evaluation into the map, which goes to the next one, or the last time to the section behind.
    // The input of the next stage is made here too: a step ends with the row b and a stage with a row of a, so that the
    // same multipliers serve both. a_words, b_words: raw words of COEFF.
    static void update(hls::stream<record> &skip, hls::stream<k_t> &k, int evaluation, int evaluations, int num_stages,
                       const int a_words[A_WORDS], const int b_words[MAX_STAGES], hls::stream<staged> &back,
                       hls::stream<pack_t> &out) {
        const bool leaves = evaluation + 1 == evaluations;
        const int stage = evaluation % num_stages;
        const bool ends_step = stage + 1 == num_stages;
        const int before = stage * (stage + 1) / 2; // words of the rows of a above that of the next stage
        coeff_t row[MAX_STAGES], newest;            // registers: every pixel reads all of them in a cycle
        #pragma HLS ARRAY_PARTITION variable=row complete
    Row:
        for (int j = 0; j < STAGES; j++) {
            #pragma HLS PIPELINE II=1
            int raw = 0;
            if (ends_step)
                raw = b_words[j];
            else if (j <= stage)
                raw = a_words[before + j];
            row[j].range(coeff_t::width - 1, 0) = raw;
            if (j == stage)
                newest.range(coeff_t::width - 1, 0) = raw;
        }
        k_t slopes;
        pack_t leaving;
    Pixels:
        for (unsigned i = 0; i < B::pixels; i++) {
        Groups:
            for (unsigned g = 0; g < groups; g++) {
                #pragma HLS LOOP_FLATTEN
                #pragma HLS PIPELINE II=1
                if (g == 0)
                    slopes = k.read();
                const record r = skip.read();
                staged s;
            Advance:
                for (unsigned lane = 0; lane < lanes; lane++) {
                    #pragma HLS UNROLL
                    const slope_t slope = slopes[g * lanes + lane];
                    sum_t sum = r.z[lane];
                    // Zero coefficients are skipped for the C simulation's sake; in hardware the test enables the
                    // multiplier.
                Slopes:
                    for (int j = 0; j < STAGES - 1; j++) {
                        #pragma HLS UNROLL
                        s.k[j][lane] = j == stage ? slope : r.k[j][lane];
                        if (j < stage && row[j] != 0)
                            sum += row[j] * r.k[j][lane];
                    }
                    sum += newest * slope;
                    const state_t next = sum; // of the step, or in front of the next stage
                    s.z[lane] = ends_step ? next : r.z[lane];
                    s.x[lane] = next;
                    leaving[g * lanes + lane] = next;
                }
                if (!leaves)
                    back.write(s);
                else if (g == groups - 1)
                    out.write(leaving);
            }
        }
    }

    // One image. Its evaluations overlap: the next one begins as soon as its first pixel is back. Two names for the two
    // kinds of memory, because a pragma takes no template argument; `solve` chooses by a constant, so that only one of
    // them is built.
    static void solve_in_bram(hls::stream<pack_t> &in, hls::stream<pack_t> &out, int evaluations, int num_stages,
                              const int a_words[A_WORDS], const int b_words[MAX_STAGES], const bias_t table[]) {
        hls::stream<staged> back("back");
        #pragma HLS AGGREGATE variable=back compact=bit
        #pragma HLS STREAM variable=back depth=words
        #pragma HLS BIND_STORAGE variable=back type=fifo impl=bram
    Evaluations:
        for (int evaluation = 0; evaluation < evaluations; evaluation++) {
            #pragma HLS DATAFLOW
            hls::stream<x_t> x("x");
            #pragma HLS STREAM variable=x depth=2
            hls::stream<k_t> k("k");
            #pragma HLS STREAM variable=k depth=2
            hls::stream<record> skip("skip");
            #pragma HLS AGGREGATE variable=skip compact=bit
            #pragma HLS STREAM variable=skip depth=B::skip_depth
            feed(in, back, evaluation, x, skip);
            B::f(x, table, evaluation, k);
            update(skip, k, evaluation, evaluations, num_stages, a_words, b_words, back, out);
        }
    }

    static void solve_in_uram(hls::stream<pack_t> &in, hls::stream<pack_t> &out, int evaluations, int num_stages,
                              const int a_words[A_WORDS], const int b_words[MAX_STAGES], const bias_t table[]) {
        hls::stream<staged> back("back");
        #pragma HLS AGGREGATE variable=back compact=bit
        #pragma HLS STREAM variable=back depth=words
        #pragma HLS BIND_STORAGE variable=back type=fifo impl=uram
    Evaluations:
        for (int evaluation = 0; evaluation < evaluations; evaluation++) {
            #pragma HLS DATAFLOW
            hls::stream<x_t> x("x");
            #pragma HLS STREAM variable=x depth=2
            hls::stream<k_t> k("k");
            #pragma HLS STREAM variable=k depth=2
            hls::stream<record> skip("skip");
            #pragma HLS AGGREGATE variable=skip compact=bit
            #pragma HLS STREAM variable=skip depth=B::skip_depth
            feed(in, back, evaluation, x, skip);
            B::f(x, table, evaluation, k);
            update(skip, k, evaluation, evaluations, num_stages, a_words, b_words, back, out);
        }
    }

    // a_words, b_words: raw words of COEFF. table: a row of `channels` biases per evaluation, if f takes one.
    static void solve(hls::stream<pack_t> &in, hls::stream<pack_t> &out, int evaluations, int num_stages,
                      const int a_words[A_WORDS], const int b_words[MAX_STAGES], const bias_t table[]) {
        #pragma HLS INLINE
        if (B::in_uram)
            solve_in_uram(in, out, evaluations, num_stages, a_words, b_words, table);
        else
            solve_in_bram(in, out, evaluations, num_stages, a_words, b_words, table);
    }
};

} // namespace dsodenet
