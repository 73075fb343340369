// 3x3 depthwise convolution with its requantisation: PIXEL_LANES x INPUT_LANES results per cycle, eleven cycles after the window.
// Also how a word is passed on unchanged (one-hot weights): dense 3x3 layers and the linear layer need nothing else.
// A double-pumped array leaves DSPs for the products of two pixels each; else they are made of LUTs.
module depthwise
  import engine_pkg::*;
#(
    parameter int unsigned PIXEL_LANES = 1,
    parameter int unsigned INPUT_LANES = 4,
    parameter bit DSP_PRODUCTS = 1'b0,  // for an even number of pixel lanes
    parameter bit INSTANCES = 1'b0,
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
  localparam int unsigned BiasCycles = DSP_PRODUCTS ? 5 : 4;
  logic [INPUT_LANES-1:0][23:0] bias_q[BiasCycles];
  always_ff @(posedge clk_i) begin
    for (int unsigned c = 0; c < INPUT_LANES; c++) bias_q[0][c] <= weight_i[c][95:72];
    for (int unsigned i = 1; i < BiasCycles; i++) bias_q[i] <= bias_q[i-1];
  end

  logic [PIXEL_LANES-1:0][8:0] in_map;
  logic [PIXEL_LANES-1:0][INPUT_LANES-1:0][8:0][7:0] tap;
  always_comb begin
    for (int unsigned p = 0; p < PIXEL_LANES; p++) begin
      in_map[p] = {{right_i[p], 1'b1, left_i[p]} & {3{below_i[p]}}, right_i[p], 1'b1, left_i[p],
                   {right_i[p], 1'b1, left_i[p]} & {3{above_i[p]}}};
      for (int unsigned c = 0; c < INPUT_LANES; c++) begin
        for (int unsigned t = 0; t < 9; t++) tap[p][c][t] = window_i[t/3][p+t%3][c];
      end
    end
  end

  for (genvar c = 0; c < INPUT_LANES; c++) begin : g_channel
    if (DSP_PRODUCTS) begin : g_dsp
      logic [8:0][7:0] weight;  // a place of a cascade takes its weight a cycle after the place before it
      logic [8:0][7:0] weight_q, weight_qq;
      always_ff @(posedge clk_i) {weight_qq, weight_q} <= {weight_q, weight_i[c][71:0]};
      always_comb for (int unsigned t = 0; t < 9; t++) weight[t] = t % 3 == 0 ? weight_i[c][8*t+:8] : t % 3 == 1 ? weight_q[t] : weight_qq[t];
      for (genvar p = 0; p < PIXEL_LANES; p += 2) begin : g_pair
        logic [1:0][7:0] result;
        depthwise_pair #(.INSTANCES(INSTANCES)) u_pair (
            .clk_i, .tap_i({tap[p+1][c], tap[p][c]}), .in_map_i(in_map[p+:2]), .weight_i(weight), .bias_i(bias_q[BiasCycles-1][c]),
            .unsigned_i, .truncate_i, .shift_i(shift), .min_i, .max_i, .result_o(result)
        );
        assign {result_o[p+1][c], result_o[p][c]} = result;
      end
    end else begin : g_lut
      for (genvar p = 0; p < PIXEL_LANES; p++) begin : g_pixel
        depthwise_lane u_lane (
            .clk_i, .tap_i(tap[p][c]), .in_map_i(in_map[p]), .weight_i(weight_i[c][71:0]), .bias_i(bias_q[BiasCycles-1][c]), .unsigned_i,
            .truncate_i, .shift_i(shift), .min_i, .max_i, .result_o(result_o[p][c])
        );
      end
    end
  end
endmodule
