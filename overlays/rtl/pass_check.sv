// Looks at the passes of a program while they are loaded: is every field in its range, and do the passes end?
//
// A field that ends a loop, picks a memory word or is cut to its lowest bits must fit this build. The passes must end:
// the last one, and no other, gives the logits, and a slope goes back over the hidden passes right before it, so that no
// loop holds another one. What only shows while a program runs, such as an address that grows, core.sv and
// image_loader.sv watch.
module pass_check
  import dsodenet_program_pkg::*;
#(
    parameter int unsigned INPUT_LANES = 4,
    parameter int unsigned OUTPUT_LANES = 8,
    parameter int unsigned MAP_WORDS = 256,
    parameter int unsigned DW_WORDS = 64,
    parameter int unsigned PW_WORDS = 64,
    parameter int unsigned BIAS_WORDS = 64,
    parameter int unsigned LINE_WORDS = 64,
    parameter int unsigned MAX_TILES = 16,
    parameter int unsigned LOGIT_WORDS = 32
) (
    input  logic         clk_i,
    input  logic         start_i,    // of a program
    input  logic         we_i,       // a beat of a pass; more beats follow a program's last one of these
    input  logic [15:0]  addr_i,     // which pass, and which of its beats
    input  logic [15:0]  column_i,
    input  logic [127:0] data_i,
    input  logic [15:0]  passes_i,   // of the program
    input  logic [1:0]   blocks_i,
    output logic         bad_o       // two cycles after a bad beat, until the next program starts
);
  localparam int unsigned PerTile = OUTPUT_LANES / INPUT_LANES;
  localparam int unsigned OutWords = MAX_TILES > LOGIT_WORDS ? MAX_TILES : LOGIT_WORDS;
  localparam int unsigned Columns = $bits(pass_t) / 128;
  localparam int unsigned ColumnBits = $clog2(Columns);
  typedef logic [Columns-1:0][7:0][15:0] fields_t;

  function automatic pass_t highest();  // value of each field in this build
    highest = PASS_HIGH;
    highest.lead_groups = 16'(MAP_WORDS + LINE_WORDS - 1);
    highest.last_group = 16'(MAP_WORDS + LINE_WORDS - 1);
    highest.tiles_last = 16'(MAX_TILES - 1);
    highest.inputs_last = 16'(MAX_TILES - 1);
    highest.slot_last = 16'((MAX_TILES > PerTile ? MAX_TILES : PerTile) - 1);
    highest.outputs_last = 16'((OutWords + PerTile - 1) / PerTile - 1);
    highest.words_last = 16'(PerTile - 1);
    highest.tail_last = 16'(PerTile - 1);
    highest.row_words = 16'(OutWords);
    highest.map_last = 16'(MAP_WORDS - 1);
    highest.line_near = 16'(LINE_WORDS - 1);
    highest.line_far = 16'(LINE_WORDS - 1);
    highest.dst_row_words = 16'(MAP_WORDS);
    highest.dw_base = 16'(DW_WORDS - 1);
    highest.pw_base = 16'(PW_WORDS - 1);
    highest.bias_base = 16'(BIAS_WORDS - 1);
    highest.bias_stride = 16'(MAX_TILES);
    highest.image_row_words = 16'(MAP_WORDS);
    highest.logit_beats_last = 16'(LOGIT_WORDS * INPUT_LANES / 4 - 1);
  endfunction
  function automatic fields_t spans();  // highest minus lowest value
    fields_t high, low;
    high = highest();
    low = PASS_LOW;
    for (int unsigned c = 0; c < Columns; c++) for (int unsigned i = 0; i < 8; i++) spans[c][i] = high[c][i] - low[c][i];
  endfunction
  localparam fields_t Low = PASS_LOW;
  localparam fields_t Span = spans();

  // A copy of the beat: its source drives every memory of the engine.
  logic we_q;
  logic [15:0] addr_q;
  logic [ColumnBits-1:0] column;
  logic [127:0] data_q;
  always_ff @(posedge clk_i) begin
    we_q <= we_i && !start_i;
    {addr_q, column, data_q} <= {addr_i, column_i[ColumnBits-1:0], data_i};
  end

  logic [7:0] outside;
  logic [7:0][15:0] offset;
  always_comb begin
    for (int unsigned i = 0; i < 8; i++) begin
      offset[i] = data_q[16*i+:16] - Low[column][i];
      outside[i] = offset[i] > Span[column][i];
    end
  end

  // The beat as the pass it is part of; what belongs to other beats is zero.
  pass_t part;
  logic bad;
  logic [1:0] kind_q;
  logic [15:0] hidden_q;  // hidden passes in a row, up to here
  assign part = pass_t'($bits(pass_t)'(data_q) << {column, 7'b0});
  always_comb begin
    bad = |outside;
    case (32'(column))
      0: begin
        if ((part.kind[1:0] == KindLogits) != (addr_q + 1'b1 == passes_i)) bad = 1'b1;
        if (part.block >= 16'(blocks_i)) bad = 1'b1;
      end
      1: begin
        if (part.last_group < part.lead_groups) bad = 1'b1;
        // An output tile takes its input words, or longer if its results need longer to leave.
        if (part.slot_last < part.inputs_last) bad = 1'b1;
        if (part.slot_last > part.inputs_last && part.slot_last >= 16'(PerTile)) bad = 1'b1;
      end
      4: if (kind_q == KindSlope && part.loop_passes != hidden_q) bad = 1'b1;
      7: if (addr_q == 0 && part.tail_bytes == 0) bad = 1'b1;  // an image would take no bytes
      default: ;
    endcase
  end

  always_ff @(posedge clk_i) begin
    if (start_i) {bad_o, hidden_q} <= '0;
    else if (we_q) begin
      if (bad) bad_o <= 1'b1;
      if (column == 0) kind_q <= part.kind[1:0];
      if (32'(column) == Columns - 1) hidden_q <= kind_q == KindHidden ? hidden_q + 1'b1 : '0;
    end
  end

  logic unused;
  assign unused = ^{column_i, part};
endmodule
