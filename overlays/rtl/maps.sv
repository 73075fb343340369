// On-chip feature maps, one bank per pixel lane: two 8-bit maps that passes read and write in turn, the state, and the slopes.
module maps
  import dsodenet_registers_pkg::*;
#(
    parameter int unsigned PIXEL_LANES = 1,
    parameter int unsigned INPUT_LANES = 4,
    parameter int unsigned MAP_WORDS = 256,
    parameter STYLE = "ultra",
    parameter bit GARBAGE = 1'b0
) (
    input  logic                                                         clk_i,
    // 8-bit maps
    input  logic [PIXEL_LANES-1:0]                                       source_i,  // the map that is read
    input  logic [PIXEL_LANES-1:0][15:0]                                 raddr_i,
    output logic [PIXEL_LANES-1:0][INPUT_LANES*8-1:0]                    rdata_o,
    input  logic                                                         dest_i,    // the map that is written
    input  logic [PIXEL_LANES-1:0][INPUT_LANES-1:0]                      we_i,
    input  logic [PIXEL_LANES-1:0][15:0]                                 waddr_i,
    input  logic [PIXEL_LANES-1:0][INPUT_LANES*8-1:0]                    wdata_i,
    // an image, to the first map
    input  logic [PIXEL_LANES-1:0]                                       image_we_i,
    input  logic [INPUT_LANES-1:0]                                       image_lanes_i,
    input  logic [15:0]                                                  image_addr_i,
    input  logic [1:0][INPUT_LANES*8-1:0]                                image_data_i,  // of even and of odd banks
    // state and slopes: a read address each for all lanes
    input  logic [15:0]                                                  state_raddr_i,
    input  logic [15:0]                                                  slope_raddr_i,
    output logic [PIXEL_LANES-1:0][INPUT_LANES*16-1:0]                   state_o,
    output logic [PIXEL_LANES-1:0][MAX_STAGES-2:0][INPUT_LANES*8-1:0]    slope_o,
    input  logic [PIXEL_LANES-1:0]                                       state_we_i,
    input  logic [PIXEL_LANES-1:0][INPUT_LANES*16-1:0]                   state_i,
    input  logic [PIXEL_LANES-1:0][MAX_STAGES-2:0]                       slope_we_i,
    input  logic [PIXEL_LANES-1:0][INPUT_LANES*8-1:0]                    slope_i
);
  localparam int unsigned AddrBits = $clog2(MAP_WORDS);
  logic [PIXEL_LANES-1:0] source_q, source_qq;
  always_ff @(posedge clk_i) begin
    source_q <= source_i;
    source_qq <= source_q;
  end

  for (genvar b = 0; b < PIXEL_LANES; b++) begin : g_bank
    logic [1:0][INPUT_LANES*8-1:0] rdata;
    for (genvar m = 0; m < 2; m++) begin : g_map
      logic [INPUT_LANES-1:0] we;
      logic [AddrBits-1:0] waddr;
      logic [INPUT_LANES*8-1:0] wdata;
      logic image;
      assign image = m == 0 && image_we_i[b];
      assign we = image ? image_lanes_i : 32'(dest_i) == m ? we_i[b] : '0;
      assign waddr = image ? image_addr_i[AddrBits-1:0] : waddr_i[b][AddrBits-1:0];
      assign wdata = image ? image_data_i[b%2] : wdata_i[b];
      ram #(
          .LANES(INPUT_LANES), .LANE_BITS(8), .DEPTH(MAP_WORDS), .READ_LATENCY(2), .STYLE(STYLE), .GARBAGE(GARBAGE)
      ) u_map (
          .clk_i, .we_i(we), .waddr_i(waddr), .wdata_i(wdata),
          .raddr_i(raddr_i[b][AddrBits-1:0]), .rdata_o(rdata[m])
      );
    end
    assign rdata_o[b] = rdata[source_qq[b]];

    ram #(
        .LANES(1), .LANE_BITS(INPUT_LANES * 16), .DEPTH(MAP_WORDS), .READ_LATENCY(2), .STYLE(STYLE), .GARBAGE(GARBAGE)
    ) u_state (
        .clk_i, .we_i(state_we_i[b]), .waddr_i(waddr_i[b][AddrBits-1:0]), .wdata_i(state_i[b]),
        .raddr_i(state_raddr_i[AddrBits-1:0]), .rdata_o(state_o[b])
    );
    ram #(
        .LANES(MAX_STAGES - 1), .LANE_BITS(INPUT_LANES * 8), .DEPTH(MAP_WORDS), .READ_LATENCY(2), .STYLE(STYLE), .GARBAGE(GARBAGE)
    ) u_slopes (
        .clk_i, .we_i(slope_we_i[b]), .waddr_i(waddr_i[b][AddrBits-1:0]), .wdata_i({(MAX_STAGES - 1) {slope_i[b]}}),
        .raddr_i(slope_raddr_i[AddrBits-1:0]), .rdata_o(slope_o[b])
    );
  end

  logic unused;
  assign unused = ^{raddr_i, waddr_i, image_addr_i, image_data_i, state_raddr_i, slope_raddr_i};
endmodule
