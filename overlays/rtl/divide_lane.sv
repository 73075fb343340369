// One channel of the average: the quotient of magnitudes bit by bit, its rounding and saturation.
module divide_lane #(
    parameter int unsigned BITS = 48,
    parameter int unsigned QUOTIENT_BITS = 9
) (
    input  logic              clk_i,
    input  logic              load_i,
    input  logic              step_i,
    input  logic [31:0]       sum_i,              // signed
    input  logic [4:0]        up_i,               // exact left shift of the sum
    input  logic [BITS-1:0]   divisor_i,
    input  logic [BITS-1:0]   shifted_divisor_i,  // divisor << bits still to come
    input  logic              truncate_i,
    input  logic signed [7:0] min_i,
    input  logic signed [7:0] max_i,
    output logic [7:0]        result_o            // after the last step
);
  localparam int unsigned ResultBits = QUOTIENT_BITS + 2;
  logic [BITS-1:0] rest_q;
  logic [31:0] magnitude;
  logic [QUOTIENT_BITS-1:0] quotient_q;
  logic negative_q, fits, carry;
  logic signed [ResultBits-1:0] rounded, value;

  assign magnitude = sum_i[31] ? -sum_i : sum_i;
  assign fits = rest_q >= shifted_divisor_i;
  always_ff @(posedge clk_i) begin
    if (load_i) begin
      rest_q <= BITS'(magnitude) << up_i;
      negative_q <= sum_i[31];
      quotient_q <= '0;
    end else if (step_i) begin
      if (fits) rest_q <= rest_q - shifted_divisor_i;
      quotient_q <= {quotient_q[QUOTIENT_BITS-2:0], fits};
    end
  end
  always_comb begin
    if (truncate_i) carry = negative_q && rest_q != 0;
    else carry = {rest_q, 1'b0} > {1'b0, divisor_i} || ({rest_q, 1'b0} == {1'b0, divisor_i} && quotient_q[0]);
    rounded = ResultBits'(quotient_q) + ResultBits'(carry);
    value = negative_q ? -rounded : rounded;
    if (value > ResultBits'(max_i)) result_o = max_i;
    else if (value < ResultBits'(min_i)) result_o = min_i;
    else result_o = value[7:0];
  end
endmodule
