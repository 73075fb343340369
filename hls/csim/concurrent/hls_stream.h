// hls::stream with a depth: a read waits for a word, a write waits for room. In place of the unbounded one of the C
// simulation.
#pragma once

#define X_HLS_STREAM_SIM_H // the guard of the stream that this one replaces

#include "memories.h"
#include "processes.h"

#include <deque>
#include <string>

namespace hls {

template <class T> class stream : public csim::channel {
    std::deque<T> words;

  public:
    stream() : csim::channel("stream") {}
    explicit stream(const std::string &name) : csim::channel(name) {}
    explicit stream(const char *name) : csim::channel(name) {}

    T read() {
        before_read();
        const T word = words.front();
        words.pop_front();
        after_read();
        return word;
    }
    void read(T &word) {
        word = read();
        csim::touch(&word, sizeof word, true);
    }
    void write(const T &word) {
        csim::touch(&word, sizeof word, false);
        before_write();
        words.push_back(word);
        after_write();
    }
    void operator>>(T &word) { read(word); }
    void operator<<(const T &word) { write(word); }

    bool empty() {
        poll(held == 0);
        return held == 0;
    }
    bool full() {
        poll(held >= depth);
        return held >= depth;
    }
    bool read_nb(T &word) {
        if (empty())
            return false;
        read(word);
        return true;
    }
    bool write_nb(const T &word) {
        if (full())
            return false;
        write(word);
        return true;
    }
    size_t size() const { return held; }
    size_t capacity() const { return depth; }
};

} // namespace hls

namespace csim {

// The depth that a STREAM pragma states, for one stream or an array of them.
template <class T> void set_depth(hls::stream<T> &stream, size_t depth) { stream.depth = depth; }
template <class T, size_t n> void set_depth(T (&array)[n], size_t depth) {
    for (T &item : array)
        set_depth(item, depth);
}
template <class T> void set_depth(const T &, size_t) {} // an array that the pragma turns into a FIFO stays a memory

} // namespace csim
