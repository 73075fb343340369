// Reads a program from the stream: header, passes, depthwise words, pointwise words, bias words (see rtl/builder.py).
// The checksum is CRC-32 over all beats, the checksum's own bytes taken as zero.
module program_loader
  import engine_pkg::*;
  import dsodenet_program_pkg::*;
  import dsodenet_registers_pkg::*;
#(
    parameter logic [31:0] LANES = '0,
    parameter logic [LoadParts-1:0][15:0] COLUMNS = '0,   // beats per word of each part
    parameter logic [LoadParts-1:0][31:0] CAPACITY = '0   // words of each part
) (
    input  logic                        clk_i,
    input  logic                        rst_ni,
    input  logic                        start_i,
    output logic                        busy_o,
    output logic                        done_o,
    output logic [31:0]                 status_o,
    output logic                        ended_o,  // the stream has been read up to TLAST
    input  logic [127:0]                s_axis_tdata,
    input  logic                        s_axis_tlast,
    input  logic                        s_axis_tvalid,
    output logic                        s_axis_tready,
    output logic [LoadParts-1:0]        we_o,
    output logic [15:0]                 addr_o,
    output logic [15:0]                 column_o,
    output logic [127:0]                data_o,
    output logic [LoadParts-1:0][15:0]  words_o,     // of each part
    input  logic                        bad_pass_i,  // by the last beat: a pass does not fit this build
    output logic [63:0]                 fingerprint_o,
    output logic [MAX_BLOCKS-1:0][15:0] evaluations_o,  // rows of the time table of each ODE block; 0: it has none
    output logic [1:0]                  blocks_o
);
  logic [2:0] stage_q;  // header beats 0..2, then body
  logic body, fire, last_beat, bad_header;
  logic [1:0] part_q;
  logic [15:0] word_q, column_q;
  logic checksum_q, last_column_q, last_word_q;  // what the next beat holds: the checksum, the end of a word, of a part
  logic [LoadParts-1:0][15:0] words_q;
  logic [31:0] crc_q, crc, expected_q;
  assign words_o = words_q;
  assign body = stage_q == 3;
  assign s_axis_tready = busy_o;
  assign fire = s_axis_tvalid && busy_o;
  assign last_beat = body && 32'(part_q) == LoadParts - 1 && last_word_q && last_column_q;
  crc32 u_crc (
      .crc_i(crc_q), .beat_i({s_axis_tdata[127:32], checksum_q ? '0 : s_axis_tdata[31:0]}), .crc_o(crc)
  );

  logic [1:0] part_next;
  assign part_next = part_q + 2'(last_word_q);

  always_comb begin
    bad_header = 1'b0;
    if (stage_q == 0) bad_header = s_axis_tdata[31:0] != PROGRAM_MAGIC || s_axis_tdata[63:32] != LANES;
    if (stage_q == 1) begin
      for (int unsigned i = 0; i < LoadParts; i++) begin
        if (s_axis_tdata[32+16*i+:16] == 0 || 32'(s_axis_tdata[32+16*i+:16]) > CAPACITY[i]) bad_header = 1'b1;
      end
      if (s_axis_tdata[111:96] == 0 || s_axis_tdata[111:96] > MAX_BLOCKS[15:0]) bad_header = 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    done_o <= 1'b0;
    we_o <= '0;
    if (!rst_ni) begin
      busy_o <= 1'b0;
      fingerprint_o <= '0;
    end else if (start_i) begin
      busy_o <= 1'b1;
      {stage_q, part_q, word_q, column_q, checksum_q} <= '0;
      crc_q <= '1;
      status_o <= STATUS_OK;
      fingerprint_o <= '0;
    end else if (fire) begin
      ended_o <= s_axis_tlast;
      crc_q <= crc;
      if (bad_header || s_axis_tlast || last_beat) begin
        busy_o <= 1'b0;
        done_o <= 1'b1;
        if (bad_header) status_o <= STATUS_BAD_PROGRAM;
        else if (!last_beat) status_o <= STATUS_SHORT_INPUT;
        else if (!s_axis_tlast) status_o <= STATUS_LONG_INPUT;
        else if (~crc != expected_q || bad_pass_i) status_o <= STATUS_BAD_PROGRAM;
      end
      case (stage_q)
        0: fingerprint_o <= s_axis_tdata[127:64];
        1: begin
          expected_q <= s_axis_tdata[31:0];
          words_q <= s_axis_tdata[95:32];
          blocks_o <= s_axis_tdata[97:96];
        end
        2: begin
          evaluations_o <= s_axis_tdata[MAX_BLOCKS*16-1:0];
          last_column_q <= COLUMNS[0] == 1;
          last_word_q <= words_q[0] == 1;
        end
        default: begin
          we_o[part_q] <= 1'b1;
          column_q <= column_q + 1'b1;
          last_column_q <= column_q + 16'd2 == COLUMNS[part_q];
          if (last_column_q) begin
            column_q <= '0;
            word_q <= last_word_q ? '0 : word_q + 1'b1;
            part_q <= part_next;
            last_column_q <= COLUMNS[part_next] == 1;
            last_word_q <= last_word_q ? words_q[part_next] == 1 : word_q + 16'd2 == words_q[part_q];
          end
        end
      endcase
      checksum_q <= stage_q == 0;
      if (!body) stage_q <= stage_q + 1'b1;
    end
    addr_o <= word_q;
    column_o <= column_q;
    data_o <= s_axis_tdata;
  end
endmodule
