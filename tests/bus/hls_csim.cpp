// The lowered kernel behind the DPI-C functions of hls_csim.sv: its registers, its streams, and a call of its top function.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <run.h>
#include <svdpi.h>

#include "model.h"

namespace {

using namespace dsodenet;

unsigned registers[(1 << ADDRESS_BITS) / 4];
hls::stream<beat_t> s_axis("s_axis"), m_axis("m_axis");

bool is_argument(uint32_t address) {
    return (address >= REG_COMMAND && address < REG_IDENTITY && address % 8 == 0) ||
           (address >= REG_COEFF && address < REG_COEFF + 4 * MAX_BLOCKS * COEFFS_PER_BLOCK);
}

} // namespace

extern "C" {

void kernel_reset() {
    for (unsigned &word : registers)
        word = 0;
    while (!s_axis.empty())
        s_axis.read();
    while (!m_axis.empty())
        m_axis.read();
}

void kernel_write(uint32_t address, uint32_t value, uint32_t strobes) {
    uint32_t mask = 0;
    for (unsigned byte = 0; byte < 4; byte++)
        mask |= strobes >> byte & 1 ? 0xffu << 8 * byte : 0;
    if (is_argument(address))
        registers[address / 4] = (registers[address / 4] & ~mask) | (value & mask);
}

uint32_t kernel_read(uint32_t address) { return registers[address / 4]; }

void kernel_take(const svBitVecVal *data, svBit last) {
    beat_t beat;
    for (unsigned word = 0; word < BEAT_BYTES / 4; word++)
        beat.data.range(32 * word + 31, 32 * word) = data[word];
    beat.last = last;
    s_axis.write(beat);
}

void kernel_run() {
    if (!simulation::run([] { call_kernel(s_axis, m_axis, registers); })) {
        std::fputs(simulation::message(), stderr);
        std::abort();
    }
}

svBit kernel_give(svBitVecVal *data, svBitVecVal *keep, svBit *last) {
    if (m_axis.empty())
        return 0;
    const beat_t beat = m_axis.read();
    for (unsigned word = 0; word < BEAT_BYTES / 4; word++)
        data[word] = beat.data.range(32 * word + 31, 32 * word).to_uint();
    *keep = beat.keep.to_uint();
    *last = beat.last.to_uint();
    return 1;
}
}
