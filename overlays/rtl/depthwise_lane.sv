// One channel of one pixel: nine products, bias, requantisation; eleven cycles.
module depthwise_lane
  import engine_pkg::*;
(
    input  logic               clk_i,
    input  logic [8:0][7:0]    tap_i,
    input  logic [8:0]         in_map_i,
    input  logic [8:0][7:0]    weight_i,  // one cycle after the taps
    input  logic signed [23:0] bias_i,    // five cycles after the taps
    input  logic               unsigned_i,
    input  logic               truncate_i,
    input  depthwise_shift_t   shift_i,
    input  logic signed [7:0]  min_i,
    input  logic signed [7:0]  max_i,
    output logic [7:0]         result_o
);
  // ---- products; a tap outside the map is zero
  logic signed [8:0] tap_q[9];
  logic signed [16:0] product[9];
  for (genvar t = 0; t < 9; t++) begin : g_tap
    always_ff @(posedge clk_i) begin
      if (!in_map_i[t]) tap_q[t] <= '0;
      else tap_q[t] <= {tap_i[t][7] & !unsigned_i, tap_i[t]};
    end
    lut_product #(.A_BITS(9), .B_BITS(8)) u_product (
        .clk_i, .a_i(tap_q[t]), .b_i(weight_i[t]), .product_o(product[t])
    );
  end

  // ---- their sum, two operands at a time
  logic signed [17:0] two_q[4];
  logic signed [18:0] four_q[2];
  logic signed [19:0] eight_q;
  logic signed [24:0] rest_q, rest_qq, rest_qqq;
  logic signed [25:0] sum_q;
  always_ff @(posedge clk_i) begin
    for (int unsigned i = 0; i < 4; i++) two_q[i] <= 18'(product[2*i]) + 18'(product[2*i+1]);
    for (int unsigned i = 0; i < 2; i++) four_q[i] <= 19'(two_q[2*i]) + 19'(two_q[2*i+1]);
    eight_q <= 20'(four_q[0]) + 20'(four_q[1]);
    rest_q <= 25'(product[8]) + 25'(bias_i);
    rest_qq <= rest_q;
    rest_qqq <= rest_qq;
    sum_q <= 26'(eight_q) + 26'(rest_qqq);
  end

  requantise #(.IN_BITS(DepthwiseBits), .OUT_BITS(8)) u_requantise (
      .clk_i, .truncate_i, .amount_i(shift_i.amount), .below_i(shift_i.below), .above_i(shift_i.above), .min_i, .max_i,
      .value_i(sum_q), .addend_i('0), .value_o(result_o)
  );
endmodule
