// The array on one clock and the double-pumped one give the same sums in the same cycle of the fabric's clock.
//
// Both see the same activations and weights, each weight in the cycle in which its array wants it. Nothing but the inputs of the last
// cycles is in the sums, and the first state is any state; so what holds once the arrays are full holds at any time. Operands are of
// BITS bits: both multiply by the same packed_mac, and what is in question is only which operands meet.
module pointwise_proof
  import engine_pkg::*;
#(
    parameter int unsigned LENGTH = 2,  // of the cascades: one of two outputs for two pixels
    parameter int unsigned BITS = 2
) (
    input logic                             step_i,  // of time; the clocks are made of it
    input logic [1:0][LENGTH-1:0][BITS-1:0] data_i,
    input logic [LENGTH-1:0][1:0][BITS-1:0] weight_i
);
  localparam int unsigned Full = LENGTH + 8;  // cycles until nothing of the first state is left

  // Two edges of the fast clock for one of the slow one, each of which it shares.
  logic [1:0] phase = '0;
  logic fast, slow;
  always_ff @(posedge step_i) phase <= phase + 1'b1;
  assign fast = phase[0];
  assign slow = ^phase;

  logic [1:0][LENGTH-1:0][7:0] data_q;
  logic [LENGTH-1:0][0:0][1:0][7:0] weight_q[LENGTH+1];
  logic [5:0] age_q = '0;
  always_ff @(posedge slow) begin
    for (int unsigned i = 0; i < LENGTH; i++) begin
      for (int unsigned k = 0; k < 2; k++) begin
        data_q[k][i] <= 8'($signed(data_i[k][i]));
        weight_q[0][i][0][k] <= 8'($signed(weight_i[i][k]));
      end
    end
    for (int unsigned n = 1; n <= LENGTH; n++) weight_q[n] <= weight_q[n-1];
    if (age_q != '1) age_q <= age_q + 1'b1;
  end

  logic signed [1:0][1:0][1:0][25:0] acc;  // array, pixel, output
  for (genvar k = 0; k < 2; k++) begin : g_array
    logic [LENGTH-1:0][0:0][1:0][7:0] weight;
    always_comb for (int unsigned q = 0; q < LENGTH; q++) weight[q] = weight_q[weight_wait(q, LENGTH, k == 1)][q];
    pointwise #(
        .PIXEL_LANES(2), .INPUT_LANES(LENGTH), .OUTPUT_LANES(2), .MAX_INPUTS(2), .DOUBLE_PUMPED(k == 1)
    ) u_pointwise (
        .clk_i(slow), .clk2_i(fast), .valid_i(1'b1), .fresh_i(1'b1), .index_i('0), .data_i(data_q), .weight_i(weight),
        .sum_valid_i(1'b1), .sum_first_i(1'b1), .acc_o(acc[k])
    );
  end

  logic full, different;
  assign full = 32'(age_q) > Full;
  assign different = acc[0][0][0] != acc[0][0][1] && acc[0][0][0] != acc[0][1][0] && acc[0][1][1] != 0;
  always_comb if (full) assert (acc[1] == acc[0]);
  always_comb cover (full && different);
endmodule
