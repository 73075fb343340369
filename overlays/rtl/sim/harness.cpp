// The Verilated engine behind the C interface of a kernel library (host/dsodenet/rtl/build.py): one command per call.
#include <cstdint>
#include <cstring>
#include <memory>

#include "Vengine.h"
#include "registers.h"
#include "verilated.h"

namespace {

using namespace dsodenet;

constexpr uint64_t kPatience = 4096;  // cycles in which leftover input must move on

struct Kernel {
  std::unique_ptr<VerilatedContext> context{new VerilatedContext};
  std::unique_ptr<Vengine> top{new Vengine{context.get()}};
  const uint8_t *in = nullptr;
  uint64_t in_left = 0;
  uint8_t *out = nullptr;
  uint64_t out_left = 0, written = 0, cycles = 0;

  // Outputs settle before the rising edge; both sides of every handshake are looked at there.
  void cycle() {
    top->s_axis_tvalid = in_left != 0;
    top->s_axis_tlast = in_left == BEAT_BYTES;
    if (in_left) std::memcpy(&top->s_axis_tdata[0], in, BEAT_BYTES);
#ifdef DOUBLE_PUMPED
    top->clk = top->clk2 = 0;
    top->eval();
    top->clk2 = 1;  // the edge between two of clk
    top->eval();
    top->clk2 = 0;
#else
    top->clk = 0;
#endif
    top->eval();
    if (top->s_axis_tvalid && top->s_axis_tready) {
      in += BEAT_BYTES;
      in_left -= BEAT_BYTES;
    }
    if (top->m_axis_tvalid && top->m_axis_tready) {
      if (out_left >= BEAT_BYTES) {
        std::memcpy(out, &top->m_axis_tdata[0], BEAT_BYTES);
        out += BEAT_BYTES;
        out_left -= BEAT_BYTES;
      }
      written += BEAT_BYTES;
    }
#ifdef DOUBLE_PUMPED
    top->clk2 = 1;
#endif
    top->clk = 1;
    top->eval();
    ++cycles;
  }

  void write(uint32_t address, uint32_t data) {
    top->s_axi_control_awaddr = address;
    top->s_axi_control_wdata = data;
    top->s_axi_control_wstrb = 0xf;
    top->s_axi_control_awvalid = top->s_axi_control_wvalid = 1;
    top->s_axi_control_bready = 1;
    cycle();  // nothing is held between calls: both channels are ready
    top->s_axi_control_awvalid = top->s_axi_control_wvalid = 0;
    for (int i = 0; i < 8 && !top->s_axi_control_bvalid; ++i) cycle();
    cycle();
  }

  uint32_t read(uint32_t address) {
    top->s_axi_control_araddr = address;
    top->s_axi_control_arvalid = 1;
    top->s_axi_control_rready = 0;
    cycle();
    top->s_axi_control_arvalid = 0;
    uint32_t data = top->s_axi_control_rdata;
    top->s_axi_control_rready = 1;
    cycle();
    return data;
  }
};

bool is_argument(uint32_t address) {
  for (uint32_t first : {REG_COMMAND, REG_FRAMES, REG_NUM_STAGES, REG_N_STEPS_1, REG_N_STEPS_2, REG_N_STEPS_3})
    if (address == first) return true;
  return address >= REG_COEFF && address < REG_COEFF + 4 * MAX_BLOCKS * COEFFS_PER_BLOCK;
}

}  // namespace

extern "C" {

void *dsodenet_open(void) {
  auto *kernel = new Kernel;
  kernel->top->rst_n = 0;
  kernel->top->m_axis_tready = 0;
  for (int i = 0; i < 4; ++i) kernel->cycle();
  kernel->top->rst_n = 1;
  return kernel;
}

void dsodenet_close(void *handle) { delete static_cast<Kernel *>(handle); }

// registers: (1 << ADDRESS_BITS) / 4 words, arguments in, all of them out. in: whole beats, TLAST on the last one. Returns 0, or
// nonzero when the command did not end within max_cycles.
int dsodenet_command(void *handle, uint32_t *registers, const uint8_t *in, uint64_t in_bytes, uint8_t *out, uint64_t out_bytes,
                     uint64_t *written, uint64_t max_cycles) {
  Kernel &kernel = *static_cast<Kernel *>(handle);
  kernel.in_left = 0;
  kernel.out = out;
  kernel.out_left = out_bytes;
  kernel.written = 0;
  kernel.top->m_axis_tready = 1;
  for (uint32_t address = 0; address < 1u << ADDRESS_BITS; address += 4)
    if (is_argument(address)) kernel.write(address, registers[address / 4]);
  kernel.write(REG_CTRL, 1);  // before the stream: what comes before it may be the rest of a packet that is thrown away
  kernel.in = in;
  kernel.in_left = in_bytes - in_bytes % BEAT_BYTES;
  const uint64_t end = kernel.cycles + max_cycles;
  bool done = false;
  while (!done && kernel.cycles < end) done = kernel.read(REG_CTRL) & 2;
  // After an error the kernel throws the rest of the packet away.
  for (uint64_t left = kernel.in_left, waited = 0; done && kernel.in_left && waited < kPatience; ++waited) {
    kernel.cycle();
    if (kernel.in_left != left) waited = 0;
    left = kernel.in_left;
  }
  kernel.in_left = 0;
  for (uint32_t address = REG_COMMAND; address < 1u << ADDRESS_BITS; address += 4) registers[address / 4] = kernel.read(address);
  *written = kernel.written;
  return done ? 0 : 1;
}
}
