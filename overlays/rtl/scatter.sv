// Where the lanes of a result go: lane l to bank l, or, after stride 2 has dropped pixels, kept pixels to consecutive banks.
module scatter
  import engine_pkg::*;
#(
    parameter int unsigned PIXEL_LANES = 1,
    parameter int unsigned WIDTH = 8
) (
    input  logic                                clk_i,
    input  logic                                rst_ni,
    input  result_t                             result_i,     // two cycles before its data: the places take that long
    input  logic                                pack_i,
    input  logic [15:0]                         row_words_i,
    input  logic [PIXEL_LANES-1:0][WIDTH-1:0]   data_i,
    output logic [PIXEL_LANES-1:0]              we_o,
    output logic [PIXEL_LANES-1:0][15:0]        addr_o,
    output logic [PIXEL_LANES-1:0][WIDTH-1:0]   data_o
);
  localparam int unsigned LaneBits = PIXEL_LANES > 1 ? $clog2(PIXEL_LANES) : 1;
  localparam int unsigned PositionBits = $clog2(2 * MaxPixelLanes);

  // ---- first cycle: how far from bank 0 of the result's word each lane goes
  result_t result_q;
  logic [PIXEL_LANES-1:0][PositionBits-1:0] position, position_q;
  logic [15:0] next_addr_q;
  always_comb begin
    for (int unsigned l = 0; l < PIXEL_LANES; l++) begin
      position[l] = PositionBits'(result_i.bank);
      for (int unsigned k = 0; k < l; k++) if (!pack_i || result_i.lanes[k]) position[l]++;
    end
  end
  always_ff @(posedge clk_i) begin
    result_q <= result_i;
    if (!rst_ni) result_q.valid <= 1'b0;
    position_q <= position;
    next_addr_q <= result_i.addr + row_words_i;
  end

  // ---- second cycle: what each bank takes
  logic [PIXEL_LANES-1:0][LaneBits-1:0] lane_q;
  always_ff @(posedge clk_i) begin
    we_o <= '0;
    for (int unsigned b = 0; b < PIXEL_LANES; b++) begin
      addr_o[b] <= result_q.addr;
      lane_q[b] <= LaneBits'(b);
      for (int unsigned l = 0; l < PIXEL_LANES; l++) begin
        if (rst_ni && result_q.valid && result_q.lanes[l]) begin
          if (32'(position_q[l]) == b) {we_o[b], lane_q[b]} <= {1'b1, LaneBits'(l)};
          if (32'(position_q[l]) == PIXEL_LANES + b) {we_o[b], lane_q[b], addr_o[b]} <= {1'b1, LaneBits'(l), next_addr_q};
        end
      end
    end
  end
  always_comb for (int unsigned b = 0; b < PIXEL_LANES; b++) data_o[b] = data_i[lane_q[b]];

  logic unused;
  assign unused = ^{result_i, result_q};
endmodule
