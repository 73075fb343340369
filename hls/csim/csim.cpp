// C simulation of the kernel behind the C interface that every kernel library has: one command per call.
#include "model.h"

#include <cstdint>
#include <cstring>
#include <run.h> // in angle brackets: the folder of the concurrent simulation comes first where it is asked for

using dsodenet::BEAT_BYTES;
using dsodenet::beat_t;

// The kernel keeps its tables in static memories, as the hardware does: one kernel per loaded library, and nothing to hold.
extern "C" void *dsodenet_open() {
    static char kernel;
    return simulation::usable() ? &kernel : nullptr;
}

extern "C" void dsodenet_close(void *) {}

// Why the last command did not end; empty where nothing is known.
extern "C" const char *dsodenet_message(void *) { return simulation::message(); }

// What each stream carried in the last command, as JSON; empty from a simulation that does not count.
extern "C" const char *dsodenet_activity(void *) { return simulation::activity(); }

// registers: the whole register file in 32-bit words, arguments in, results out. in: whole beats, TLAST goes with the last one.
// Returns 0, or 1 when the command would never end: it waits for a beat that does not come, or has no room for its output.
// The call is not cycle-accurate, so it counts no cycles against the limit.
extern "C" int dsodenet_command(void *, uint32_t *registers, const uint8_t *in, uint64_t in_bytes, uint8_t *out,
                                uint64_t out_bytes, uint64_t *written, uint64_t) {
    const uint32_t command = registers[dsodenet::REG_COMMAND / 4];
    const bool reads = command == dsodenet::COMMAND_LOAD || command == dsodenet::COMMAND_RUN;
    if (in_bytes % BEAT_BYTES || (reads && in_bytes == 0))
        return 1;
    hls::stream<beat_t> s_axis("s_axis"), m_axis("m_axis");
    for (uint64_t at = 0; at < in_bytes; at += BEAT_BYTES) {
        beat_t beat;
        for (unsigned word = 0; word < BEAT_BYTES / 4; word++) {
            uint32_t value;
            std::memcpy(&value, in + at + 4 * word, 4);
            beat.data.range(32 * word + 31, 32 * word) = value;
        }
        beat.last = at + BEAT_BYTES >= in_bytes;
        s_axis.write(beat);
    }
    *written = 0;
    if (!simulation::run([&] { call_kernel(s_axis, m_axis, registers); }))
        return 1;
    while (!m_axis.empty()) {
        const beat_t beat = m_axis.read();
        if (*written + BEAT_BYTES > out_bytes)
            return 1;
        for (unsigned word = 0; word < BEAT_BYTES / 4; word++) {
            const uint32_t value = beat.data.range(32 * word + 31, 32 * word).to_uint();
            std::memcpy(out + *written + 4 * word, &value, 4);
        }
        *written += BEAT_BYTES;
    }
    return 0;
}
