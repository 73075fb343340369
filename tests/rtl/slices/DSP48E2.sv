// What UG579 says of a DSP48E2, as far as packed_mac uses it: registers with their enables, the pre-adder, the multiplier, the wide adder.
// Written from the document for the tests; a setting that is not modelled ends the simulation.
module DSP48E2 #(
    parameter AMULTSEL = "A",
    parameter BMULTSEL = "B",
    parameter PREADDINSEL = "A",
    parameter USE_MULT = "MULTIPLY",
    parameter USE_SIMD = "ONE48",
    parameter int AREG = 1,
    parameter int ACASCREG = 1,
    parameter int DREG = 1,
    parameter int ADREG = 1,
    parameter int BREG = 1,
    parameter int BCASCREG = 1,
    parameter int CREG = 1,
    parameter int MREG = 1,
    parameter int PREG = 1,
    parameter int ALUMODEREG = 1,
    parameter int CARRYINREG = 1,
    parameter int CARRYINSELREG = 1,
    parameter int INMODEREG = 1,
    parameter int OPMODEREG = 1
) (
    input  logic        CLK,
    input  logic [29:0] A,
    input  logic [17:0] B,
    input  logic [47:0] C,
    input  logic [26:0] D,
    input  logic [47:0] PCIN,
    output logic [47:0] P,
    output logic [47:0] PCOUT,
    input  logic [3:0]  ALUMODE,
    input  logic [4:0]  INMODE,
    input  logic [8:0]  OPMODE,
    input  logic [2:0]  CARRYINSEL,
    input  logic [29:0] ACIN,
    input  logic [17:0] BCIN,
    input  logic        CARRYCASCIN,
    input  logic        CARRYIN,
    input  logic        MULTSIGNIN,
    input  logic        CEA1,
    input  logic        CEA2,
    input  logic        CEAD,
    input  logic        CEALUMODE,
    input  logic        CEB1,
    input  logic        CEB2,
    input  logic        CEC,
    input  logic        CECARRYIN,
    input  logic        CECTRL,
    input  logic        CED,
    input  logic        CEINMODE,
    input  logic        CEM,
    input  logic        CEP,
    input  logic        RSTA,
    input  logic        RSTALLCARRYIN,
    input  logic        RSTALUMODE,
    input  logic        RSTB,
    input  logic        RSTC,
    input  logic        RSTCTRL,
    input  logic        RSTD,
    input  logic        RSTINMODE,
    input  logic        RSTM,
    input  logic        RSTP
);
  initial begin
    if (AMULTSEL != "AD" || BMULTSEL != "B" || PREADDINSEL != "A" || USE_MULT != "MULTIPLY" || USE_SIMD != "ONE48")
      $fatal(1, "a function of the slice that is not modelled");
    if (AREG > 1 || BREG != 1 || DREG > 1 || ADREG != 1 || MREG != 1 || PREG != 1 || CREG != 0)
      $fatal(1, "registers that are not modelled");
    if (ACASCREG != AREG || BCASCREG != BREG) $fatal(1, "with one register or none, the cascade has as many (UG579)");
    if (ALUMODEREG + CARRYINREG + CARRYINSELREG + INMODEREG + OPMODEREG != 0) $fatal(1, "registers of modes that are not modelled");
  end
  always_comb begin
    if (ALUMODE != 4'b0000 || CARRYINSEL != 0 || CARRYIN) $fatal(1, "no plain addition");
    if (INMODE != 5'b00100) $fatal(1, "not D + A2 into the multiplier");
    if (OPMODE[8:7] != 2'b00 || OPMODE[3:0] != 4'b0101) $fatal(1, "not the product and Z");
  end

  logic [29:0] a_q, a;
  logic [26:0] d_q, d, ad_q;
  logic [17:0] b_q;
  logic [44:0] m_q;
  logic [47:0] z;
  assign a = AREG == 0 ? A : a_q;
  assign d = DREG == 0 ? D : d_q;
  always_comb begin
    case (OPMODE[6:4])
      3'b000: z = '0;
      3'b001: z = PCIN;
      3'b011: z = C;
      default: z = 'x;
    endcase
  end
  always_ff @(posedge CLK) begin
    if (RSTA) a_q <= '0; else if (CEA2) a_q <= A;
    if (RSTB) b_q <= '0; else if (CEB2) b_q <= B;
    if (RSTD) {d_q, ad_q} <= '0;
    else begin
      if (CED) d_q <= D;
      if (CEAD) ad_q <= d + a[26:0];
    end
    if (RSTM) m_q <= '0; else if (CEM) m_q <= 45'($signed(ad_q)) * 45'($signed(b_q));
    if (RSTP) P <= '0; else if (CEP) P <= z + 48'($signed(m_q));
  end
  assign PCOUT = P;
endmodule
