// One channel of two pixels that lie beside each other: what two depthwise_lane do, with their products in DSPs, which share the
// weight. Eleven cycles.
//
// Three cascades of three products each: a product is at most 255 * 128 in size, so three of them take 18 bits. The constant 2**17 at
// the start makes the low half an unsigned number, so that nothing is borrowed from the high one.
module depthwise_pair
  import engine_pkg::*;
#(
    parameter bit INSTANCES = 1'b0
) (
    input  logic                    clk_i,
    input  logic [1:0][8:0][7:0]    tap_i,
    input  logic [1:0][8:0]         in_map_i,
    input  logic [8:0][7:0]         weight_i,    // tap t: 1 + t % 3 cycles after the taps
    input  logic signed [23:0]      bias_i,      // six cycles after the taps
    input  logic                    unsigned_i,
    input  logic                    truncate_i,
    input  depthwise_shift_t        shift_i,
    input  logic signed [7:0]       min_i,
    input  logic signed [7:0]       max_i,
    output logic [1:0][7:0]         result_o
);
  // ---- products of a row of the window; a tap outside the map is zero
  logic signed [47:0] sum[3];
  for (genvar r = 0; r < 3; r++) begin : g_row
    logic signed [47:0] cascade[4], place[3];
    assign cascade[0] = 48'sd131072;
    for (genvar q = 0; q < 3; q++) begin : g_place
      logic signed [1:0][8:0] tap[q+1];
      always_comb begin
        for (int unsigned p = 0; p < 2; p++) begin
          tap[0][p] = in_map_i[p][3*r+q] ? {tap_i[p][3*r+q][7] & !unsigned_i, tap_i[p][3*r+q]} : '0;
        end
      end
      for (genvar n = 1; n <= q; n++) begin : g_wait
        always_ff @(posedge clk_i) tap[n] <= tap[n-1];
      end
      packed_mac #(
          .INSTANCE(INSTANCES), .FIRST(q == 0), .HOLD(1'b1), .BITS(9)
      ) u_mac (
          .clk_i, .take_i(1'b1), .load_i(1'b1), .high_i(tap[q][1]), .low_i(tap[q][0]), .factor_i(weight_i[3*r+q]),
          .addend_i(cascade[q]), .sum_o(place[q]), .cascade_o(cascade[q+1])
      );
    end
    assign sum[r] = place[2];
    logic unused;
    assign unused = ^{cascade[3], place[0], place[1], sum[r][47:36]};
  end

  // ---- their sums
  for (genvar p = 0; p < 2; p++) begin : g_pixel
    logic signed [17:0] row[3];
    logic signed [18:0] two_q;
    logic signed [24:0] rest_q;
    logic signed [25:0] sum_q, sum_qq;
    for (genvar r = 0; r < 3; r++) begin : g_half
      if (p == 0) begin : g_low
        assign row[r] = {!sum[r][17], sum[r][16:0]};
      end else begin : g_high
        assign row[r] = sum[r][35:18];
      end
    end
    always_ff @(posedge clk_i) begin
      two_q <= 19'(row[0]) + 19'(row[1]);
      rest_q <= 25'(row[2]) + 25'(bias_i);
      sum_q <= 26'(two_q) + 26'(rest_q);
      sum_qq <= sum_q;
    end
    requantise #(.IN_BITS(DepthwiseBits), .OUT_BITS(8)) u_requantise (
        .clk_i, .truncate_i, .amount_i(shift_i.amount), .below_i(shift_i.below), .above_i(shift_i.above), .min_i, .max_i,
        .value_i(sum_qq), .addend_i('0), .value_o(result_o[p])
    );
  end
endmodule
