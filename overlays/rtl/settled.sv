// The value of registers that the constraints give two cycles to settle (dsodenet_engine.xdc).
//
// With GARBAGE, for simulation only, a new value is wrong for its first cycle. An engine that is right all the same does
// not look at it so early.
module settled #(
    parameter type value_t = logic,
    parameter bit GARBAGE = 1'b0
) (
    input  logic   clk_i,
    input  value_t value_i,
    output value_t value_o
);
  if (GARBAGE) begin : g_garbage
    value_t before_q;
    always_ff @(posedge clk_i) before_q <= value_i;
    assign value_o = value_i == before_q ? value_i : value_t'(~value_i);
  end else begin : g_plain
    assign value_o = value_i;
    logic unused;
    assign unused = clk_i;
  end
endmodule
