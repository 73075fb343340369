// One channel of the average: the quotient of magnitudes bit by bit, its rounding and saturation. The last bit is worth a half.
//
// Cycle by cycle: the magnitude, its shift, a bit of the quotient each, rounding, sign and saturation.
module divide_lane #(
    parameter int unsigned BITS = 48,
    parameter int unsigned QUOTIENT_BITS = 10
) (
    input  logic              clk_i,
    input  logic              take_i,             // the sum
    input  logic              load_i,             // its magnitude, a cycle later
    input  logic              step_i,             // from the cycle after that, QUOTIENT_BITS times; then the result rounds
    input  logic [31:0]       sum_i,              // signed
    input  logic [4:0]        up_i,               // exact left shift of twice the sum
    input  logic [BITS-1:0]   shifted_divisor_i,  // divisor << bits still to come
    input  logic              truncate_i,
    input  logic signed [7:0] min_i,
    input  logic signed [7:0] max_i,
    output logic [7:0]        result_o            // two cycles after the last step
);
  localparam int unsigned ResultBits = QUOTIENT_BITS + 1;
  logic [31:0] magnitude_q;
  logic [BITS-1:0] rest_q;
  logic [BITS:0] difference;
  logic [QUOTIENT_BITS-1:0] quotient_q;
  logic negative_q, fits, half, carry;
  logic signed [ResultBits-1:0] rounded_q, value;

  assign difference = {1'b0, rest_q} - {1'b0, shifted_divisor_i};
  assign fits = !difference[BITS];
  always_comb begin
    half = quotient_q[0];
    if (truncate_i) carry = negative_q && (half || rest_q != 0);
    else carry = half && (rest_q != 0 || quotient_q[1]);
    value = negative_q ? -rounded_q : rounded_q;
  end
  always_ff @(posedge clk_i) begin
    if (take_i) begin
      magnitude_q <= sum_i[31] ? -sum_i : sum_i;
      negative_q <= sum_i[31];
    end
    if (load_i) rest_q <= BITS'({magnitude_q, 1'b0}) << up_i;
    else if (step_i) begin
      if (fits) rest_q <= difference[BITS-1:0];
      quotient_q <= {quotient_q[QUOTIENT_BITS-2:0], fits};
    end
    rounded_q <= ResultBits'(quotient_q[QUOTIENT_BITS-1:1]) + ResultBits'(carry);
    if (value > ResultBits'(max_i)) result_o <= max_i;
    else if (value < ResultBits'(min_i)) result_o <= min_i;
    else result_o <= value[7:0];
  end
endmodule
