// The kernel's commands: load the bias tables, run frames, and a status for whatever does not fit.
//
// M describes the model of one kernel:
//   blocks        its ODE blocks
//   timed         whether f has bias tables, which LOAD brings
//   read_tables   words of a LOAD command -> the tables
//   frame         one image from the stream to its logits
#pragma once

#include "contract.h"
#include "stream_io.h"

namespace dsodenet {

// What the host asks for. The arrays hold a value for each ODE block.
struct request {
    unsigned command;
    unsigned frames;
    unsigned num_stages;
    unsigned n_steps[MAX_BLOCKS];
};

template <class M> struct machine {
    // Evaluations of f for which each table was loaded; 0 is none, which no request can ask for.
    static unsigned loaded[M::blocks];

    static unsigned check_solver(const request &asked) {
        unsigned result = asked.num_stages >= 1 && asked.num_stages <= MAX_STAGES ? STATUS_OK : STATUS_BAD_STAGES;
    Check:
        for (unsigned block = 0; block < M::blocks; block++)
            if (asked.n_steps[block] < 1 || asked.n_steps[block] > MAX_STEPS)
                result = STATUS_BAD_STEPS;
        return result;
    }

    static unsigned load(const request &asked, hls::stream<beat_t> &s_axis) {
        word_reader<32> words(s_axis);
        if (!M::timed) {
            words.drain();
            return STATUS_BAD_PROGRAM;
        }
        M::read_tables(words, asked);
        const bool surplus = words.drain();
        const unsigned result = words.exhausted ? STATUS_SHORT_INPUT : surplus ? STATUS_LONG_INPUT : STATUS_OK;
    Remember:
        for (unsigned block = 0; block < M::blocks; block++)
            loaded[block] = result == STATUS_OK ? asked.n_steps[block] * asked.num_stages : 0;
        return result;
    }

    // A table for another number of evaluations is none for this request.
    static bool ready(const request &asked) {
        bool all = true;
    Ready:
        for (unsigned block = 0; block < M::blocks; block++)
            all = all && (!M::timed || loaded[block] == asked.n_steps[block] * asked.num_stages);
        return all;
    }

    static unsigned run(const request &asked, const int coeff[], unsigned &done, hls::stream<beat_t> &s_axis,
                        hls::stream<beat_t> &m_axis) {
        unsigned result = !ready(asked) ? STATUS_NOT_LOADED : asked.frames == 0 ? STATUS_BAD_FRAMES : STATUS_OK;
        word_reader<8> bytes(s_axis);
    Frames:
        for (unsigned i = 0; i < asked.frames && result == STATUS_OK; i++) {
            M::frame(bytes, i + 1 == asked.frames, asked, coeff, &result, m_axis);
            if (result == STATUS_OK)
                done++;
        }
        if (!bytes.ended)
            bytes.drain();
        return result;
    }

    // One command from its first beat to its status. `done` counts the frames whose logits have left.
    static unsigned command(const request &asked, const int coeff[], unsigned &done, hls::stream<beat_t> &s_axis,
                            hls::stream<beat_t> &m_axis) {
        done = 0;
        if (asked.command == COMMAND_IDENTIFY)
            return STATUS_OK;
        if (asked.command != COMMAND_LOAD && asked.command != COMMAND_RUN)
            return STATUS_BAD_COMMAND;
        const unsigned fault = check_solver(asked);
        if (fault != STATUS_OK) {
            word_reader<8>(s_axis).drain();
            return fault;
        }
        return asked.command == COMMAND_LOAD ? load(asked, s_axis) : run(asked, coeff, done, s_axis, m_axis);
    }
};

template <class M> unsigned machine<M>::loaded[M::blocks] = {};

} // namespace dsodenet
