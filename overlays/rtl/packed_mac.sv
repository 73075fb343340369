// Two products that share an activation, added to those of the cascade before it: by construction one DSP48E2.
//
//     sum_o = addend_i + ((high_i << 18) + low_i) * act_i
//
// The weights meet in the pre-adder (27 bits), the multiplier takes 27 x 18 bits, and the sum is the 48-bit P of the slice: addend_i
// is the PCIN of its neighbour. Written as the synthesis guide of the tools asks for it, so that they infer the cascade. Three cycles from
// weights and activation, one from the addend.
module packed_mac (
    input  logic               clk_i,
    input  logic signed [7:0]  high_i,
    input  logic signed [7:0]  low_i,
    input  logic signed [7:0]  act_i,
    input  logic signed [47:0] addend_i,
    output logic signed [47:0] sum_o
);
  logic signed [26:0] packed_q;
  logic signed [17:0] act_q;
  (* use_dsp = "yes" *) logic signed [44:0] product_q;
  always_ff @(posedge clk_i) begin
    packed_q <= (27'(high_i) <<< 18) + 27'(low_i);
    act_q <= 18'(act_i);
    product_q <= packed_q * act_q;
    sum_o <= addend_i + 48'(product_q);
  end
endmodule
