// One channel of one pixel: nine products, bias, requantisation; five cycles.
module depthwise_lane (
    input  logic              clk_i,
    input  logic [8:0][7:0]   tap_i,
    input  logic [8:0]        in_map_i,
    input  logic [95:0]       weight_i,  // bias (24), nine weights of 8 bits, tap 0 lowest
    input  logic              unsigned_i,
    input  logic              truncate_i,
    input  logic signed [6:0] shift_i,
    input  logic signed [7:0] min_i,
    input  logic signed [7:0] max_i,
    output logic [7:0]        result_o
);
  logic signed [16:0] product_q[9];
  logic signed [18:0] row_q[3];
  logic signed [23:0] bias_q, bias_qq;
  logic signed [25:0] sum_q;

  for (genvar t = 0; t < 9; t++) begin : g_tap
    logic signed [8:0] tap;
    assign tap = in_map_i[t] ? {tap_i[t][7] & !unsigned_i, tap_i[t]} : '0;
    lut_product #(.A_BITS(9), .B_BITS(8)) u_product (
        .clk_i, .a_i(tap), .b_i(weight_i[8*t+:8]), .product_o(product_q[t])
    );
  end

  always_ff @(posedge clk_i) begin
    bias_q <= weight_i[95:72];
    bias_qq <= bias_q;
    for (int unsigned r = 0; r < 3; r++) row_q[r] <= 19'(product_q[3*r]) + 19'(product_q[3*r+1]) + 19'(product_q[3*r+2]);
    sum_q <= 26'(row_q[0]) + 26'(row_q[1]) + 26'(row_q[2]) + 26'(bias_qq);
  end

  requantise #(.IN_BITS(26), .OUT_BITS(8)) u_requantise (
      .clk_i, .truncate_i, .shift_i, .min_i, .max_i, .value_i(sum_q), .value_o(result_o)
  );
endmodule
