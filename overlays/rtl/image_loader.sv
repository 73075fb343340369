// Image bytes in (height, width, channel) order to words of the source map, up to 16 bytes of one pixel per cycle.
//
// A pixel of the image takes a slot of a power of two bytes. SpaceToDepth is a matter of addresses: what lies beside each other in
// a block is one pixel of more channels already, and its rows follow each other in one word sequence. For a dense 3x3 stem the slot
// is repeated over the whole word, so that each lane group of the pointwise array can look at another tap. Two small pixels of a
// pair of lanes come in one cycle.
module image_loader
  import dsodenet_program_pkg::*;
#(
    parameter int unsigned PIXEL_LANES = 1,
    parameter int unsigned INPUT_LANES = 4
) (
    input  logic                     clk_i,
    input  logic                     rst_ni,
    input  logic                     start_i,
    input  logic                     last_frame_i,
    input  pass_t                    pass_i,
    output logic                     busy_o,
    output logic                     done_o,
    output logic                     short_o,  // TLAST came early; the loader has stopped with short_o or long_o
    output logic                     long_o,   // TLAST did not come
    output logic                     bad_o,    // the beats of the program are not those of its pixels; the loader stops
    input  logic [127:0]             s_axis_tdata,
    input  logic                     s_axis_tlast,
    input  logic                     s_axis_tvalid,
    output logic                     s_axis_tready,
    output logic [PIXEL_LANES-1:0]   we_o,
    output logic [INPUT_LANES-1:0]   lanes_o,
    output logic [15:0]              addr_o,
    output logic [1:0][INPUT_LANES*8-1:0] data_o,  // of even and of odd lanes; the same, but for pairs
    output logic                     whole_o,  // the image is, until the next one starts; else its words below whole_words_o
    output logic [15:0]              whole_words_o  // may be read three cycles later
);
  localparam int unsigned ChunkBytes = INPUT_LANES < 16 ? INPUT_LANES : 16;
  localparam int unsigned ChunkBits = $clog2(ChunkBytes);
  localparam int unsigned LaneBits = $clog2(INPUT_LANES);

  // ---- beats go into two slots of a ring in turn; a byte is `pos_q` places behind its oldest one
  logic [31:0][7:0] ring_q;
  logic [4:0] pos_q, pos_next;
  logic [5:0] count_q, count_next, need_q, need_next;
  logic [15:0] beat_q, x_q, y_q, chunk_q, chunks_left_q;
  logic slot_q, room_q, received_q;
  logic fire, take, last_beat, last_chunk_q, last_next, last_x, last_y;
  assign last_next = last_chunk_q ? pass_i.chunks_last == 0 : chunks_left_q == 1;
  assign take = busy_o && count_q >= need_q;
  assign need_next = !take ? need_q : last_next ? pass_i.tail_bytes[5:0] : 6'(ChunkBytes);
  assign pos_next = pos_q + need_q[4:0];
  assign count_next = count_q - (take ? need_q : '0) + (fire ? 6'd16 : '0);
  assign last_beat = beat_q == pass_i.image_beats_last;
  assign s_axis_tready = busy_o && !received_q && room_q;
  assign fire = s_axis_tvalid && s_axis_tready;
  assign last_x = x_q == pass_i.image_width_last;
  assign last_y = y_q == pass_i.image_height_last;
  logic too_short, too_long;
  assign too_short = fire && s_axis_tlast && !(last_beat && last_frame_i);
  assign too_long = fire && !s_axis_tlast && last_beat && last_frame_i;
  // All beats are here and do not make another write; or the last write is here and a whole beat is left, or to come.
  logic last_take, bad, beat_left, done;
  assign last_take = take && last_chunk_q && last_x && last_y;
  assign done = rst_ni && last_take && !bad && !too_short && !too_long && !start_i;
  assign beat_left = count_q >= need_q + 6'd16;
  assign bad = busy_o && (received_q ? !take || (last_take && beat_left) : last_take);

  always_ff @(posedge clk_i) begin
    {short_o, long_o} <= rst_ni ? {too_short, too_long} : '0;
    bad_o <= rst_ni && bad && !too_short && !too_long;
    done_o <= done;  // the write is on its way
    if (!rst_ni) busy_o <= 1'b0;
    else if (start_i) busy_o <= 1'b1;
    else if (too_short || too_long || bad || last_take) busy_o <= 1'b0;
    if (start_i) begin
      {count_q, beat_q, pos_q, slot_q, received_q} <= '0;
      room_q <= 1'b1;
      chunks_left_q <= pass_i.chunks_last;
      last_chunk_q <= pass_i.chunks_last == 0;
      need_q <= pass_i.chunks_last == 0 ? pass_i.tail_bytes[5:0] : 6'(ChunkBytes);
    end else begin
      count_q <= count_next;
      room_q <= count_next <= 6'd16 + need_next;  // what is taken in that cycle makes room
      if (fire) begin
        beat_q <= beat_q + 1'b1;
        received_q <= last_beat;
        slot_q <= !slot_q;
      end
      if (take) begin
        pos_q <= pos_next;
        chunks_left_q <= last_chunk_q ? pass_i.chunks_last : chunks_left_q - 1'b1;
        last_chunk_q <= last_next;
      end
      need_q <= need_next;
    end
    for (int unsigned i = 0; i < 2; i++) if (fire && 32'(slot_q) == i) ring_q[i*16+:16] <= s_axis_tdata;
  end

  // ---- address of the output pixel, and of its row
  logic [15:0] addr_q, row_addr_q, row_addr_next;
  logic [2:0] bank_q, row_bank_q, row_bank_next;
  logic [1:0] sub_mask, sub_y;
  logic [3:0] row_bank_sum;
  assign sub_mask = 2'((3'd1 << pass_i.block_shift[1:0]) - 3'd1);
  assign sub_y = y_q[1:0] & sub_mask;
  logic last_bank;
  assign last_bank = 32'(bank_q) + (pass_i.pair[0] ? 2 : 1) >= PIXEL_LANES;
  // Static sums; the first row ends long after they are there.
  logic [15:0] pixel_words_q, row_wrap_q;
  always_ff @(posedge clk_i) begin
    pixel_words_q <= pass_i.tiles_last + 1'b1;
    row_wrap_q <= pass_i.image_row_words + pixel_words_q;
  end
  assign row_bank_sum = 4'(row_bank_q) + pass_i.image_row_rotate[3:0];
  always_comb begin
    row_addr_next = row_addr_q;
    row_bank_next = row_bank_q;
    if (sub_y == sub_mask) begin
      row_addr_next = row_addr_q + pass_i.image_row_words;
      row_bank_next = row_bank_sum[2:0];
      if (row_bank_sum >= 4'(PIXEL_LANES)) begin
        row_addr_next = row_addr_q + row_wrap_q;
        row_bank_next = 3'(row_bank_sum - 4'(PIXEL_LANES));
      end
    end
  end
  always_ff @(posedge clk_i) begin
    if (start_i) {x_q, y_q, chunk_q, addr_q, row_addr_q, bank_q, row_bank_q} <= '0;
    else if (take) begin
      chunk_q <= last_chunk_q ? '0 : chunk_q + 1'b1;
      if (last_chunk_q && last_x) begin
        x_q <= '0;
        y_q <= y_q + 1'b1;
        {addr_q, bank_q} <= {row_addr_next, row_bank_next};
        {row_addr_q, row_bank_q} <= {row_addr_next, row_bank_next};
      end else if (last_chunk_q) begin
        x_q <= x_q + 1'b1;
        bank_q <= last_bank ? '0 : bank_q + (pass_i.pair[0] ? 3'd2 : 3'd1);
        if (last_bank) addr_q <= addr_q + pixel_words_q;
      end
    end
  end

  // ---- how far the map is whole: pixels of a block are when its last row comes
  always_ff @(posedge clk_i) begin
    if (start_i) {whole_o, whole_words_o} <= '0;
    else begin
      if (done) whole_o <= 1'b1;
      whole_words_o <= sub_y == sub_mask ? addr_q : row_addr_q;
    end
  end

  // ---- the write, two cycles after its bytes are taken
  logic [15:0] offset, offset_q, pixel_q;  // bytes from the start of the output pixel; its address
  logic [2:0] period_bits, pixel_bank_q;
  logic [ChunkBytes-1:0][7:0] bytes_q;
  logic [1:0][ChunkBytes-1:0][7:0] pixels;  // as they begin for even and for odd lanes: the second one of a pair has the later half
  logic [ChunkBits-1:0] half, place_mask;
  logic take_q;
  assign half = pass_i.pair[0] ? ChunkBits'(pass_i.tail_bytes >> 1) : '0;
  assign place_mask = ~({ChunkBits{1'b1}} << period_bits);
  assign pixels[0] = bytes_q;
  always_comb for (int unsigned k = 0; k < ChunkBytes; k++) pixels[1][k] = bytes_q[ChunkBits'(k)+half];
  assign offset = (16'(sub_y) << pass_i.slot_shift[3:0]) + (chunk_q << ChunkBits);
  assign period_bits = pass_i.slot_shift[3:0] < 4'(ChunkBits) ? pass_i.slot_shift[2:0] : 3'(ChunkBits);
  always_ff @(posedge clk_i) begin
    take_q <= rst_ni && take;
    pixel_q <= addr_q;
    pixel_bank_q <= bank_q;
    offset_q <= offset;
    for (int unsigned j = 0; j < ChunkBytes; j++) bytes_q[j] <= ring_q[pos_q+5'(j)];

    for (int unsigned b = 0; b < PIXEL_LANES; b++) begin
      we_o[b] <= rst_ni && take_q && (32'(pixel_bank_q) == b || (pass_i.pair[0] && 32'(pixel_bank_q) + 1 == b));
    end
    addr_o <= pixel_q + 16'(offset_q >> LaneBits);
    for (int unsigned j = 0; j < INPUT_LANES; j++) begin
      lanes_o[j] <= pass_i.replicate[0] || (LaneBits'(j) >> period_bits) == (offset_q[LaneBits-1:0] >> period_bits);
      for (int unsigned e = 0; e < 2; e++) data_o[e][j*8+:8] <= pixels[e][ChunkBits'(j)&place_mask];
    end
  end

  logic unused;
  assign unused = ^{pass_i, offset_q};
endmodule
