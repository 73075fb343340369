// 3x3 depthwise convolution with its requantisation: PIXEL_LANES x INPUT_LANES results per cycle, eleven cycles after the window.
// Also how a word is passed on unchanged (one-hot weights): dense 3x3 layers and the linear layer need nothing else.
module depthwise
  import engine_pkg::*;
#(
    parameter int unsigned PIXEL_LANES = 1,
    parameter int unsigned INPUT_LANES = 4,
    parameter bit GARBAGE = 1'b0
) (
    input  logic                                                     clk_i,
    input  logic [2:0][PIXEL_LANES+1:0][INPUT_LANES-1:0][7:0]        window_i,
    input  logic [INPUT_LANES-1:0][95:0]                             weight_i,  // one cycle after: bias (24), nine weights, tap 0 lowest
    input  logic [PIXEL_LANES-1:0]                                   left_i,
    input  logic [PIXEL_LANES-1:0]                                   right_i,
    input  logic [PIXEL_LANES-1:0]                                   above_i,
    input  logic [PIXEL_LANES-1:0]                                   below_i,
    input  logic                                                     unsigned_i,
    input  logic                                                     truncate_i,
    input  logic signed [6:0]                                        shift_i,
    input  logic signed [7:0]                                        min_i,
    input  logic signed [7:0]                                        max_i,
    output logic [PIXEL_LANES-1:0][INPUT_LANES-1:0][7:0]             result_o
);
  depthwise_shift_t shift;
  shift_decode #(.IN_BITS(DepthwiseBits), .OUT_BITS(8), .GARBAGE(GARBAGE)) u_decode (
      .clk_i, .shift_i, .amount_o(shift.amount), .below_o(shift.below), .above_o(shift.above)
  );

  // The biases wait for the products.
  logic [INPUT_LANES-1:0][23:0] bias_q[4];
  always_ff @(posedge clk_i) begin
    for (int unsigned c = 0; c < INPUT_LANES; c++) bias_q[0][c] <= weight_i[c][95:72];
    for (int unsigned i = 1; i < 4; i++) bias_q[i] <= bias_q[i-1];
  end

  for (genvar p = 0; p < PIXEL_LANES; p++) begin : g_pixel
    logic [8:0] in_map;
    assign in_map = {{right_i[p], 1'b1, left_i[p]} & {3{below_i[p]}}, right_i[p], 1'b1, left_i[p],
                     {right_i[p], 1'b1, left_i[p]} & {3{above_i[p]}}};
    for (genvar c = 0; c < INPUT_LANES; c++) begin : g_channel
      logic [8:0][7:0] tap;
      always_comb for (int unsigned t = 0; t < 9; t++) tap[t] = window_i[t/3][p+t%3][c];
      depthwise_lane u_lane (
          .clk_i, .tap_i(tap), .in_map_i(in_map), .weight_i(weight_i[c][71:0]), .bias_i(bias_q[3][c]), .unsigned_i, .truncate_i,
          .shift_i(shift), .min_i, .max_i, .result_o(result_o[p][c])
      );
    end
  end
endmodule
