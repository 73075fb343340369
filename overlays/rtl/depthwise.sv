// 3x3 depthwise convolution with its requantisation: PIXEL_LANES x INPUT_LANES results per cycle, five cycles after the window.
// Also how a word is passed on unchanged (one-hot weights): dense 3x3 layers and the linear layer need nothing else.
module depthwise #(
    parameter int unsigned PIXEL_LANES = 1,
    parameter int unsigned INPUT_LANES = 4
) (
    input  logic                                                     clk_i,
    input  logic [2:0][PIXEL_LANES+1:0][INPUT_LANES-1:0][7:0]        window_i,
    input  logic [INPUT_LANES-1:0][95:0]                             weight_i,  // bias (24), nine weights of 8 bits, tap 0 lowest
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
  logic signed [23:0] bias_q[INPUT_LANES], bias_qq[INPUT_LANES];
  always_ff @(posedge clk_i) begin
    for (int unsigned c = 0; c < INPUT_LANES; c++) bias_q[c] <= weight_i[c][95:72];
    bias_qq <= bias_q;
  end

  for (genvar p = 0; p < PIXEL_LANES; p++) begin : g_pixel
    logic [8:0] in_map;
    assign in_map = {{right_i[p], 1'b1, left_i[p]} & {3{below_i[p]}}, right_i[p], 1'b1, left_i[p],
                     {right_i[p], 1'b1, left_i[p]} & {3{above_i[p]}}};

    for (genvar c = 0; c < INPUT_LANES; c++) begin : g_channel
      logic signed [16:0] product_q[9];
      logic signed [18:0] row_q[3];
      logic signed [25:0] sum_q;
      always_ff @(posedge clk_i) begin
        for (int unsigned t = 0; t < 9; t++) begin
          logic signed [8:0] tap;
          tap = {window_i[t/3][p+t%3][c][7] & !unsigned_i, window_i[t/3][p+t%3][c]};
          if (!in_map[t]) tap = '0;
          product_q[t] <= tap * $signed(weight_i[c][8*t+:8]);
        end
        for (int unsigned r = 0; r < 3; r++) row_q[r] <= 19'(product_q[3*r]) + 19'(product_q[3*r+1]) + 19'(product_q[3*r+2]);
        sum_q <= 26'(row_q[0]) + 26'(row_q[1]) + 26'(row_q[2]) + 26'(bias_qq[c]);
      end
      requantise #(.IN_BITS(32), .OUT_BITS(8)) u_requantise (
          .clk_i, .truncate_i, .shift_i, .min_i, .max_i, .value_i(32'(sum_q)), .value_o(result_o[p][c])
      );
    end
  end
endmodule
