// The kernel's stream ends: images in, logits out, bias tables in; each checks TLAST and never waits for a beat that cannot come.
#pragma once

#include "ap_axi_sdata.h"
#include "ap_fixed.h"
#include "ap_int.h"
#include "contract.h"
#include "hls_stream.h"

namespace dsodenet {

typedef ap_axiu<8 * BEAT_BYTES, 0, 0, 0> beat_t;

// Reads the words of a command in order. After an early TLAST it delivers zeros, so that what is behind it ends as usual.
template <unsigned bits> class word_reader {
    hls::stream<beat_t> &stream;
    beat_t beat;
    unsigned used;

  public:
    static const unsigned per_beat = 8 * BEAT_BYTES / bits;
    bool ended;     // the beat with TLAST has been read
    bool exhausted; // a word was asked for behind it

    explicit word_reader(hls::stream<beat_t> &s) : stream(s), used(per_beat), ended(false), exhausted(false) {}

    ap_uint<bits> read() {
        #pragma HLS INLINE
        if (used == per_beat) {
            if (ended) {
                exhausted = true;
                beat.data = 0;
            } else {
                beat = stream.read();
                ended = beat.last;
            }
            used = 0;
        }
        const unsigned low = bits * used++;
        return beat.data.range(low + bits - 1, low);
    }

    // Drop the padding behind the last word of an item.
    void next_item() { used = per_beat; }

    // Read up to TLAST; returns whether there was more than was asked for.
    bool drain() {
        bool more = !ended;
    Drain:
        while (!ended)
            ended = stream.read().last;
        return more;
    }
};

// One image from the stream, pixel by pixel. Returns the fault that the words of this image met.
template <unsigned pixels, class pack_t> unsigned read_image(word_reader<8> &bytes, bool last_frame, hls::stream<pack_t> &out) {
Image:
    for (unsigned i = 0; i < pixels; i++) {
        #pragma HLS PIPELINE II=pack_t::size
        pack_t pack;
        for (unsigned c = 0; c < pack_t::size; c++)
            pack[c].range(7, 0) = bytes.read();
        out.write(pack);
    }
    bytes.next_item();
    if (bytes.exhausted || (bytes.ended && !last_frame))
        return STATUS_SHORT_INPUT;
    return last_frame && bytes.drain() ? STATUS_LONG_INPUT : STATUS_OK;
}

// The logits of one image as int32 accumulators; a faulty image has none.
template <class pack_t> void write_logits(hls::stream<pack_t> &in, bool last_frame, unsigned fault, hls::stream<beat_t> &out) {
    const unsigned per_beat = BEAT_BYTES / 4;
    const pack_t logits = in.read();
    if (fault != STATUS_OK)
        return;
Logits:
    for (unsigned first = 0; first < pack_t::size; first += per_beat) {
        #pragma HLS PIPELINE II=1
        beat_t beat;
        beat.data = 0;
        beat.keep = -1;
        beat.strb = -1;
        beat.last = last_frame && first + per_beat >= pack_t::size;
        for (unsigned j = 0; j < per_beat; j++) {
            if (first + j < pack_t::size) {
                typedef typename pack_t::value_type logit_t;
                const ap_int<logit_t::width> integer = logits[first + j].range(logit_t::width - 1, 0);
                const ap_int<32> word = integer; // sign-extended
                beat.data.range(32 * j + 31, 32 * j) = word;
            }
        }
        out.write(beat);
    }
}

// The bias table of one block: `evaluations` rows of `channels` int32 words.
template <class bias_t, unsigned channels> void read_table(word_reader<32> &words, unsigned evaluations, bias_t table[][channels]) {
Rows:
    for (unsigned e = 0; e < evaluations; e++) {
        for (unsigned c = 0; c < channels; c++) {
            #pragma HLS PIPELINE II=1
            table[e][c].range(bias_t::width - 1, 0) = words.read();
        }
    }
}

} // namespace dsodenet
