// program_loader: the words of the parts are written in order, each column once, none beyond its memory; the loader takes no beat
// after TLAST or after the end, and says whether the packet was too short or too long.
module program_loader_proof
  import engine_pkg::*;
  import dsodenet_registers_pkg::*;
#(
    parameter int unsigned BIT = 0  // the one data bit that is followed
) (
    input logic         clk_i,
    input logic         rst_ni,
    input logic         start_i,
    input logic [127:0] s_axis_tdata,
    input logic         s_axis_tlast,
    input logic         s_axis_tvalid,
    input logic         bad_pass_i
);
  localparam logic [LoadParts-1:0][15:0] Columns = {16'd1, 16'd2, 16'd3, 16'd2};
  localparam logic [LoadParts-1:0][31:0] Capacity = {32'd2, 32'd1, 32'd2, 32'd3};
  logic busy, done, ended, tready, fire;
  logic [31:0] status;
  logic [LoadParts-1:0] we;
  logic [15:0] addr, column;
  logic [127:0] data;
  logic [LoadParts-1:0][15:0] words;
  logic [63:0] fingerprint;
  logic [MAX_BLOCKS-1:0][15:0] evaluations;
  logic [1:0] blocks;
  program_loader #(
      .LANES(32'h01040408), .COLUMNS(Columns), .CAPACITY(Capacity)
  ) u_dut (
      .clk_i, .rst_ni, .start_i, .busy_o(busy), .done_o(done), .status_o(status), .ended_o(ended), .s_axis_tdata, .s_axis_tlast,
      .s_axis_tvalid, .s_axis_tready(tready), .we_o(we), .addr_o(addr), .column_o(column), .data_o(data),
      .words_o(words), .bad_pass_i, .fingerprint_o(fingerprint), .evaluations_o(evaluations), .blocks_o(blocks)
  );
  assign fire = s_axis_tvalid && tready;

  // ---- what is around it
  first_reset u_reset (.clk_i, .rst_ni, .constant_i(1'b0));
  always_comb if (busy) assume (!start_i);

  // ---- what must come out. place: the part, word and column that comes next, from the header's numbers of words
  logic [LoadParts-1:0][15:0] words_q;
  logic [1:0] part_q, header_q;
  logic [15:0] word_q, column_q;
  logic reading_q, finished_q, tlast_q, bit_q, fired_q, body_q, bad_pass_q;
  logic place_last;
  assign place_last = word_q + 1'b1 == words_q[part_q] && column_q + 1'b1 == Columns[part_q];
  always_ff @(posedge clk_i) begin
    bit_q <= s_axis_tdata[BIT];
    bad_pass_q <= bad_pass_i;
    body_q <= fire && header_q == 3;
    fired_q <= fire;
    if (fire) begin
      tlast_q <= s_axis_tlast;
      if (header_q == 1) words_q <= s_axis_tdata[95:32];
      if (header_q != 3) header_q <= header_q + 1'b1;
      if (s_axis_tlast) reading_q <= 1'b0;
    end
    if (done) reading_q <= 1'b0;
    if (|we) begin
      column_q <= column_q + 1'b1 == Columns[part_q] ? '0 : column_q + 1'b1;
      if (column_q + 1'b1 == Columns[part_q]) word_q <= place_last ? '0 : word_q + 1'b1;
      if (place_last) part_q <= part_q + 1'b1;
      if (place_last && part_q == 3) finished_q <= 1'b1;
    end
    if (start_i) {header_q, part_q, word_q, column_q, finished_q, reading_q} <= 1'b1;
    if (!rst_ni) {reading_q, fired_q, body_q} <= '0;
  end
  always_comb begin
    if (rst_ni) begin
      assert (tready == busy);
      if (tready) assert (reading_q);
      assert (|we == body_q);
      if (|we) begin
        assert (we == LoadParts'(1) << part_q && addr == word_q && column == column_q && data[BIT] == bit_q && !finished_q);
        assert (32'(addr) < Capacity[part_q]);
      end
      if (done) begin
        assert (fired_q && ended == tlast_q && !busy);
        if (status == STATUS_OK) assert (tlast_q && |we && part_q == 3 && place_last && !bad_pass_q && words == words_q);
        else if (status == STATUS_LONG_INPUT) assert (!tlast_q && |we && part_q == 3 && place_last);
        else if (status == STATUS_SHORT_INPUT) assert (tlast_q && !(|we && part_q == 3 && place_last));
        else assert (status == STATUS_BAD_PROGRAM);
      end
      cover (done && status == STATUS_OK && words_q == {16'd2, 16'd1, 16'd2, 16'd3});
    end
  end
endmodule
