// A memory of wide words that is written in stream beats, one column at a time, and read a whole word per cycle.
module column_ram #(
    parameter int unsigned COLUMNS = 2,
    parameter int unsigned COLUMN_BITS = 128,  // of a beat, the lowest
    parameter int unsigned FIRST_COLUMN = 0,   // where this memory begins in a word that several share
    parameter int unsigned DEPTH = 16,
    parameter int unsigned READ_LATENCY = 2,
    parameter STYLE = "auto",
    parameter bit GARBAGE = 1'b0
) (
    input  logic                           clk_i,
    input  logic                           we_i,
    input  logic [15:0]                    waddr_i,
    input  logic [15:0]                    wcolumn_i,
    input  logic [127:0]                   wdata_i,
    input  logic [15:0]                    raddr_i,
    output logic [COLUMNS*COLUMN_BITS-1:0] rdata_o
);
  localparam int unsigned AddrBits = DEPTH > 1 ? $clog2(DEPTH) : 1;
  logic [COLUMNS-1:0] we;
  always_comb for (int unsigned i = 0; i < COLUMNS; i++) we[i] = we_i && 32'(wcolumn_i) == FIRST_COLUMN + i;

  ram #(
      .LANES(COLUMNS), .LANE_BITS(COLUMN_BITS), .DEPTH(DEPTH), .READ_LATENCY(READ_LATENCY), .STYLE(STYLE), .GARBAGE(GARBAGE)
  ) u_ram (
      .clk_i, .we_i(we), .waddr_i(waddr_i[AddrBits-1:0]), .wdata_i({COLUMNS{wdata_i[COLUMN_BITS-1:0]}}),
      .raddr_i(raddr_i[AddrBits-1:0]), .rdata_o
  );

  logic unused;
  assign unused = ^{waddr_i, raddr_i, wdata_i};
endmodule
