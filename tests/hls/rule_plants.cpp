// C++ that breaks one rule of the vendor each, on the lines with `// <-`. The first part keeps them all.
// It is put before each of the others.

//// good
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

//// one-process: an argument of three
static void block1(hls::stream<int> &in, const int coeff[10], hls::stream<int> &out) {
    out.write(in.read() + coeff[0]);
}
static void frame(hls::stream<int> &in, const int *coeff, hls::stream<int> &out) {
    #pragma HLS DATAFLOW
    hls::stream<int> x("x");
    #pragma HLS STREAM variable=x depth=2
    block1(in, coeff, x);
    block1(x, coeff, out); // <-
}

//// one-process: written and sampled
static void read_image(hls::stream<int> &in, unsigned *fault, hls::stream<int> &out) {
    *fault = in.read();
    out.write(1);
}
static void write_logits(hls::stream<int> &in, const unsigned *fault, hls::stream<int> &out) {
    out.write(in.read() + *fault);
}
static void frame(hls::stream<int> &in, unsigned *fault, hls::stream<int> &out) {
    #pragma HLS DATAFLOW
    hls::stream<int> x("x");
    #pragma HLS STREAM variable=x depth=2
    read_image(in, fault, x);
    write_logits(x, fault, out); // <-
}

//// one-process: a map read by one process and written by another
static void feed(const int map[64], hls::stream<int> &x) { x.write(map[0]); }
static void update(hls::stream<int> &x, int map[64]) { map[0] = x.read(); }
static void evaluate(int map[64]) {
    #pragma HLS DATAFLOW
    hls::stream<int> x("x");
    #pragma HLS STREAM variable=x depth=2
    feed(map, x);
    update(x, map); // <-
}

//// one-process: read before its channel is written
static void feed(const int map[64], hls::stream<int> &x) { x.write(map[0]); }
static void update(hls::stream<int> &x, int map[64]) { map[0] = x.read(); }
static void evaluate(hls::stream<int> &in, hls::stream<int> &out) {
    #pragma HLS DATAFLOW
    int map[64];
    feed(map, out); // <-
    update(in, map);
}

//// void-process
static unsigned read_image(hls::stream<int> &in, hls::stream<int> &out) {
    out.write(in.read());
    return 0;
}
static void frame(hls::stream<int> &in, hls::stream<int> &out) {
    #pragma HLS DATAFLOW
    read_image(in, out); // <-
}

//// canonical-region: a conditional
static void work(hls::stream<int> &in, hls::stream<int> &out) { out.write(in.read()); }
static void frame(hls::stream<int> &in, bool go, hls::stream<int> &out) {
    #pragma HLS DATAFLOW
    if (go) // <-
        work(in, out);
}

//// canonical-region: a value
static void work(hls::stream<int> &in, int scale, hls::stream<int> &out) {
    out.write(scale * in.read());
}
static void frame(hls::stream<int> &in, int half, hls::stream<int> &out) {
    #pragma HLS DATAFLOW
    int scale = 2 * half; // <-
    work(in, scale, out);
}

//// named-argument: an offset
static void work(hls::stream<int> &in, const int *coeff, hls::stream<int> &out) {
    out.write(coeff[0] * in.read());
}
static void frame(hls::stream<int> &in, const int *coeff, hls::stream<int> &out) {
    #pragma HLS DATAFLOW
    work(in, coeff + 10, out); // <-
}

//// named-argument: a row
static void work(hls::stream<int> &in, const int bias[8], hls::stream<int> &out) {
    out.write(bias[0] * in.read());
}
static void evaluate(hls::stream<int> &in, const int bias[8], hls::stream<int> &out) {
    #pragma HLS DATAFLOW
    work(in, bias, out);
}
static void run(hls::stream<int> &in, const int bias[4][8], unsigned n, hls::stream<int> &out) {
    for (unsigned i = 0; i < n; i++)
        evaluate(in, bias[i], out); // <-
}

//// pointer-to-pointer: a reader that holds a reference
struct word_reader { hls::stream<int> &stream; int beat; };
static void read_image(word_reader &bytes, hls::stream<int> &out) { // <-
    out.write(bytes.stream.read());
}
static void frame(word_reader &bytes, hls::stream<int> &out) { // <-
    #pragma HLS DATAFLOW
    read_image(bytes, out);
}

//// dataflow-loop
static void work(hls::stream<int> &in, hls::stream<int> &out) { out.write(in.read()); }
static void frame(hls::stream<int> &in, hls::stream<int> &out) {
    #pragma HLS DATAFLOW
    work(in, out);
}
static void frames(hls::stream<int> &in, hls::stream<int> &out) {
    bool more = true;
    while (more) { // <-
        frame(in, out);
        more = in.read() != 0;
    }
}

//// one-call-site: twice
static void work(const int in[8], int out[8]) { out[0] = in[0]; }
static void evaluate(const int in[8], int out[8]) {
    #pragma HLS DATAFLOW
    work(in, out);
}
static void run(int ping[8], int pong[8], bool odd) {
    if (odd)
        evaluate(pong, ping);
    else
        evaluate(ping, pong); // <-
}

//// one-call-site: allocation
static void work(const int in[8], int out[8]) { out[0] = in[0]; }
static void evaluate(const int in[8], int out[8]) {
    #pragma HLS DATAFLOW
    work(in, out);
}
static void run(int ping[8], int pong[8]) {
    #pragma HLS ALLOCATION function instances=evaluate limit=1 // <-
    evaluate(ping, pong);
}

//// stream-depth
static void work(hls::stream<int> &in, hls::stream<int> &out) { out.write(in.read()); }
static void frame(hls::stream<int> &in, hls::stream<int> &out) {
    #pragma HLS DATAFLOW
    hls::stream<int> x("x"); // <-
    work(in, x);
    work(x, out);
}

//// static-state: a static channel
static void work(hls::stream<int> &in, int map[8]) { map[0] = in.read(); }
static void more(const int map[8], hls::stream<int> &out) { out.write(map[0]); }
static void frame(hls::stream<int> &in, hls::stream<int> &out) {
    #pragma HLS DATAFLOW
    static int map[8]; // <-
    work(in, map);
    more(map, out);
}

//// static-state: a process that keeps something is called twice
static void work(hls::stream<int> &in, hls::stream<int> &out) {
    static int sum;
    sum += in.read();
    out.write(sum);
}
static void frame(hls::stream<int> &in, hls::stream<int> &out) {
    #pragma HLS DATAFLOW
    hls::stream<int> x("x");
    #pragma HLS STREAM variable=x depth=2
    work(in, x);
    work(x, out); // <-
}

//// interface-on-top
static void section(hls::stream<int> &in, hls::stream<int> &out) {
    #pragma HLS INTERFACE axis port=in,out // <-
    out.write(in.read());
}

//// loop-bound: two conditions
static unsigned work(unsigned n, unsigned result) {
    unsigned sum = 0;
    for (unsigned i = 0; i < n && result == 0; i++) // <-
        sum += i;
    return sum;
}

//// loop-bound: no bound
static unsigned work(unsigned n) {
    while (n % 3) // <-
        n++;
    return n;
}

//// loop-bound: a second exit
static unsigned work(const int table[8]) {
    for (unsigned i = 0; i < 8; i++) {
        if (table[i])
            break; // <-
    }
    return 0;
}

//// loop-bound: a bound that moves
static void work(unsigned n) {
    for (unsigned i = 0; i < n; i++)
        n -= 2; // <-
}

//// no-recursion
static unsigned odd(unsigned n);
static unsigned even(unsigned n) { return n ? odd(n - 1) : 1; } // <-
static unsigned odd(unsigned n) { return n ? even(n - 1) : 0; } // <-

//// no-dynamic-memory
static void work(unsigned n) {
    int *map = new int[n]; // <-
    std::vector<int> more; // <-
    delete[] map; // <-
}

//// partition-limit
struct block { static const unsigned pixels = 32 * 64; };
template <class B> void work(hls::stream<int> &in) {
    int map[B::pixels];
    #pragma HLS ARRAY_PARTITION variable=map complete // <-
    for (unsigned i = 0; i < B::pixels; i++)
        map[i] = in.read();
}

//// aggregate-structs
struct pair { int z; int k; };
typedef pair pixel_t;
static void work(hls::stream<int> &in) {
    static pixel_t ping[8]; // <-
    for (unsigned i = 0; i < 8; i++)
        ping[i].z = in.read();
}
