// Two products that share a factor, added to those of the cascade before it: one DSP48E2.
//
//     sum_o = addend_i + ((high_i << 18) + low_i) * factor_i
//
// The others meet in the pre-adder (27 bits), the multiplier takes 27 x 18 bits, and the sum is the 48-bit P of the slice. The
// addend of the first place of a cascade is a constant (C), that of the others comes from their neighbour (PCIN). Three cycles from
// the factors, one from the addend. With INSTANCE the slice is named; else the same is written as behaviour.
//
// With HOLD the two have registers of their own in front of the pre-adder's (A, D): take_i lets them in, load_i lets them on. So they
// may come of a slower clock and stay for several factors.
module packed_mac #(
    parameter bit INSTANCE = 1'b0,
    parameter bit FIRST = 1'b0,  // of a cascade
    parameter bit HOLD = 1'b0,
    parameter int unsigned BITS = 8  // of high and low, at most 9
) (
    input  logic                   clk_i,
    input  logic                   take_i,
    input  logic                   load_i,
    input  logic signed [BITS-1:0] high_i,
    input  logic signed [BITS-1:0] low_i,
    input  logic signed [7:0]      factor_i,
    input  logic signed [47:0]     addend_i,  // FIRST: to C; else from cascade_o of the place before
    output logic signed [47:0]     sum_o,
    output logic signed [47:0]     cascade_o  // the same, on the slice's own wires
);
  if (INSTANCE) begin : g_slice
    // OPMODE: W 0, Z is C or PCIN, X and Y the product. INMODE: D + A into the multiplier. No other registers than AD, B, M, P, and A2
    // and D with HOLD.
    DSP48E2 #(
        .AMULTSEL("AD"), .BMULTSEL("B"), .PREADDINSEL("A"), .USE_MULT("MULTIPLY"), .USE_SIMD("ONE48"),
        .AREG(32'(HOLD)), .ACASCREG(32'(HOLD)), .DREG(32'(HOLD)), .ADREG(1), .BREG(1), .BCASCREG(1), .CREG(0), .MREG(1), .PREG(1), .ALUMODEREG(0),
        .CARRYINREG(0), .CARRYINSELREG(0), .INMODEREG(0), .OPMODEREG(0)
    ) u_slice (
        .CLK(clk_i), .A(30'(high_i) <<< 18), .B(18'(factor_i)), .C(FIRST ? addend_i : '0),
        .D(27'(low_i)), .PCIN(FIRST ? '0 : addend_i), .P(sum_o), .PCOUT(cascade_o),
        .ALUMODE(4'b0000), .INMODE(5'b00100), .OPMODE(FIRST ? 9'b00_011_01_01 : 9'b00_001_01_01), .CARRYINSEL(3'b000),
        .ACIN('0), .BCIN('0), .CARRYCASCIN(1'b0), .CARRYIN(1'b0), .MULTSIGNIN(1'b0),
        .CEA1(1'b0), .CEA2(HOLD && take_i), .CEAD(!HOLD || load_i), .CEALUMODE(1'b0), .CEB1(1'b0), .CEB2(1'b1), .CEC(1'b0), .CECARRYIN(1'b0),
        .CECTRL(1'b0), .CED(HOLD && take_i), .CEINMODE(1'b0), .CEM(1'b1), .CEP(1'b1),
        .RSTA(1'b0), .RSTALLCARRYIN(1'b0), .RSTALUMODE(1'b0), .RSTB(1'b0), .RSTC(1'b0), .RSTCTRL(1'b0), .RSTD(1'b0),
        .RSTINMODE(1'b0), .RSTM(1'b0), .RSTP(1'b0)
    );
  end else begin : g_behaviour
    logic signed [BITS-1:0] high, low;
    if (HOLD) begin : g_hold
      logic signed [BITS-1:0] high_q, low_q;
      always_ff @(posedge clk_i) if (take_i) {high_q, low_q} <= {high_i, low_i};
      assign {high, low} = {high_q, low_q};
    end else begin : g_direct
      assign {high, low} = {high_i, low_i};
      logic unused;
      assign unused = take_i ^ load_i;
    end
    logic signed [26:0] packed_q;
    logic signed [17:0] factor_q;
    (* use_dsp = "yes" *) logic signed [44:0] product_q;
    always_ff @(posedge clk_i) begin
      if (!HOLD || load_i) packed_q <= (27'(high) <<< 18) + 27'(low);
      factor_q <= 18'(factor_i);
      product_q <= packed_q * factor_q;
      sum_o <= addend_i + 48'(product_q);
    end
    assign cascade_o = sum_o;
  end
endmodule
