// Global average: sums of the final state per channel while it is written, then Q(sum / count), rounded as if exact.
// The quotient of magnitudes is found bit by bit for one word of channels at a time, twelve cycles per word.
module average
  import engine_pkg::*;
#(
    parameter int unsigned PIXEL_LANES = 1,
    parameter int unsigned INPUT_LANES = 4,
    parameter int unsigned MAX_TILES = 16
) (
    input  logic                                                  clk_i,
    input  logic                                                  rst_ni,
    // accumulate
    input  result_t                                               result_i,
    input  logic signed [PIXEL_LANES-1:0][INPUT_LANES-1:0][15:0]  state_i,
    // divide
    input  logic                                                  start_i,
    input  logic [15:0]                                           words_last_i,
    input  logic [15:0]                                           count_last_i,
    input  logic signed [6:0]                                     shift_i,  // sum / 2**shift counts in LSBs of the result
    input  logic                                                  truncate_i,
    input  logic signed [7:0]                                     min_i,
    input  logic signed [7:0]                                     max_i,
    output logic                                                  busy_o,
    output logic                                                  we_o,
    output logic [15:0]                                           word_o,
    output logic [INPUT_LANES-1:0][7:0]                           result_o
);
  localparam int unsigned TileBits = $clog2(MAX_TILES);
  localparam int unsigned Bits = 48;
  localparam int unsigned QuotientBits = 10;  // nine, one more than a magnitude that does not saturate has, and a half

  (* ram_style = "distributed" *) logic [INPUT_LANES-1:0][31:0] sums[MAX_TILES];
  logic [INPUT_LANES-1:0][31:0] old_sums, new_sums;
  assign old_sums = sums[busy_o ? word_o[TileBits-1:0] : result_i.word[TileBits-1:0]];
  always_comb begin
    for (int unsigned c = 0; c < INPUT_LANES; c++) begin
      new_sums[c] = result_i.first ? '0 : old_sums[c];
      for (int unsigned p = 0; p < PIXEL_LANES; p++) begin
        if (result_i.lanes[p]) new_sums[c] = new_sums[c] + 32'($signed(state_i[p][c]));
      end
    end
  end
  always_ff @(posedge clk_i) if (result_i.valid) sums[result_i.word[TileBits-1:0]] <= new_sums;

  // cycle 0 loads, 1..QuotientBits divide, then one rounds
  logic [3:0] cycle_q;
  logic [Bits-1:0] divisor_q, divisor;
  logic [4:0] up, down;
  assign up = shift_i < 0 ? 5'(-shift_i) : '0;
  assign down = shift_i > 0 ? shift_i[4:0] : '0;
  assign divisor = Bits'(17'(count_last_i) + 17'd1) << down;

  logic last_cycle;
  assign last_cycle = cycle_q == 4'(QuotientBits + 1);
  assign we_o = busy_o && last_cycle;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      busy_o <= 1'b0;
      cycle_q <= '0;
      word_o <= '0;
    end else if (start_i) begin
      busy_o <= 1'b1;
      cycle_q <= '0;
      word_o <= '0;
    end else if (busy_o) begin
      cycle_q <= last_cycle ? '0 : cycle_q + 1'b1;
      if (last_cycle) begin
        word_o <= word_o + 1'b1;
        if (word_o == words_last_i) busy_o <= 1'b0;
      end
    end
    divisor_q <= cycle_q == 0 ? divisor << (QuotientBits - 1) : divisor_q >> 1;
  end

  for (genvar c = 0; c < INPUT_LANES; c++) begin : g_channel
    divide_lane #(.BITS(Bits), .QUOTIENT_BITS(QuotientBits)) u_lane (
        .clk_i, .load_i(cycle_q == 0), .step_i(!last_cycle), .sum_i(old_sums[c]), .up_i(up),
        .shifted_divisor_i(divisor_q), .truncate_i, .min_i, .max_i, .result_o(result_o[c])
    );
  end

  logic unused;
  assign unused = ^{result_i, word_o};
endmodule
