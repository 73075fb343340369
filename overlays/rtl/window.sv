// The 3x3 neighbourhood of a pixel group, from one read stream and two line buffers.
//
// A map is a flat sequence of pixels (rows follow each other at `pitch`), PIXEL_LANES at a time. For the group whose first
// pixel is m the unit holds columns m-1 .. m+PIXEL_LANES of three flat streams, one per row of the neighbourhood; what lies
// outside the map is garbage here and masked by the depthwise unit. The newest row comes from the map memory, the other two are
// the same stream one and two rows ago. A row need be no multiple of the lanes: then each lane bank is read at its own
// address and the lanes are rotated.
//
// Latency: bank_i belongs to fetch_i in the same cycle; window_o is right two cycles later and holds until the next fetch.
module window #(
    parameter int unsigned PIXEL_LANES = 1,
    parameter int unsigned WORD_BITS = 32,
    parameter int unsigned LINE_WORDS = 64,
    parameter int unsigned MAX_TILES = 16,
    parameter bit GARBAGE = 1'b0
) (
    input  logic                                           clk_i,
    input  logic                                           rst_ni,
    input  logic                                           fetch_i,
    input  logic [9:0]                                     tile_i,
    input  logic [PIXEL_LANES-1:0][WORD_BITS-1:0]          bank_i,
    input  logic [2:0]                                     fetch_rotate_i,
    input  logic [2:0]                                     line_rotate_i,
    input  logic [15:0]                                    line_near_i,  // words in one row, rounded down and up to
    input  logic [15:0]                                    line_far_i,   // whole pixel groups
    output logic [2:0][PIXEL_LANES+1:0][WORD_BITS-1:0]     window_o
);
  localparam int unsigned AddrBits = $clog2(LINE_WORDS);
  localparam int unsigned TileBits = $clog2(MAX_TILES);
  typedef logic [PIXEL_LANES-1:0][WORD_BITS-1:0] group_t;

  // lane l takes bank (l + by) mod PIXEL_LANES
  function automatic group_t rotate(group_t group, logic [2:0] by);
    for (int unsigned l = 0; l < PIXEL_LANES; l++) begin
      rotate[l] = group[l];
      for (int unsigned b = 0; b < PIXEL_LANES; b++) begin
        if ((32'(by) + l) % PIXEL_LANES == b) rotate[l] = group[b];
      end
    end
  endfunction

  // Row 2 is the newest; rows 1 and 0 leave the line buffers in the same cycle as the newest leaves its register.
  logic fetch_q;
  logic [9:0] tile_q;
  logic [AddrBits-1:0] pointer_q, pointer_prev_q;
  group_t row[3], line_bank[2];

  always_ff @(posedge clk_i) begin
    row[2] <= rotate(bank_i, fetch_rotate_i);
    tile_q <= tile_i;
    pointer_prev_q <= pointer_q;
    if (!rst_ni) begin
      fetch_q <= 1'b0;
      pointer_q <= '0;
    end else begin
      fetch_q <= fetch_i;
      if (fetch_i) pointer_q <= pointer_q + 1'b1;
    end
  end

  logic [2:0] line_back;  // rotation that undoes line_rotate_i
  assign line_back = line_rotate_i == 0 ? 3'd0 : 3'(PIXEL_LANES) - line_rotate_i;
  assign row[1] = rotate(line_bank[1], line_back);
  assign row[0] = rotate(line_bank[0], line_back);

  for (genvar r = 0; r < 2; r++) begin : g_line
    for (genvar b = 0; b < PIXEL_LANES; b++) begin : g_bank
      logic [15:0] distance;
      assign distance = 32'(line_rotate_i) + b < PIXEL_LANES ? line_near_i : line_far_i;
      ram #(
          .LANES(1), .LANE_BITS(WORD_BITS), .DEPTH(LINE_WORDS), .READ_LATENCY(1), .STYLE("block"), .GARBAGE(GARBAGE)
      ) u_line (
          .clk_i, .we_i(fetch_q), .waddr_i(pointer_prev_q), .wdata_i(row[r+1][b]),
          .raddr_i(pointer_q - distance[AddrBits-1:0]), .rdata_o(line_bank[r][b])
      );
      logic unused;
      assign unused = ^distance;
    end
  end

  // The last two columns of the group before, per input tile.
  (* ram_style = "distributed" *) logic [2:0][1:0][WORD_BITS-1:0] columns[MAX_TILES];
  logic [2:0][1:0][WORD_BITS-1:0] previous;
  logic [2:0][PIXEL_LANES+1:0][WORD_BITS-1:0] next;
  assign previous = columns[tile_q[TileBits-1:0]];
  always_comb for (int unsigned r = 0; r < 3; r++) next[r] = {row[r], previous[r]};
  always_ff @(posedge clk_i) begin
    if (fetch_q) begin
      window_o <= next;
      for (int unsigned r = 0; r < 3; r++) columns[tile_q[TileBits-1:0]][r] <= next[r][PIXEL_LANES+1-:2];
    end
  end

  logic unused_tile;
  assign unused_tile = ^tile_q;
endmodule
