// Collects the logits of a frame and sends them, four per beat.
module logits_writer #(
    parameter int unsigned INPUT_LANES = 4,
    parameter int unsigned WORDS = 16
) (
    input  logic                      clk_i,
    input  logic                      rst_ni,
    input  logic                      we_i,
    input  logic [9:0]                word_i,
    input  logic [INPUT_LANES*32-1:0] data_i,
    input  logic                      start_i,
    input  logic                      last_frame_i,
    input  logic [15:0]               beats_last_i,
    output logic                      busy_o,
    output logic [127:0]              m_axis_tdata,
    output logic                      m_axis_tlast,
    output logic                      m_axis_tvalid,
    input  logic                      m_axis_tready
);
  localparam int unsigned Parts = INPUT_LANES / 4;
  localparam int unsigned PartBits = Parts > 1 ? $clog2(Parts) : 1;
  localparam int unsigned WordBits = $clog2(WORDS);
  (* ram_style = "distributed" *) logic [INPUT_LANES*32-1:0] words[WORDS];
  always_ff @(posedge clk_i) if (we_i) words[word_i[WordBits-1:0]] <= data_i;

  logic [15:0] beat_q;
  logic [PartBits-1:0] part_q;
  logic last_part;
  assign last_part = 32'(part_q) == Parts - 1;
  logic [WordBits-1:0] word_q;
  logic pending_q, load;
  logic [INPUT_LANES*32-1:0] word;
  assign word = words[word_q];
  assign load = pending_q && (!m_axis_tvalid || m_axis_tready);
  assign busy_o = pending_q || m_axis_tvalid;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      pending_q <= 1'b0;
      m_axis_tvalid <= 1'b0;
    end else begin
      if (start_i) pending_q <= 1'b1;
      else if (load && beat_q == beats_last_i) pending_q <= 1'b0;
      if (load) m_axis_tvalid <= 1'b1;
      else if (m_axis_tready) m_axis_tvalid <= 1'b0;
    end
    if (start_i) {beat_q, part_q, word_q} <= '0;
    else if (load) begin
      beat_q <= beat_q + 1'b1;
      part_q <= last_part ? '0 : part_q + 1'b1;
      if (last_part) word_q <= word_q + 1'b1;
    end
    if (load) begin
      m_axis_tlast <= last_frame_i && beat_q == beats_last_i;
      for (int unsigned i = 0; i < Parts; i++) if (32'(part_q) == i) m_axis_tdata <= word[i*128+:128];
    end
  end

  logic unused;
  assign unused = ^word_i;
endmodule
