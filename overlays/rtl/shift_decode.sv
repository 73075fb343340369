// What a shift means to every requantise of a pass: how far to shift, which bits are lost below, and which above have to equal the sign.
module shift_decode #(
    parameter int unsigned IN_BITS = 32,
    parameter int unsigned OUT_BITS = 16,
    parameter bit GARBAGE = 1'b0,
    localparam int unsigned AmountBits = $clog2(IN_BITS + OUT_BITS + 2)
) (
    input  logic                  clk_i,
    input  logic signed [6:0]     shift_i,   // to the right
    output logic [AmountBits-1:0] amount_o,  // from OUT_BITS + 1 to the left
    output logic [IN_BITS-1:0]    below_o,
    output logic [IN_BITS-1:0]    above_o
);
  // Past these ends a longer shift gives the same: every value but zero saturates, or none is left to round.
  localparam logic signed [6:0] MaxRight = 7'(IN_BITS);
  localparam logic signed [6:0] MaxLeft = 7'(OUT_BITS + 1);
  logic signed [6:0] shift;
  logic [6:0] amount;
  always_comb begin
    shift = shift_i;
    if (shift_i > MaxRight) shift = MaxRight;
    if (shift_i < -MaxLeft) shift = -MaxLeft;
    amount = shift + MaxLeft;
  end
  typedef struct packed {logic [AmountBits-1:0] amount; logic [IN_BITS-1:0] below, above;} decoded_t;
  decoded_t decoded_q;
  always_ff @(posedge clk_i) begin
    decoded_q.amount <= amount[AmountBits-1:0];
    for (int b = 0; b < int'(IN_BITS); b++) begin
      decoded_q.below[b] <= b + 1 < 32'(shift);                 // the half itself is not below
      decoded_q.above[b] <= b >= 32'(shift) + int'(OUT_BITS) + 1;  // the sign of the window and what is over it
    end
  end

  settled #(
      .value_t(decoded_t), .GARBAGE(GARBAGE)
  ) u_settled (
      .clk_i, .value_i(decoded_q), .value_o({amount_o, below_o, above_o})
  );

  logic unused;
  assign unused = ^amount;
endmodule
