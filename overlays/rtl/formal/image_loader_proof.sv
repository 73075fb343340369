// image_loader: every byte of the image is written once, in order, whatever the stream's pauses; TLAST elsewhere is reported; the
// loader takes no beat that is not the image's, and it always goes on. Of what it calls whole, all is written. With EXTRA beats it says
// so instead.
module image_loader_proof
  import dsodenet_program_pkg::*;
#(
    parameter int unsigned CHANNELS = 3,
    parameter int unsigned WIDTH = 3,  // in pairs, if there are PAIRs
    parameter int unsigned HEIGHT = 2,
    parameter int unsigned PAIR = 0,  // two pixels a cycle, for two lanes
    parameter int unsigned EXTRA = 0,  // beats that the program asks for beyond those of its pixels; 3: one too few
    parameter int unsigned BIT = 0  // the one bit of a byte that is followed
) (
    input logic         clk_i,
    input logic         rst_ni,
    input logic         start_i,
    input logic         last_frame_i,
    input logic [127:0] s_axis_tdata,
    input logic         s_axis_tlast,
    input logic         s_axis_tvalid,
    input logic [7:0]   watched_i  // any one byte of the image
);
  localparam int unsigned Lanes = 4;  // of a word: bytes of one write
  localparam int unsigned Unit = CHANNELS * (1 + PAIR);
  localparam int unsigned Bytes = Unit * WIDTH * HEIGHT;
  localparam int unsigned Beats = EXTRA == 3 ? (Bytes + 15) / 16 - 1 : (Bytes + 15) / 16 + EXTRA;
  localparam int unsigned Chunks = (Unit + Lanes - 1) / Lanes;
  pass_t pass;
  always_comb begin
    pass = '0;
    pass.image_beats_last = 16'(Beats - 1);
    pass.image_width_last = 16'(WIDTH - 1);
    pass.image_height_last = 16'(HEIGHT - 1);
    pass.image_row_words = 16'(WIDTH * Chunks);
    pass.tiles_last = 16'(Chunks - 1);
    pass.slot_shift = 16'($clog2(CHANNELS));
    pass.replicate = 16'(CHANNELS <= Lanes);
    pass.chunks_last = 16'(Chunks - 1);
    pass.pair = 16'(PAIR);
    pass.tail_bytes = 16'(Unit - (Chunks - 1) * Lanes);
  end

  logic [15:0] whole_words;
  logic whole, busy, done, too_short, too_long, bad, tready, we, fire;
  logic [PAIR:0] lane_we;
  logic [Lanes-1:0] lanes;
  logic [15:0] addr;
  logic [1:0][Lanes-1:0][7:0] data;
  image_loader #(
      .PIXEL_LANES(1 + PAIR), .INPUT_LANES(Lanes)
  ) u_dut (
      .clk_i, .rst_ni, .start_i, .last_frame_i, .pass_i(pass), .busy_o(busy), .done_o(done), .short_o(too_short),
      .long_o(too_long), .bad_o(bad), .s_axis_tdata, .s_axis_tlast, .s_axis_tvalid, .s_axis_tready(tready), .we_o(lane_we), .lanes_o(lanes),
      .addr_o(addr), .data_o(data), .whole_o(whole), .whole_words_o(whole_words)
  );
  assign fire = s_axis_tvalid && tready;
  assign we = lane_we[0];

  // ---- what is around it
  first_reset #(.BITS(8)) u_reset (.clk_i, .rst_ni, .constant_i(watched_i));
  logic last_frame_q, busy_q, busy_qq;
  always_ff @(posedge clk_i) begin
    last_frame_q <= last_frame_i;
    {busy_qq, busy_q} <= {busy_q, busy};
  end
  always_comb begin
    if (busy) assume (!start_i && last_frame_i == last_frame_q);
    if (busy_q || busy_qq) assume (!start_i);  // its last write is still to come
    assume (32'(watched_i) < Bytes);
  end

  // ---- what must come out: counted in beats of the stream and in bytes written
  logic bad_q, expected_q, failed_q, stuck_q, stuck_qq, done_q, done_qq, excused_q, last_beat;
  logic short_now, long_now, short_q, long_q;
  logic whole_q, started_q;
  logic [7:0] beats_q, bytes_q, in_pixel_q, size, words_q;
  assign last_beat = 32'(beats_q) == Beats - 1;
  assign size = 32'(in_pixel_q) + Lanes > Unit ? 8'(Unit - 32'(in_pixel_q)) : 8'(Lanes);
  logic second;  // of a pair
  logic [7:0] place;
  assign second = PAIR != 0 && watched_i - bytes_q >= 8'(CHANNELS);
  assign place = watched_i - bytes_q - (second ? 8'(CHANNELS) : '0);
  assign short_now = fire && s_axis_tlast && !(last_beat && last_frame_i);
  assign long_now = fire && !s_axis_tlast && last_beat && last_frame_i;
  always_ff @(posedge clk_i) begin
    {short_q, long_q} <= rst_ni ? {short_now, long_now} : '0;
    {done_qq, done_q} <= {done_q, done};
    excused_q <= bad;
    bad_q <= rst_ni && !start_i && (bad || bad_q);
    {stuck_qq, stuck_q} <= {stuck_q, busy && !tready};
    if (fire) begin
      beats_q <= beats_q + 1'b1;
      if (beats_q == watched_i / 16) expected_q <= s_axis_tdata[(watched_i%16)*8+8'(BIT)];
    end
    if (short_now || long_now) failed_q <= 1'b1;
    whole_q <= whole && !start_i;
    if (start_i) started_q <= 1'b1;
    if (we) begin
      words_q <= words_q + 1'b1;
      bytes_q <= bytes_q + size;
      in_pixel_q <= 32'(in_pixel_q) + Lanes >= Unit ? '0 : in_pixel_q + 8'(Lanes);
    end
    if (start_i) {words_q, beats_q, bytes_q, in_pixel_q, failed_q, stuck_q, stuck_qq} <= '0;
    if (!rst_ni) {failed_q, stuck_q, stuck_qq, done_q, done_qq, started_q} <= '0;
  end
  always_comb begin
    if (rst_ni) begin
      if (tready) assert (busy && 32'(beats_q) < Beats);
      assert (lane_we == {(1 + PAIR) {we}});
      assert (too_short == short_q);
      assert (too_long == long_q);
      if (stuck_qq) assert (we || excused_q);  // it takes a beat or a word to write in every cycle, or says why not
      if (EXTRA == 0) assert (!bad);
      else assert (!done);
      if (bad_q) assert (!busy && !done);
      if (failed_q) assert (!busy && !done);
      if (done) assert (!failed_q && !done_q);
      if (started_q) begin
        assert (16'(words_q) + 16'(we) >= whole_words);
        if (whole_q) assert (32'(bytes_q) + (we ? 32'(size) : 32'd0) == Bytes);
      end
      if (done_q) assert (!failed_q && 32'(bytes_q) + 32'(size) == Bytes && we);  // the last write
      if (we && !failed_q) begin
        assert (32'(bytes_q) + 32'(size) <= Bytes);
        if (watched_i >= bytes_q && watched_i < bytes_q + size) begin
          assert (lanes[place] && data[second][place][BIT] == expected_q);
          assert (32'(addr) == (32'(bytes_q) / Unit) * Chunks + 32'(in_pixel_q) / Lanes);
        end
      end
      if (EXTRA == 0) cover (done_q && expected_q && 32'(watched_i) == Bytes - 1);
      else cover (bad);
    end
  end
endmodule
