// A signed product with an output register that is to be built of LUTs: the pointwise array takes the DSPs.
module lut_product #(
    parameter int unsigned A_BITS = 9,
    parameter int unsigned B_BITS = 8
) (
    input  logic                              clk_i,
    input  logic signed [A_BITS-1:0]          a_i,
    input  logic signed [B_BITS-1:0]          b_i,
    output logic signed [A_BITS+B_BITS-1:0]   product_o
);
  (* use_dsp = "no" *) logic signed [A_BITS+B_BITS-1:0] product_q;
  always_ff @(posedge clk_i) product_q <= a_i * b_i;
  assign product_o = product_q;
endmodule
