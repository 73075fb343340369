// Networks for the concurrent simulation. Commands 1, 2 and 13 are right. Each other one has a fault that a sequential
// simulation does not show.
#include "model.h"

typedef dsodenet::beat_t beat_t;

static int word(hls::stream<beat_t> &in) { return in.read().data.range(31, 0).to_int(); }

static void answer(int value, bool last, hls::stream<beat_t> &out) {
    beat_t beat;
    beat.data = value;
    beat.last = last;
    out.write(beat);
}

static void source(hls::stream<beat_t> &in, unsigned n, hls::stream<int> &out, hls::stream<int> &skip) {
    for (unsigned i = 0; i < n; i++) {
        const int value = word(in);
        out.write(value);
        skip.write(value);
    }
}

// Holds back four words, as a line buffer does.
static void hold(hls::stream<int> &in, unsigned n, hls::stream<int> &out) {
    int kept[4];
    for (unsigned i = 0; i < n; i += 4) {
        for (unsigned j = 0; j < 4; j++)
            kept[j] = in.read();
        for (unsigned j = 0; j < 4; j++)
            out.write(2 * kept[j]);
    }
}

static void sink(hls::stream<int> &in, hls::stream<int> &skip, unsigned n, hls::stream<beat_t> &out) {
    for (unsigned i = 0; i < n; i++)
        answer(in.read() + skip.read(), i + 1 == n, out);
}

static void deep(hls::stream<beat_t> &in, unsigned n, hls::stream<beat_t> &out) {
    #pragma HLS DATAFLOW
    hls::stream<int> x("x"), k("k"), skip("skip");
    #pragma HLS STREAM variable=x depth=2
    #pragma HLS STREAM variable=skip depth=4
    source(in, n, x, skip);
    hold(x, n, k);
    sink(k, skip, n, out);
}

static void shallow(hls::stream<beat_t> &in, unsigned n, hls::stream<beat_t> &out) {
    #pragma HLS DATAFLOW
    hls::stream<int> x("x"), k("k"), skip("skip");
    #pragma HLS STREAM variable=skip depth=2
    source(in, n, x, skip);
    hold(x, n, k);
    sink(k, skip, n, out);
}

static void collect(hls::stream<beat_t> &in, unsigned n, int table[8], hls::stream<int> &signal) {
    for (unsigned i = 0; i < n; i++) {
        table[i] = word(in);
        signal.write(i);
    }
}

static void take(const int table[8], unsigned n, hls::stream<int> &signal, hls::stream<beat_t> &out) {
    for (unsigned i = 0; i < n; i++)
        answer(table[n - 1 - i] + 0 * signal.read(), i + 1 == n, out);
}

// The reader starts when the writer has ended, so the signals need room.
static void ping_pong(hls::stream<beat_t> &in, unsigned n, hls::stream<beat_t> &out) {
    #pragma HLS DATAFLOW
    int table[8];
    hls::stream<int> signal("signal");
    #pragma HLS STREAM variable=signal depth=8
    collect(in, n, table, signal);
    take(table, n, signal, out);
}

static void ping_pong_without_room(hls::stream<beat_t> &in, unsigned n, hls::stream<beat_t> &out) {
    #pragma HLS DATAFLOW
    int table[8];
    hls::stream<int> signal("signal");
    #pragma HLS STREAM variable=signal depth=2
    collect(in, n, table, signal);
    take(table, n, signal, out);
}

// Fault 1 of the kernel as it was: one array for three processes.
static void block(hls::stream<int> &in, unsigned n, const int words[10], hls::stream<int> &out) {
    for (unsigned i = 0; i < n; i++)
        out.write(in.read() + words[0]);
}

static void enter(hls::stream<beat_t> &in, unsigned n, hls::stream<int> &out) {
    for (unsigned i = 0; i < n; i++)
        out.write(word(in));
}

static void leave(hls::stream<int> &in, unsigned n, hls::stream<beat_t> &out) {
    for (unsigned i = 0; i < n; i++)
        answer(in.read(), i + 1 == n, out);
}

static void shared_array(hls::stream<beat_t> &in, unsigned n, const int *coeff, hls::stream<beat_t> &out) {
    #pragma HLS DATAFLOW
    hls::stream<int> a("a"), b("b"), c("c"), d("d");
    enter(in, n, a);
    block(a, n, coeff + 0, b);
    block(b, n, coeff + 10, c);
    block(c, n, coeff + 20, d);
    leave(d, n, out);
}

// Fault 2: a reader that refers to its stream, passed into the region.
struct word_reader {
    hls::stream<beat_t> &stream;
    int read() { return word(stream); }
};

static void read_words(word_reader &words, unsigned n, hls::stream<int> &out) {
    for (unsigned i = 0; i < n; i++)
        out.write(words.read());
}

static void reference_inside(word_reader &words, unsigned n, hls::stream<beat_t> &out) {
    #pragma HLS DATAFLOW
    hls::stream<int> a("a");
    read_words(words, n, a);
    leave(a, n, out);
}

// Fault 3: a status that one process writes and another gets as a value.
static unsigned checked(hls::stream<beat_t> &in, unsigned n, hls::stream<int> &out) {
    unsigned fault = 0;
    for (unsigned i = 0; i < n; i++) {
        const int value = word(in);
        fault |= value > 100;
        out.write(value);
    }
    return fault;
}

static void unless(hls::stream<int> &in, unsigned n, unsigned fault, hls::stream<beat_t> &out) {
    for (unsigned i = 0; i < n; i++) {
        const int value = in.read();
        if (!fault)
            answer(value, i + 1 == n, out);
    }
}

static void sampled_status(hls::stream<beat_t> &in, unsigned n, unsigned *fault, hls::stream<beat_t> &out) {
    #pragma HLS DATAFLOW
    hls::stream<int> a("a");
    *fault = checked(in, n, a);
    unless(a, n, *fault, out);
}

// One memory under two names.
static void feed(const int map[8], unsigned n, hls::stream<int> &out) {
    for (unsigned i = 0; i < n; i++)
        out.write(map[i]);
}

static void update(hls::stream<int> &in, unsigned n, int map[8]) {
    for (unsigned i = 0; i < n; i++)
        map[i] = in.read() + 1;
}

static void evaluate(const int from[8], unsigned n, int to[8]) {
    #pragma HLS DATAFLOW
    hls::stream<int> x("x");
    feed(from, n, x);
    update(x, n, to);
}

// A memory behind the back of the region: the second process may read it before the first has written it.
static int common[8], table[8];

static void write_common(hls::stream<beat_t> &in, unsigned n, hls::stream<int> &out) {
    for (unsigned i = 0; i < n; i++) {
        common[i % 8] = word(in);
        out.write(i);
    }
}

static void read_common(hls::stream<int> &in, unsigned n, hls::stream<beat_t> &out) {
    for (unsigned i = 0; i < n; i++)
        answer(common[in.read() % 8], i + 1 == n, out);
}

static void hidden(hls::stream<beat_t> &in, unsigned n, hls::stream<beat_t> &out) {
    #pragma HLS DATAFLOW
    hls::stream<int> a("a");
    write_common(in, n, a);
    read_common(a, n, out);
}

// A table that nobody has loaded.
static void look_up(hls::stream<beat_t> &in, unsigned n, hls::stream<beat_t> &out) {
    for (unsigned i = 0; i < n; i++)
        answer(table[word(in) % 8], i + 1 == n, out);
}

static void unloaded(hls::stream<beat_t> &in, unsigned n, hls::stream<beat_t> &out) {
    #pragma HLS DATAFLOW
    look_up(in, n, out);
}

static void two_writers(hls::stream<beat_t> &in, unsigned n, hls::stream<beat_t> &out) {
    #pragma HLS DATAFLOW
    hls::stream<int> a("a"), b("b"), c("c");
    source(in, n, a, b);
    leave(a, n, out);
    leave(b, n, out);
}

static void left_over(hls::stream<beat_t> &in, unsigned n, hls::stream<beat_t> &out) {
    #pragma HLS DATAFLOW
    hls::stream<int> a("a"), b("b");
    #pragma HLS STREAM variable=b depth=64
    source(in, n, a, b);
    leave(a, n, out);
}

// Three passes of a loop that overlap: the stream between them holds fewer words than a pass moves.
static void feed_pass(hls::stream<beat_t> &in, hls::stream<int> &back, int pass, unsigned n, hls::stream<int> &out) {
    for (unsigned i = 0; i < n; i++) {
        if (pass == 0)
            out.write(word(in));
        else
            out.write(back.read());
    }
}

static void end_pass(hls::stream<int> &in, int pass, unsigned n, hls::stream<int> &back, hls::stream<beat_t> &out) {
    for (unsigned i = 0; i < n; i++) {
        const int value = in.read() + 1;
        if (pass == 2)
            answer(value, i + 1 == n, out);
        else
            back.write(value);
    }
}

static void passes(hls::stream<beat_t> &in, unsigned n, hls::stream<beat_t> &out) {
    hls::stream<int> back("back");
    #pragma HLS STREAM variable=back depth=6
    for (int pass = 0; pass < 3; pass++) {
        #pragma HLS DATAFLOW
        hls::stream<int> x("x");
        #pragma HLS STREAM variable=x depth=2
        feed_pass(in, back, pass, n, x);
        end_pass(x, pass, n, back, out);
    }
}

void dsodenet_hls(hls::stream<beat_t> &s_axis, hls::stream<beat_t> &m_axis, unsigned command, unsigned frames,
                  unsigned *status) {
    static int coeff[30], map[8];
    word_reader words = {s_axis};
    for (unsigned i = 0; i < 30; i++)
        coeff[i] = 1;
    for (unsigned i = 0; i < 8; i++)
        map[i] = i;
    *status = 0;
    switch (command) {
    case 1: deep(s_axis, frames, m_axis); break;
    case 2: ping_pong(s_axis, frames, m_axis); break;
    case 3: shared_array(s_axis, frames, coeff, m_axis); break;
    case 4: reference_inside(words, frames, m_axis); break;
    case 5: sampled_status(s_axis, frames, status, m_axis); break;
    case 6: shallow(s_axis, frames, m_axis); break;
    case 7: ping_pong_without_room(s_axis, frames, m_axis); break;
    case 8: evaluate(map, frames, map); break;
    case 9: hidden(s_axis, frames, m_axis); break;
    case 10: unloaded(s_axis, frames, m_axis); break;
    case 11: two_writers(s_axis, frames, m_axis); break;
    case 12: left_over(s_axis, frames, m_axis); break;
    case 13: passes(s_axis, frames, m_axis); break;
    }
}
