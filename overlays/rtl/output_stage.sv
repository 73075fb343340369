// Accumulators to map words: bias, requantisation, state update, and the 8-bit copy that the next pass reads.
//
// One output tile arrives at once and leaves INPUT_LANES channels per cycle, in step with the input words of the next tile.
// With stage s of S in flight and slopes k[0..s-1] stored, both the next stage's input and the step's result are
//     Q(z + sum_{j<=s} coefficient[j] * k[j])
// with the row of coefficients that the caller picks; z itself only changes after the last stage.
module output_stage
  import engine_pkg::*;
  import dsodenet_registers_pkg::*;
#(
    parameter int unsigned PIXEL_LANES = 1,
    parameter int unsigned INPUT_LANES = 4,
    parameter int unsigned OUTPUT_LANES = 8,
    parameter int unsigned SUM_BITS = 26,
    parameter bit GARBAGE = 1'b0
) (
    input  logic                                                         clk_i,
    input  logic                                                         rst_ni,
    // the pass in flight, as its parts see it: bias and addresses, first requantisation, state update, 8-bit copy
    input  context_t                                                     head_i,
    input  context_t                                                     out_i,
    input  context_t                                                     update_i,
    input  context_t                                                     write_i,
    // an output tile: its last token in the cycle before the accumulators hold it
    input  logic                                                         valid_i,
    input  token_t                                                       token_i,
    input  logic signed [PIXEL_LANES-1:0][OUTPUT_LANES-1:0][SUM_BITS-1:0] acc_i,
    // bias, state and slope memories, latency two
    output logic                                                         bias_read_o,
    output logic [15:0]                                                  bias_addr_o,
    input  logic signed [INPUT_LANES-1:0][31:0]                          bias_i,
    output logic [15:0]                                                  slope_addr_o,
    output logic [15:0]                                                  state_addr_o,
    input  logic [PIXEL_LANES-1:0][INPUT_LANES-1:0][15:0]                state_i,
    input  logic [PIXEL_LANES-1:0][MAX_STAGES-2:0][INPUT_LANES-1:0][7:0] slope_i,
    // results
    output result_t                                                      logits_result_o,
    output logic [INPUT_LANES-1:0][31:0]                                 logits_o,
    output result_t                                                      coming_result_o,  // result_o two cycles ahead
    output result_t                                                      result_o,
    output logic [PIXEL_LANES-1:0][INPUT_LANES-1:0][7:0]                 slope_o,
    output logic [PIXEL_LANES-1:0][INPUT_LANES-1:0][15:0]                state_o,
    output logic [PIXEL_LANES-1:0][INPUT_LANES-1:0][7:0]                 map_o
);
  localparam int unsigned Latency = 15;
  localparam int unsigned WordShift = OUTPUT_LANES > INPUT_LANES ? INPUT_LANES * SUM_BITS : 0;  // a tile of one word leaves at once

  // ---- one word per cycle
  logic signed [PIXEL_LANES-1:0][OUTPUT_LANES-1:0][SUM_BITS-1:0] tile_q;
  logic [15:0] left_q, bias_row_q;
  logic valid_q;
  result_t head_q, ctl_q[Latency];
  logic [15:0] tile_words_last;
  assign tile_words_last = token_i.tile_last ? head_i.pass.tail_last : head_i.pass.words_last;

  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni && valid_i;
    if (valid_q) tile_q <= acc_i;
    else begin
      for (int unsigned p = 0; p < PIXEL_LANES; p++) tile_q[p] <= tile_q[p] >> WordShift;
    end
    if (valid_i) begin
      left_q <= tile_words_last;
      if (token_i.tile_first) begin
        head_q.word <= '0;
        head_q.addr <= token_i.dst;
        head_q.bank <= token_i.dst_bank;
        head_q.first <= token_i.group_first;
        head_q.lanes <= token_i.lanes;
      end
    end else left_q <= left_q - 1'b1;
    if (head_q.valid && !(valid_i && token_i.tile_first)) begin
      head_q.word <= head_q.word + 1'b1;
      head_q.addr <= head_q.addr + 1'b1;
    end
    if (!rst_ni) head_q.valid <= 1'b0;
    else if (valid_i) head_q.valid <= 1'b1;
    else if (left_q == 0) head_q.valid <= 1'b0;
  end

  always_ff @(posedge clk_i) begin
    ctl_q[0] <= head_q;
    for (int unsigned i = 1; i < Latency; i++) ctl_q[i] <= ctl_q[i-1];
    if (!rst_ni) for (int unsigned i = 0; i < Latency; i++) ctl_q[i].valid <= 1'b0;
  end

  assign bias_read_o = head_q.valid;
  always_ff @(posedge clk_i) bias_row_q <= head_i.pass.bias_base + (head_i.pass.bias_stride != '0 ? head_i.bias_offset : '0);
  assign bias_addr_o = bias_row_q + 16'(head_q.word);
  assign slope_addr_o = ctl_q[2].addr;
  assign state_addr_o = ctl_q[9].addr;
  assign logits_result_o = ctl_q[2];
  assign coming_result_o = ctl_q[Latency-3];
  assign result_o = ctl_q[Latency-1];

  // ---- the row of coefficients, constant during a pass
  logic signed [MAX_STAGES-1:0][17:0] coeff_q;
  logic [1:0] stage_q;
  always_ff @(posedge clk_i) begin
    stage_q <= out_i.stage;
    for (int unsigned j = 0; j < MAX_STAGES; j++) coeff_q[j] <= j <= 32'(out_i.stage) ? out_i.coeff[j] : '0;
  end

  // ---- shifts of the three requantisations
  out_shift_t out_shift;
  update_shift_t update_shift;
  copy_shift_t copy_shift;
  shift_decode #(.IN_BITS(AccBits), .OUT_BITS(16), .GARBAGE(GARBAGE)) u_out_shift (
      .clk_i, .shift_i(out_i.pass.out_shift[6:0]), .amount_o(out_shift.amount), .below_o(out_shift.below), .above_o(out_shift.above)
  );
  shift_decode #(.IN_BITS(UpdateBits), .OUT_BITS(16), .GARBAGE(GARBAGE)) u_update_shift (
      .clk_i, .shift_i(update_i.pass.update_shift[6:0]), .amount_o(update_shift.amount), .below_o(update_shift.below),
      .above_o(update_shift.above)
  );
  shift_decode #(.IN_BITS(16), .OUT_BITS(8), .GARBAGE(GARBAGE)) u_copy_shift (
      .clk_i, .shift_i(update_i.last_evaluation ? update_i.pass.x_shift_last[6:0] : update_i.pass.x_shift[6:0]),
      .amount_o(copy_shift.amount), .below_o(copy_shift.below), .above_o(copy_shift.above)
  );

  for (genvar p = 0; p < PIXEL_LANES; p++) begin : g_pixel
    for (genvar c = 0; c < INPUT_LANES; c++) begin : g_channel
      logic [MAX_STAGES-2:0][7:0] slope;
      logic [31:0] sum;
      always_comb for (int unsigned j = 0; j + 1 < MAX_STAGES; j++) slope[j] = slope_i[p][j][c];
      output_lane #(.SUM_BITS(SUM_BITS)) u_lane (
          .clk_i, .out_i(out_i.pass), .update_i(update_i.pass), .write_i(write_i.pass), .out_shift_i(out_shift),
          .update_shift_i(update_shift), .copy_shift_i(copy_shift), .stage_i(stage_q),
          .coeff_i(coeff_q), .acc_i(tile_q[p][c]), .bias_i(bias_i[c]),
          .state_i(state_i[p][c]), .slope_i(slope), .sum_o(sum), .slope_o(slope_o[p][c]), .state_o(state_o[p][c]),
          .map_o(map_o[p][c])
      );
      if (p == 0) begin : g_logits
        assign logits_o[c] = sum;
      end else begin : g_no_logits
        logic unused_sum;
        assign unused_sum = ^sum;
      end
    end
  end

  logic unused;
  assign unused = ^{token_i, head_i, out_i, update_i, write_i};
endmodule
