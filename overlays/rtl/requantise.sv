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
  logic [IN_BITS-1:0] dropped, half;
  logic negative_shift, carry;
  logic [6:0] amount;

  always_comb begin
    negative_shift = shift_i[6];
    amount = negative_shift ? -shift_i : shift_i;
    right = value_i >>> amount;
    dropped = value_i & ~({IN_BITS{1'b1}} << amount);
    half = (IN_BITS'(1) << amount) >> 1;
    carry = !truncate_i && !negative_shift && amount != 0 && (dropped > half || (dropped == half && right[0]));
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
endmodule
