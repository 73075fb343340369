// Q(value / 2**shift): round half to even (or down), then saturate. Two cycles. A negative shift multiplies exactly.
// The legal shifts are -15 .. IN_BITS-1; program.py refuses others.
module requantise #(
    parameter int unsigned IN_BITS = 32,
    parameter int unsigned OUT_BITS = 16
) (
    input  logic                       clk_i,
    input  logic                       truncate_i,
    input  logic signed [6:0]          shift_i,
    input  logic signed [OUT_BITS-1:0] min_i,
    input  logic signed [OUT_BITS-1:0] max_i,
    input  logic signed [IN_BITS-1:0]  value_i,
    output logic signed [OUT_BITS-1:0] value_o
);
  // Before a left shift the value is clipped to one bit over the output, which changes no saturated result.
  localparam int unsigned ClipBits = OUT_BITS + 1;
  localparam logic signed [IN_BITS-1:0] ClipMax = (IN_BITS'(1) << (ClipBits - 1)) - 1;
  localparam logic signed [IN_BITS-1:0] ClipMin = -ClipMax;

  logic signed [IN_BITS-1:0] clipped, right, left;
  logic [IN_BITS-1:0] ones, below_half;
  logic negative_shift, half, carry;
  logic [6:0] amount;

  always_comb begin
    negative_shift = shift_i[6];
    amount = negative_shift ? -shift_i : shift_i;
    {right, half} = $signed({value_i, 1'b0}) >>> amount;
    ones = {IN_BITS{1'b1}} << amount;
    below_half = value_i & {1'b0, ~ones[IN_BITS-1:1]};
    carry = !truncate_i && !negative_shift && half && (|below_half || right[0]);
    clipped = value_i > ClipMax ? ClipMax : value_i < ClipMin ? ClipMin : value_i;
    left = clipped <<< amount[3:0];
  end

  logic signed [IN_BITS-1:0] shifted_q, rounded;
  logic carry_q;
  always_ff @(posedge clk_i) begin
    shifted_q <= negative_shift ? left : right;
    carry_q <= carry;
  end

  always_comb rounded = shifted_q + IN_BITS'(carry_q);
  logic signed [OUT_BITS-1:0] saturated;
  always_comb begin
    if (rounded > IN_BITS'(max_i)) saturated = max_i[OUT_BITS-1:0];
    else if (rounded < IN_BITS'(min_i)) saturated = min_i[OUT_BITS-1:0];
    else saturated = rounded[OUT_BITS-1:0];
  end
  always_ff @(posedge clk_i) value_o <= saturated;

  logic unused;
  assign unused = ones[0];
endmodule
