// The start of every proof: reset in the first cycle, and at any later time again; `constant_i` is anything, but always the same.
module first_reset #(
    parameter int unsigned BITS = 1
) (
    input  logic            clk_i,
    input  logic            rst_ni,
    input  logic [BITS-1:0] constant_i
);
  logic later_q = 1'b0;
  logic [BITS-1:0] constant_q;
  always_ff @(posedge clk_i) begin
    later_q <= 1'b1;
    constant_q <= constant_i;
  end
  always_comb begin
    if (!later_q) assume (!rst_ni);
    else assume (constant_i == constant_q);
  end
endmodule
