// An ODE block on chip: the time loop of an explicit Runge-Kutta method around an hls4ml-generated slope f.
//
// Number of steps, number of stages and step coefficients are run-time arguments. One evaluation of f streams the whole map
// once: stage input in, slope out, state update behind it. All arithmetic is exact until the assignment to a fixed-point type,
// whose rounding and saturation modes are those of the number contract.
#pragma once

#include "ap_fixed.h"
#include "contract.h"
#include "hls_stream.h"

namespace dsodenet {

// The step coefficients of one block, unpacked from the COEFF registers: rows of a (strictly lower triangular), then b.
template <class coeff_t> struct tableau {
    coeff_t a[MAX_STAGES][MAX_STAGES];
    coeff_t b[MAX_STAGES];

    explicit tableau(const int words[COEFFS_PER_BLOCK]) {
        unsigned next = 0;
    Rows:
        for (unsigned i = 0; i < MAX_STAGES; i++) {
            for (unsigned j = 0; j < MAX_STAGES; j++) {
                a[i][j] = 0;
                if (j < i)
                    a[i][j].range(coeff_t::width - 1, 0) = words[next++];
            }
        }
    Weights:
        for (unsigned j = 0; j < MAX_STAGES; j++)
            b[j].range(coeff_t::width - 1, 0) = words[next++];
    }
};

// Write one vector of channels to a stream, once per pixel: the bias of an evaluation is the same all over the map.
template <unsigned pixels, class pack_t> void repeat(const typename pack_t::value_type values[], hls::stream<pack_t> &out) {
Repeat:
    for (unsigned i = 0; i < pixels; i++) {
        #pragma HLS PIPELINE II=1
        pack_t pack;
        for (unsigned c = 0; c < pack_t::size; c++)
            pack[c] = values[c];
        out.write(pack);
    }
}

// Convert a map pixel by pixel from one fixed-point type to another.
template <unsigned pixels, class in_t, class out_t> void convert(hls::stream<in_t> &in, hls::stream<out_t> &out) {
Convert:
    for (unsigned i = 0; i < pixels; i++) {
        #pragma HLS PIPELINE II=1
        in_t from = in.read();
        out_t to;
        for (unsigned c = 0; c < in_t::size; c++)
            to[c] = from[c];
        out.write(to);
    }
}

// B names the types of one block: pack_t (a pixel of the state), x_t and k_t (a pixel of f's input and output), coeff_t,
// sum_t (holds state + sum of coefficient * slope exactly), bias_t; the constant `pixels`; and f(x, bias, k).
template <class B> struct ode_block {
    typedef typename B::pack_t pack_t;
    typedef typename B::x_t x_t;
    typedef typename B::k_t k_t;
    typedef typename B::sum_t sum_t;
    typedef typename B::coeff_t coeff_t;
    static const unsigned channels = pack_t::size;

    // What the loop remembers of a pixel: its state at the start of the step and the slopes of the stages before this one.
    struct record {
        pack_t z;
        k_t k[MAX_STAGES - 1];
    };

    // z + sum row[j] * k[j], rounded and saturated by the state's type. Zero coefficients are skipped for the C simulation's
    // sake; in hardware the test is part of the multiplier's enable.
    static pack_t combine(const record &r, const coeff_t row[MAX_STAGES], const k_t *newest, unsigned stage) {
        #pragma HLS INLINE
        pack_t result;
    Channels:
        for (unsigned c = 0; c < channels; c++) {
            #pragma HLS UNROLL
            sum_t sum = r.z[c];
            for (unsigned j = 0; j < MAX_STAGES - 1; j++)
                if (row[j] != 0 && j < stage)
                    sum += row[j] * r.k[j][c];
            if (newest)
                sum += row[stage] * (*newest)[c];
            result[c] = sum;
        }
        return result;
    }

    static void feed(const record in[B::pixels], const coeff_t row[MAX_STAGES], unsigned stage, hls::stream<x_t> &x,
                     hls::stream<record> &skip) {
    Feed:
        for (unsigned i = 0; i < B::pixels; i++) {
            #pragma HLS PIPELINE II=1
            record r = in[i];
            pack_t z = combine(r, row, nullptr, stage);
            x_t to;
            for (unsigned c = 0; c < channels; c++)
                to[c] = z[c];
            x.write(to);
            skip.write(r);
        }
    }

    static void update(hls::stream<record> &skip, hls::stream<k_t> &k, const coeff_t b[MAX_STAGES], unsigned stage, bool last,
                       record out[B::pixels]) {
    Update:
        for (unsigned i = 0; i < B::pixels; i++) {
            #pragma HLS PIPELINE II=1
            record r = skip.read();
            k_t slope = k.read();
            if (last)
                r.z = combine(r, b, &slope, stage);
            else
                r.k[stage] = slope;
            out[i] = r;
        }
    }

    static void evaluate(const record in[B::pixels], record out[B::pixels], const coeff_t row[MAX_STAGES],
                         const coeff_t b[MAX_STAGES], unsigned stage, bool last, const typename B::bias_t bias[channels]) {
        #pragma HLS DATAFLOW
        hls::stream<x_t> x("x");
        hls::stream<k_t> k("k");
        hls::stream<record> skip("skip");
        // f holds back the rows of two line buffers before its first slope; room for a whole map can never block.
        #pragma HLS STREAM variable=skip depth=B::pixels
        feed(in, row, stage, x, skip);
        B::f(x, bias, k);
        update(skip, k, b, stage, last, out);
    }

    // bias: one row of `channels` per evaluation.
    static void run(hls::stream<pack_t> &in, hls::stream<pack_t> &out, unsigned n_steps, unsigned num_stages,
                    const int words[COEFFS_PER_BLOCK], const typename B::bias_t bias[][channels]) {
        // Two copies of the map: an evaluation reads one while it writes the other, so its processes never share a memory.
        static record ping[B::pixels], pong[B::pixels];
        // One f in hardware, whichever way round the copies are.
        #pragma HLS ALLOCATION function instances=evaluate limit=1
        const tableau<coeff_t> method(words);
        unsigned evaluation = 0;
    Load:
        for (unsigned i = 0; i < B::pixels; i++) {
            #pragma HLS PIPELINE II=1
            ping[i].z = in.read();
        }
    Steps:
        for (unsigned step = 0; step < n_steps; step++) {
        Stages:
            for (unsigned stage = 0; stage < num_stages; stage++) {
                const bool last = stage + 1 == num_stages;
                if (evaluation % 2)
                    evaluate(pong, ping, method.a[stage], method.b, stage, last, bias[evaluation]);
                else
                    evaluate(ping, pong, method.a[stage], method.b, stage, last, bias[evaluation]);
                evaluation++;
            }
        }
    Store:
        for (unsigned i = 0; i < B::pixels; i++) {
            #pragma HLS PIPELINE II=1
            out.write(evaluation % 2 ? pong[i].z : ping[i].z);
        }
    }
};

} // namespace dsodenet
