// Global average: sums of the final state per channel while it is written, then Q(sum / count), rounded as if exact.
// The quotient of magnitudes is found bit by bit for one word of channels at a time, thirteen cycles per word.
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
  localparam int unsigned LastCycle = QuotientBits + 2;
  localparam int unsigned FirstLanes = (PIXEL_LANES + 1) / 2;
  localparam int unsigned PixelBits = 16 + $clog2(PIXEL_LANES + 1);

  // ---- accumulate: the pixels of a word, each half of the lanes in a cycle, both in the next one, then its sum, which is read a cycle
  // before it is written
  (* ram_style = "distributed" *) logic [INPUT_LANES-1:0][31:0] sums[MAX_TILES];
  logic [INPUT_LANES-1:0][31:0] old_q, new_q, sum;
  logic signed [1:0][INPUT_LANES-1:0][PixelBits-1:0] half, half_q;
  logic signed [INPUT_LANES-1:0][PixelBits-1:0] pixels_qq;
  logic [TileBits-1:0] index_q, current_q, word_q, word_qq;
  logic valid_q, valid_qq, first_q, first_qq, again_q;
  always_comb begin
    half = '0;
    for (int unsigned c = 0; c < INPUT_LANES; c++) begin
      for (int unsigned p = 0; p < FirstLanes; p++) begin
        if (result_i.lanes[p]) half[0][c] = half[0][c] + PixelBits'($signed(state_i[p][c]));
      end
      for (int unsigned p = FirstLanes; p < PIXEL_LANES; p++) begin
        if (result_i.lanes[p]) half[1][c] = half[1][c] + PixelBits'($signed(state_i[p][c]));
      end
      sum[c] = (first_qq ? '0 : again_q ? new_q[c] : old_q[c]) + 32'($signed(pixels_qq[c]));
    end
  end
  always_ff @(posedge clk_i) begin
    {valid_qq, valid_q} <= rst_ni ? {valid_q, result_i.valid} : '0;
    {first_qq, first_q} <= {first_q, result_i.first};
    half_q <= half;
    for (int unsigned c = 0; c < INPUT_LANES; c++) pixels_qq[c] <= half_q[0][c] + half_q[1][c];
    word_q <= busy_o ? index_q : result_i.word[TileBits-1:0];
    word_qq <= word_q;
    old_q <= sums[word_q];
    again_q <= valid_qq && word_qq == word_q;  // old_q misses what is being written
    new_q <= sum;
    if (valid_qq) sums[word_qq] <= sum;
  end

  // ---- divide. Cycle 0 takes the sums of a word, 1 loads, then a bit in each, then the result rounds. It saturates while the
  // next word takes its sums; these are read long before.
  logic [3:0] cycle_q;
  logic [Bits-1:0] divisor_q, first_divisor_q;
  logic [4:0] up, down;
  logic divided_q, last_cycle;
  assign up = shift_i < 0 ? 5'(-shift_i) : '0;
  assign down = shift_i > 0 ? shift_i[4:0] : '0;
  assign last_cycle = cycle_q == 4'(LastCycle);
  always_ff @(posedge clk_i) begin
    we_o <= rst_ni && busy_o && cycle_q == 0 && divided_q;
    word_o <= 16'(current_q);
    if (!rst_ni) busy_o <= 1'b0;
    else if (start_i) busy_o <= 1'b1;
    else if (cycle_q == 0 && divided_q && 16'(current_q) == words_last_i) busy_o <= 1'b0;
    if (start_i) begin
      cycle_q <= 4'(LastCycle - 1);  // the first word is read meanwhile
      divided_q <= 1'b0;
      index_q <= '0;
    end else begin
      cycle_q <= last_cycle ? '0 : cycle_q + 1'b1;
      if (cycle_q == 0) begin
        divided_q <= 1'b1;
        current_q <= index_q;
      end
      if (cycle_q == 1) index_q <= index_q + 1'b1;
    end
    first_divisor_q <= (Bits'(17'(count_last_i) + 17'd1) << down) << (QuotientBits - 1);
    divisor_q <= cycle_q == 1 ? first_divisor_q : divisor_q >> 1;
  end

  for (genvar c = 0; c < INPUT_LANES; c++) begin : g_channel
    divide_lane #(.BITS(Bits), .QUOTIENT_BITS(QuotientBits)) u_lane (
        .clk_i, .take_i(cycle_q == 0), .load_i(cycle_q == 1), .step_i(!last_cycle), .sum_i(old_q[c]), .up_i(up),
        .shifted_divisor_i(divisor_q), .truncate_i, .min_i, .max_i, .result_o(result_o[c])
    );
  end

  logic unused;
  assign unused = ^result_i;
endmodule
