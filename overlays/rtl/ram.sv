// Simple dual-port memory: one write port with lane enables, one read port with a latency of one or two cycles.
//
// What is read of a word in the cycle in which it is written, nobody may use: an UltraRAM gives the new word, a block RAM either.
module ram #(
    parameter int unsigned LANES = 4,
    parameter int unsigned LANE_BITS = 8,
    parameter int unsigned DEPTH = 16,
    parameter int unsigned READ_LATENCY = 2,
    parameter STYLE = "auto",  // of the RAM, for synthesis
    parameter bit GARBAGE = 1'b0,  // for simulation: a word that is written while it is read comes out wrong
    localparam int unsigned AddrBits = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input  logic                       clk_i,
    input  logic [LANES-1:0]           we_i,
    input  logic [AddrBits-1:0]        waddr_i,
    input  logic [LANES*LANE_BITS-1:0] wdata_i,
    input  logic [AddrBits-1:0]        raddr_i,
    output logic [LANES*LANE_BITS-1:0] rdata_o
);
  (* ram_style = STYLE *) logic [LANES*LANE_BITS-1:0] mem[DEPTH];
  logic [LANES*LANE_BITS-1:0] read_q;

  always_ff @(posedge clk_i) begin
    for (int unsigned i = 0; i < LANES; i++) begin
      if (we_i[i]) mem[waddr_i][i*LANE_BITS+:LANE_BITS] <= wdata_i[i*LANE_BITS+:LANE_BITS];
    end
    read_q <= GARBAGE && |we_i && waddr_i == raddr_i ? ~mem[raddr_i] : mem[raddr_i];
  end

  if (READ_LATENCY == 2) begin : g_output_register
    logic [LANES*LANE_BITS-1:0] output_q;
    always_ff @(posedge clk_i) output_q <= read_q;
    assign rdata_o = output_q;
  end else begin : g_direct
    assign rdata_o = read_q;
  end
endmodule
