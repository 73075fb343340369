// The test bench of C/RTL co-simulation: the commands of a file, one after another, and the beats that each must answer
// with.
//
// The file holds numbers in hexadecimal: how many commands, then for each its register file, how many beats go in and
// their words, how many come out and their words. Returns how many words differ, so that 0 is what the tool takes for
// right.
#include "model.h"

#include <cstdio>
#include <fstream>

using namespace dsodenet;

namespace {

unsigned next_word(std::ifstream &file) {
    unsigned word = 0;
    file >> std::hex >> word;
    return word;
}

const unsigned beat_words = BEAT_BYTES / 4;

} // namespace

int main(int count, char **arguments) {
    if (count != 2) {
        std::fprintf(stderr, "cosim: wants one argument, the file of commands\n");
        return 1;
    }
    std::ifstream file(arguments[1]);
    int differing = 0;
    const unsigned commands = next_word(file);
    for (unsigned command = 0; command < commands; command++) {
        static unsigned registers[(1 << ADDRESS_BITS) / 4];
        for (unsigned &word : registers)
            word = next_word(file);
        hls::stream<beat_t> s_axis("s_axis"), m_axis("m_axis");
        const unsigned in_beats = next_word(file);
        for (unsigned i = 0; i < in_beats; i++) {
            beat_t beat;
            beat.keep = -1;
            beat.strb = -1;
            for (unsigned word = 0; word < beat_words; word++)
                beat.data.range(32 * word + 31, 32 * word) = next_word(file);
            beat.last = i + 1 == in_beats;
            s_axis.write(beat);
        }
        call_kernel(s_axis, m_axis, registers);
        if (registers[REG_STATUS / 4] != STATUS_OK)
            differing++;
        const unsigned out_beats = next_word(file);
        for (unsigned i = 0; i < out_beats; i++) {
            const bool there = !m_axis.empty();
            const beat_t beat = there ? m_axis.read() : beat_t();
            for (unsigned word = 0; word < beat_words; word++) {
                const unsigned expected = next_word(file);
                if (!there || beat.data.range(32 * word + 31, 32 * word).to_uint() != expected)
                    differing++;
            }
        }
        while (!m_axis.empty()) {
            m_axis.read();
            differing++;
        }
    }
    if (!file || commands == 0) {
        std::fprintf(stderr, "cosim: %s ends before its commands do\n", arguments[1]);
        differing++;
    }
    std::printf("cosim: %u commands, %d words differ\n", commands, differing);
    return differing != 0;
}
