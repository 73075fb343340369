// The kernel's stream ends: images in, logits out, bias tables in; each checks TLAST and never waits for a beat that
// cannot come.
#pragma once

#include "ap_axi_sdata.h"
#include "ap_fixed.h"
#include "ap_int.h"
#include "contract.h"
#include "hls_stream.h"

namespace dsodenet {

typedef ap_axiu<8 * BEAT_BYTES, 0, 0, 0> beat_t;

// How far the words of a command have been read. Each process that reads words keeps one of its own, and is given the
// stream apart from it: a member that refers to a stream would be a pointer to a pointer.
template <unsigned bits> struct word_reader {
    static_assert(bits <= 8 * BEAT_BYTES, "a word needs one further beat at most");
    ap_uint<16 * BEAT_BYTES> held; // what is left of the last beat, and the next one behind it
    unsigned have;                 // bits of it
    bool ended;                    // the beat with TLAST has been read
    bool exhausted;                // a word was asked for behind it

    word_reader() : held(0), have(0), ended(false), exhausted(false) {}

    // The next word; after an early TLAST it is zero, so that what is behind ends as usual.
    ap_uint<bits> read(hls::stream<beat_t> &stream) {
        #pragma HLS INLINE
        if (have < bits) {
            ap_uint<16 * BEAT_BYTES> next = 0;
            if (ended) {
                exhausted = true;
            } else {
                const beat_t beat = stream.read();
                next = beat.data;
                ended = beat.last;
            }
            held |= next << have;
            have += 8 * BEAT_BYTES;
        }
        const ap_uint<bits> word = held.range(bits - 1, 0);
        held >>= bits;
        have -= bits;
        return word;
    }

    // Drop the padding behind the last word of an item.
    void next_item() {
        held = 0;
        have = 0;
    }

    // Read up to TLAST; returns whether there was more than was asked for.
    bool drain(hls::stream<beat_t> &stream) {
        #pragma HLS INLINE
        const bool more = !ended;
    Drain:
        while (!ended)
            ended = stream.read().last;
        return more;
    }
};

// What the reader found of an image, for the writer of its logits.
struct verdict {
    ap_uint<4> status;
    bool last; // its logits end the command's output
};

// The images of a command, each behind a token: a pixel in each cycle, if a beat holds one, else a byte. Ends at the
// first fault, whose image is completed with zeros.
template <unsigned pixels, class pack_t>
void read_images(hls::stream<beat_t> &beats, unsigned frames, hls::stream<bool> &next, hls::stream<pack_t> &out,
                 hls::stream<verdict> &verdicts) {
    const unsigned channels = pack_t::size, at_once = channels <= BEAT_BYTES ? channels : 1;
    word_reader<8 * at_once> words;
    unsigned status = STATUS_OK;
Images:
    for (unsigned frame = 0; frame < frames && status == STATUS_OK; frame++) {
        const bool last = frame + 1 == frames;
        next.write(true);
        pack_t pack;
    Pixels:
        for (unsigned i = 0; i < pixels; i++) {
        Channels:
            for (unsigned first = 0; first < channels; first += at_once) {
                #pragma HLS LOOP_FLATTEN
                #pragma HLS PIPELINE II=1
                const ap_uint<8 * at_once> word = words.read(beats);
            Bytes:
                for (unsigned c = 0; c < at_once; c++) {
                    #pragma HLS UNROLL
                    pack[first + c].range(7, 0) = word.range(8 * c + 7, 8 * c);
                }
                if (first + at_once == channels)
                    out.write(pack);
            }
        }
        words.next_item();
        if (words.exhausted || (words.ended && !last))
            status = STATUS_SHORT_INPUT;
        else if (last && words.drain(beats))
            status = STATUS_LONG_INPUT;
        verdict found;
        found.status = status;
        found.last = last;
        verdicts.write(found);
    }
    words.drain(beats);
    next.write(false);
}

// The logits of one image as int32 accumulators.
template <class pack_t> void write_image_logits(const pack_t &logits, bool last, hls::stream<beat_t> &out) {
    const unsigned per_beat = BEAT_BYTES / 4;
Logits:
    for (unsigned first = 0; first < pack_t::size; first += per_beat) {
        #pragma HLS PIPELINE II=1
        beat_t beat;
        beat.data = 0;
        beat.keep = -1;
        beat.strb = -1;
        beat.last = last && first + per_beat >= pack_t::size;
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

// The logits of every image; a faulty one has none. Reports the last verdict, and how many images were answered:
// whatever is known of a command is known here, because this process is the last to end.
template <class pack_t>
void write_logits(hls::stream<bool> &go, hls::stream<pack_t> &in, hls::stream<verdict> &verdicts,
                  hls::stream<beat_t> &out, unsigned *status, unsigned *frames_done) {
    unsigned result = STATUS_OK, done = 0;
Images:
    while (go.read()) {
        const pack_t logits = in.read();
        const verdict found = verdicts.read();
        result = found.status;
        if (result == STATUS_OK) {
            write_image_logits(logits, found.last, out);
            done++;
        }
    }
    *status = result;
    *frames_done = done;
}

// The bias table of one block: `evaluations` rows of `channels` int32 words.
template <class bias_t, unsigned channels>
void read_table(word_reader<32> &words, hls::stream<beat_t> &beats, unsigned evaluations, bias_t table[]) {
    unsigned next = 0;
Rows:
    for (unsigned e = 0; e < evaluations; e++) {
    Row:
        for (unsigned c = 0; c < channels; c++) {
            #pragma HLS PIPELINE II=1
            table[next++].range(bias_t::width - 1, 0) = words.read(beats);
        }
    }
}

// Read a command's input to its end.
inline void discard(hls::stream<beat_t> &beats) {
    word_reader<8> bytes;
    bytes.drain(beats);
}

} // namespace dsodenet
