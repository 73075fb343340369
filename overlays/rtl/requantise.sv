// Q(value / 2**shift + addend): round half to even (or down), then saturate. Two cycles; the addend comes one cycle after the value.
//
// Saturation is that of a binary format: max_i is 2**n - 1, min_i is 0 or -2**n. What depends on the shift alone is prepared once for all
// lanes by shift_decode.
module requantise #(
    parameter int unsigned IN_BITS = 32,
    parameter int unsigned OUT_BITS = 16,
    localparam int unsigned AmountBits = $clog2(IN_BITS + OUT_BITS + 2)
) (
    input  logic                       clk_i,
    input  logic                       truncate_i,
    input  logic [AmountBits-1:0]      amount_i,
    input  logic [IN_BITS-1:0]         below_i,
    input  logic [IN_BITS-1:0]         above_i,
    input  logic signed [OUT_BITS-1:0] min_i,
    input  logic signed [OUT_BITS-1:0] max_i,
    input  logic signed [IN_BITS-1:0]  value_i,
    input  logic signed [OUT_BITS-1:0] addend_i,
    output logic signed [OUT_BITS-1:0] value_o
);
  // Two bits over the output: what does not fit saturates with any addend.
  localparam int unsigned WindowBits = OUT_BITS + 2;
  localparam int unsigned Left = OUT_BITS + 1;
  localparam int unsigned Wide = IN_BITS + Left + 1;

  // ---- the bits of the result, one more for the half, and whether bits are set below or lost above
  logic signed [Wide-1:0] shifted;
  always_comb begin
    shifted = {value_i, (Left + 1)'(0)};
    for (int l = AmountBits - 1; l >= 0; l--) if (amount_i[l]) shifted = shifted >>> (1 << l);
  end

  logic signed [WindowBits-1:0] window_q;
  logic half_q, below_q, over_q, negative_q;
  always_ff @(posedge clk_i) begin
    {window_q, half_q} <= shifted[WindowBits:0];
    below_q <= |(value_i & below_i);
    over_q <= |((value_i ^ {IN_BITS{value_i[IN_BITS-1]}}) & above_i);
    negative_q <= value_i[IN_BITS-1];
  end

  // ---- rounding and saturation
  logic carry, negative, outside, unused_carry;
  logic signed [WindowBits:0] rounded;
  always_comb begin
    carry = !truncate_i && half_q && (below_q || window_q[0] != addend_i[0]);
    {rounded, unused_carry} = {(WindowBits + 1)'(window_q), 1'b1} + {(WindowBits + 1)'(addend_i), carry};
    negative = over_q ? negative_q : rounded[WindowBits];
    outside = over_q || (negative && !min_i[OUT_BITS-1])
              || |((rounded ^ {WindowBits + 1{negative}}) & ~(WindowBits + 1)'(max_i));
  end
  always_ff @(posedge clk_i) value_o <= !outside ? rounded[OUT_BITS-1:0] : negative ? min_i : max_i;

  logic unused;
  assign unused = ^shifted;
endmodule
