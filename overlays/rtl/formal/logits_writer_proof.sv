// logits_writer: the beats of a frame come out in order, each once, each kept until it is taken; TLAST ends the last frame only.
module logits_writer_proof #(
    parameter int unsigned INPUT_LANES = 8,
    parameter int unsigned WORDS = 2,
    parameter int unsigned BIT = 0  // the one data bit that is followed
) (
    input logic                      clk_i,
    input logic                      rst_ni,
    input logic                      we_i,
    input logic [9:0]                word_i,
    input logic [INPUT_LANES*32-1:0] data_i,
    input logic                      start_i,
    input logic                      last_frame_i,
    input logic [15:0]               beats_last_i,
    input logic                      m_axis_tready,
    input logic [15:0]               watched_i  // any one beat of the frame
);
  localparam int unsigned Parts = INPUT_LANES / 4;
  logic busy, tvalid, tlast, kept;
  logic [127:0] tdata;
  logits_writer #(
      .INPUT_LANES(INPUT_LANES), .WORDS(WORDS)
  ) u_dut (
      .clk_i, .rst_ni, .we_i, .word_i, .data_i, .start_i, .last_frame_i, .beats_last_i, .busy_o(busy), .m_axis_tdata(tdata),
      .m_axis_tlast(tlast), .m_axis_tvalid(tvalid), .m_axis_tready
  );

  // ---- what is around it: a frame is written, then started, and nothing changes while it is sent
  first_reset #(.BITS(16)) u_reset (.clk_i, .rst_ni, .constant_i(watched_i));
  logic last_frame_q;
  logic [15:0] beats_last_q;
  always_ff @(posedge clk_i) {last_frame_q, beats_last_q} <= {last_frame_i, beats_last_i};
  always_comb begin
    if (busy) begin
      assume (!we_i && !start_i);
      assume (last_frame_i == last_frame_q && beats_last_i == beats_last_q);
    end
    assume (32'(word_i) < WORDS);
    assume (32'(beats_last_i) < WORDS * Parts);
  end

  // ---- what must come out
  stream_rules #(.BITS(2)) u_rules (
      .clk_i, .rst_ni, .valid_i(tvalid), .ready_i(m_axis_tready), .beat_i({tlast, tdata[BIT]}), .kept_o(kept)
  );
  logic sending_q, gap_q, written_q, expected_q;
  logic [15:0] sent_q;
  always_ff @(posedge clk_i) begin
    if (start_i) {sending_q, sent_q, gap_q} <= {1'b1, 16'b0, 1'b0};
    else begin
      if (tvalid && m_axis_tready) sent_q <= sent_q + 1'b1;
      if (tvalid && m_axis_tready && sent_q == beats_last_i) sending_q <= 1'b0;
      gap_q <= sending_q && !tvalid;
    end
    if (we_i && word_i == 10'(watched_i / 16'(Parts))) begin
      written_q <= 1'b1;
      for (int unsigned i = 0; i < Parts; i++) if (watched_i % 16'(Parts) == 16'(i)) expected_q <= data_i[i*128+BIT];
    end
    if (!rst_ni) {sending_q, written_q, gap_q} <= '0;
  end
  always_comb begin
    if (rst_ni) begin
      assert (kept);
      assert (busy == sending_q);
      assert (!(gap_q && sending_q && !tvalid));  // never idle between beats
      if (tvalid) assert (sent_q <= beats_last_i && tlast == (last_frame_i && sent_q == beats_last_i));
      if (tvalid && written_q && sent_q == watched_i) assert (tdata[BIT] == expected_q);
      cover (tvalid && written_q && sent_q == watched_i && watched_i == 3 && tlast);
    end
  end
endmodule
