// Everything one pass needs: runner, maps, window, depthwise unit, pointwise array, output stage, weight memories.
// The pipeline is static: stage n works on the token that left the runner n cycles ago.
module core
  import engine_pkg::*;
  import dsodenet_program_pkg::*;
  import dsodenet_registers_pkg::*;
#(
    parameter int unsigned PIXEL_LANES = 1,
    parameter int unsigned INPUT_LANES = 4,
    parameter int unsigned OUTPUT_LANES = 8,
    parameter int unsigned MAP_WORDS = 256,
    parameter int unsigned DW_WORDS = 64,
    parameter int unsigned PW_WORDS = 64,
    parameter int unsigned BIAS_WORDS = 64,
    parameter int unsigned LINE_WORDS = 64,
    parameter int unsigned MAX_TILES = 16,
    parameter int unsigned LOGIT_WORDS = 32,
    parameter MAP_STYLE = "ultra",
    parameter bit DOUBLE_PUMPED = 1'b0,
    parameter bit DSP_INSTANCES = 1'b0,
    parameter bit GARBAGE = 1'b0
) (
    input  logic                                clk_i,
    input  logic                                clk2_i,
    input  logic                                rst_ni,
    // program load
    input  logic [3:0]                          load_we_i,  // LoadPass, LoadDw, LoadPw, LoadBias; passes are kept elsewhere
    input  logic [15:0]                         load_addr_i,
    input  logic [15:0]                         load_column_i,
    input  logic [127:0]                        load_data_i,
    input  logic [LoadParts-1:0][15:0]          load_words_i,  // what the program has filled
    // image load
    input  logic [PIXEL_LANES-1:0]              image_we_i,
    input  logic [INPUT_LANES-1:0]              image_lanes_i,
    input  logic [15:0]                         image_addr_i,
    input  logic [1:0][INPUT_LANES*8-1:0]       image_data_i,
    input  logic                                image_whole_i,
    input  logic [15:0]                         image_whole_words_i,
    // passes
    input  context_t                            context_i,
    input  logic                                start_i,
    input  logic                                continue_i,
    input  logic                                start_average_i,
    output logic                                busy_o,
    output logic                                fault_o,  // until reset: an address was outside its memory, or the program
    // logits
    output logic                                logits_we_o,
    output logic [9:0]                          logits_word_o,
    output logic [INPUT_LANES*32-1:0]           logits_o
);
  localparam int unsigned Length = INPUT_LANES < CascadeLength ? INPUT_LANES : CascadeLength;
  localparam int unsigned Chains = INPUT_LANES / Length;
  // Columns of a pointwise word in each place of a cascade. A column is nine weights, as wide as a block RAM.
  localparam int unsigned PlaceColumns = (Chains * OUTPUT_LANES + 8) / 9;
  localparam int unsigned ColumnBits = $clog2(Length * PlaceColumns > INPUT_LANES ? Length * PlaceColumns : INPUT_LANES);
  localparam int unsigned SumBits = 16 + $clog2(MAX_TILES * INPUT_LANES);  // of an accumulator: so many products, at most 2**14 each

  // A copy of the program's beats: they drive every memory here, and their source the rest of the engine.
  logic [3:0] load_we_q;
  logic [15:0] load_addr_q, load_column;
  logic [ColumnBits-1:0] load_column_q;
  logic [127:0] load_data_q;
  assign load_column = 16'(load_column_q);
  always_ff @(posedge clk_i) begin
    {load_we_q, load_addr_q, load_data_q} <= {load_we_i, load_addr_i, load_data_i};
    load_column_q <= load_column_i[ColumnBits-1:0];
  end

  // Stages of the pipeline: token[n] left the runner n cycles ago.
  localparam int unsigned WindowStage = 4;                    // the window holds the token's neighbourhood
  localparam int unsigned DataStage = WindowStage + 11;       // the depthwise unit is done
  localparam int unsigned ResultStage = DataStage + 4 + Length + $clog2(Chains);  // accumulators complete
  localparam int unsigned DrainCycles = ResultStage + 14 + OUTPUT_LANES / INPUT_LANES;

  token_t token[ResultStage+1];
  always_ff @(posedge clk_i) begin
    for (int unsigned i = 1; i <= ResultStage; i++) begin
      token[i] <= token[i-1];
      if (!rst_ni) {token[i].start, token[i].fetch, token[i].valid} <= '0;  // the rest may be shift registers of LUTs
    end
  end

  // ---- contexts. A copy follows the first token of a pass, at least three tokens before one with work. It changes when the last word
  // of the pass before has left the stages that it is for, and two cycles before the first of its own arrives there: what leaves
  // a context, or a shift that is decoded from one, may take two cycles (dsodenet_engine.xdc).
  localparam int unsigned HeadStage = ResultStage;
  localparam int unsigned OutStage = ResultStage + 2;
  localparam int unsigned UpdateStage = ResultStage + 10;
  localparam int unsigned WriteStage = ResultStage + 13;
  logic [WriteStage:0] start;  // the first token of a pass left the runner so many cycles ago
  logic [WriteStage-1:0] start_q;
  assign start = {start_q, token[0].start};
  context_t window_context_q, depthwise_context_q, head_context_q, out_context_q, update_context_q, write_context_q;
  always_ff @(posedge clk_i) begin
    start_q <= rst_ni ? start[WriteStage-1:0] : '0;
    if (start[0]) window_context_q <= context_i;
    if (start[WindowStage+6]) depthwise_context_q <= window_context_q;
    if (start[HeadStage]) head_context_q <= depthwise_context_q;
    if (start[OutStage]) out_context_q <= head_context_q;
    if (start[UpdateStage]) update_context_q <= out_context_q;
    if (start[WriteStage]) write_context_q <= update_context_q;
  end
  context_t window_context, depthwise_context, head_context, out_context, update_context, write_context;
  settled #(
      .value_t(context_t), .GARBAGE(GARBAGE)
  ) u_window_context (
      .clk_i, .value_i(window_context_q), .value_o(window_context)
  );
  settled #(
      .value_t(context_t), .GARBAGE(GARBAGE)
  ) u_depthwise_context (
      .clk_i, .value_i(depthwise_context_q), .value_o(depthwise_context)
  );
  settled #(
      .value_t(context_t), .GARBAGE(GARBAGE)
  ) u_head_context (
      .clk_i, .value_i(head_context_q), .value_o(head_context)
  );
  settled #(
      .value_t(context_t), .GARBAGE(GARBAGE)
  ) u_out_context (
      .clk_i, .value_i(out_context_q), .value_o(out_context)
  );
  settled #(
      .value_t(context_t), .GARBAGE(GARBAGE)
  ) u_update_context (
      .clk_i, .value_i(update_context_q), .value_o(update_context)
  );
  settled #(
      .value_t(context_t), .GARBAGE(GARBAGE)
  ) u_write_context (
      .clk_i, .value_i(write_context_q), .value_o(write_context)
  );

  pass_t pass, window_pass, depthwise_pass, write_pass;
  assign pass = context_i.pass;
  assign window_pass = window_context.pass;
  assign depthwise_pass = depthwise_context.pass;
  assign write_pass = write_context.pass;

  logic runner_busy, average_busy;
  assign busy_o = runner_busy || average_busy;
  logic drain;  // the logits, or the average, come next
  assign drain = pass.kind[1:0] == KindLogits || (pass.accumulate[0] && context_i.last_evaluation);
  pass_runner #(
      .PIXEL_LANES(PIXEL_LANES), .DRAIN_CYCLES(DrainCycles)
  ) u_runner (
      .clk_i, .rst_ni, .start_i, .continue_i, .pass_i(pass), .whole_i(image_whole_i), .whole_words_i(image_whole_words_i),
      .drain_i(drain), .token_o(token[0]), .busy_o(runner_busy)
  );

  // ---- maps
  logic [PIXEL_LANES-1:0][15:0] fetch_addr, write_addr, result_addr;
  logic [PIXEL_LANES-1:0][INPUT_LANES*8-1:0] bank, write_data, result_map, result_slope;
  logic [PIXEL_LANES-1:0][INPUT_LANES*16-1:0] result_state, old_state;
  logic [PIXEL_LANES-1:0][MAX_STAGES-2:0][INPUT_LANES*8-1:0] old_slope;
  logic [PIXEL_LANES-1:0] result_we, state_we;
  logic [PIXEL_LANES-1:0][INPUT_LANES-1:0] write_we;
  logic [PIXEL_LANES-1:0][MAX_STAGES-2:0] slope_we;
  logic [PIXEL_LANES-1:0] fetch_source;
  logic [15:0] state_addr, slope_addr, average_word;
  logic average_we;
  logic [INPUT_LANES-1:0][7:0] average_data;
  kind_e kind;
  assign kind = kind_e'(write_pass.kind[1:0]);

  for (genvar b = 0; b < PIXEL_LANES; b++) begin : g_bank
    assign fetch_addr[b] = b < 32'(pass.fetch_rotate) ? token[0].far_addr : token[0].near_addr;
    assign fetch_source[b] = context_i.source ^ (b < 32'(pass.fetch_rotate) ? token[0].far_other : token[0].near_other);
    // The average goes to the map that the next pass reads, results to the other one.
    always_comb begin
      write_addr[b] = result_addr[b];
      write_data[b] = result_map[b];
      write_we[b] = {INPUT_LANES{result_we[b] && kind != KindLogits}};
      if (average_we) begin
        write_addr[b] = average_word;
        write_data[b] = average_data;
        write_we[b] = '1;
      end
    end
    assign state_we[b] = result_we[b] && (kind == KindState || (kind == KindSlope && write_context.last_stage));
    for (genvar j = 0; j < MAX_STAGES - 1; j++) begin : g_slope
      assign slope_we[b][j] = result_we[b] && kind == KindSlope && 32'(write_context.stage) == j;
    end
  end

  maps #(
      .PIXEL_LANES(PIXEL_LANES), .INPUT_LANES(INPUT_LANES), .MAP_WORDS(MAP_WORDS), .STYLE(MAP_STYLE), .GARBAGE(GARBAGE)
  ) u_maps (
      .clk_i, .source_i(fetch_source), .raddr_i(fetch_addr), .rdata_o(bank),
      .dest_i(average_we ? context_i.source : !write_context.source),
      .we_i(write_we), .waddr_i(write_addr), .wdata_i(write_data), .image_we_i, .image_lanes_i, .image_addr_i, .image_data_i,
      .state_raddr_i(state_addr), .slope_raddr_i(slope_addr), .state_o(old_state), .slope_o(old_slope),
      .state_we_i(state_we), .state_i(result_state), .slope_we_i(slope_we), .slope_i(result_slope)
  );

  // ---- depthwise
  logic [2:0][PIXEL_LANES+1:0][INPUT_LANES*8-1:0] window;
  window #(
      .PIXEL_LANES(PIXEL_LANES), .WORD_BITS(INPUT_LANES * 8), .LINE_WORDS(LINE_WORDS), .MAX_TILES(MAX_TILES),
      .GARBAGE(GARBAGE)
  ) u_window (
      .clk_i, .rst_ni, .fetch_i(token[WindowStage-2].fetch), .tile_i(token[WindowStage-2].tile), .bank_i(bank),
      .fetch_rotate_i(window_pass.fetch_rotate[2:0]), .line_rotate_i(window_pass.line_rotate[2:0]),
      .line_near_i(window_pass.line_near), .line_far_i(window_pass.line_far), .window_o(window)
  );

  // A memory for every four lanes, read at a copy of the address: one register cannot drive them all in time. KEEP: equal
  // registers are not to be merged (UG901).
  logic [INPUT_LANES-1:0][95:0] dw_weight;
  for (genvar g = 0; g < INPUT_LANES / 4; g++) begin : g_dw
    (* keep = "true" *) logic [15:0] addr_q;
    always_ff @(posedge clk_i) addr_q <= token[WindowStage-2].dw_addr;
    column_ram #(
        .COLUMNS(3), .FIRST_COLUMN(3 * g), .DEPTH(DW_WORDS), .READ_LATENCY(2), .STYLE("distributed"), .GARBAGE(GARBAGE)
    ) u_weights (
        .clk_i, .we_i(load_we_q[LoadDw]), .waddr_i(load_addr_q), .wcolumn_i(load_column), .wdata_i(load_data_q),
        .raddr_i(addr_q), .rdata_o(dw_weight[4*g+:4])
    );
  end

  logic [PIXEL_LANES-1:0][INPUT_LANES-1:0][7:0] dw_result;
  depthwise #(
      .PIXEL_LANES(PIXEL_LANES), .INPUT_LANES(INPUT_LANES), .DSP_PRODUCTS(DOUBLE_PUMPED), .INSTANCES(DSP_INSTANCES),
      .GARBAGE(GARBAGE)
  ) u_depthwise (
      .clk_i, .window_i(window), .weight_i(dw_weight),
      .left_i(token[WindowStage].left[PIXEL_LANES-1:0]), .right_i(token[WindowStage].right[PIXEL_LANES-1:0]),
      .above_i(token[WindowStage].above[PIXEL_LANES-1:0]), .below_i(token[WindowStage].below[PIXEL_LANES-1:0]),
      .unsigned_i(window_pass.source_unsigned[0]), .truncate_i(depthwise_pass.truncate[0]), .shift_i(depthwise_pass.dw_shift[6:0]),
      .min_i(depthwise_pass.dw_min[7:0]), .max_i(depthwise_pass.dw_max[7:0]), .result_o(dw_result)
  );

  // ---- pointwise
  // A memory for each place of a cascade, read a cycle of the cascade's clock later than the one before it.
  logic [Length-1:0][Chains-1:0][OUTPUT_LANES-1:0][7:0] pw_weight;
  for (genvar q = 0; q < Length; q++) begin : g_place
    logic [PlaceColumns*72-1:0] word;
    column_ram #(
        .COLUMNS(PlaceColumns), .COLUMN_BITS(72), .FIRST_COLUMN(q * PlaceColumns), .DEPTH(PW_WORDS), .READ_LATENCY(2), .STYLE("block"), .GARBAGE(GARBAGE)
    ) u_weights (
        .clk_i, .we_i(load_we_q[LoadPw]), .waddr_i(load_addr_q), .wcolumn_i(load_column), .wdata_i(load_data_q),
        .raddr_i(token[DataStage-2+weight_wait(q, Length, DOUBLE_PUMPED)].pw_addr), .rdata_o(word)
    );
    assign pw_weight[q] = word[Chains*OUTPUT_LANES*8-1:0];
    logic unused_word;
    assign unused_word = ^word;
  end

  logic signed [PIXEL_LANES-1:0][OUTPUT_LANES-1:0][SumBits-1:0] acc;
  pointwise #(
      .PIXEL_LANES(PIXEL_LANES), .INPUT_LANES(INPUT_LANES), .OUTPUT_LANES(OUTPUT_LANES), .MAX_INPUTS(MAX_TILES), .SUM_BITS(SumBits),
      .DOUBLE_PUMPED(DOUBLE_PUMPED), .INSTANCES(DSP_INSTANCES)
  ) u_pointwise (
      .clk_i, .clk2_i, .valid_i(token[DataStage].valid), .fresh_i(token[DataStage].fresh), .index_i(token[DataStage].index),
      .data_i(dw_result), .weight_i(pw_weight), .sum_valid_i(token[ResultStage-1].valid),
      .sum_first_i(token[ResultStage-1].first), .acc_o(acc)
  );

  // ---- results
  logic bias_read;
  logic [15:0] bias_addr;
  logic [INPUT_LANES-1:0][31:0] bias;
  column_ram #(
      .COLUMNS(INPUT_LANES / 4), .DEPTH(BIAS_WORDS), .READ_LATENCY(2), .STYLE(MAP_STYLE), .GARBAGE(GARBAGE)
  ) u_bias (
      .clk_i, .we_i(load_we_q[LoadBias]), .waddr_i(load_addr_q), .wcolumn_i(load_column), .wdata_i(load_data_q),
      .raddr_i(bias_addr), .rdata_o(bias)
  );

  result_t result, coming_result, logits_result, sum_result;
  logic [PIXEL_LANES-1:0][INPUT_LANES-1:0][7:0] lane_map, lane_slope;
  logic [PIXEL_LANES-1:0][INPUT_LANES-1:0][15:0] lane_state;
  output_stage #(
      .PIXEL_LANES(PIXEL_LANES), .INPUT_LANES(INPUT_LANES), .OUTPUT_LANES(OUTPUT_LANES), .SUM_BITS(SumBits), .GARBAGE(GARBAGE)
  ) u_output (
      .clk_i, .rst_ni, .head_i(head_context), .out_i(out_context), .update_i(update_context), .write_i(write_context),
      .valid_i(token[ResultStage-1].valid && token[ResultStage-1].last), .token_i(token[ResultStage-1]), .acc_i(acc),
      .bias_read_o(bias_read), .bias_addr_o(bias_addr), .bias_i(bias), .slope_addr_o(slope_addr), .slope_i(old_slope), .state_addr_o(state_addr),
      .state_i(old_state),
      .logits_result_o(logits_result), .logits_o, .coming_result_o(coming_result), .result_o(result),
      .slope_o(lane_slope), .state_o(lane_state), .map_o(lane_map)
  );
  assign logits_we_o = logits_result.valid && out_context.pass.kind[1:0] == KindLogits;
  assign logits_word_o = logits_result.word;

  logic [PIXEL_LANES-1:0][INPUT_LANES*32-1:0] lane_all, bank_all;
  for (genvar p = 0; p < PIXEL_LANES; p++) begin : g_pack
    assign lane_all[p] = {lane_state[p], lane_slope[p], lane_map[p]};
    assign {result_state[p], result_slope[p], result_map[p]} = bank_all[p];
  end
  // The places of a result are found in the two cycles before it, so they have their part of the context earlier than the rest.
  logic pack_q;
  logic [15:0] row_words_q;
  always_ff @(posedge clk_i) begin
    if (start[WriteStage-1]) {pack_q, row_words_q} <= {update_context.pass.stride2[0], update_context.pass.row_words};
  end
  scatter #(
      .PIXEL_LANES(PIXEL_LANES), .WIDTH(INPUT_LANES * 32)
  ) u_scatter (
      .clk_i, .rst_ni, .result_i(coming_result), .pack_i(pack_q), .row_words_i(row_words_q), .data_i(lane_all),
      .we_o(result_we), .addr_o(result_addr), .data_o(bank_all)
  );

  always_comb begin
    sum_result = result;
    sum_result.valid = result.valid && write_pass.accumulate[0] && write_context.last_evaluation;
  end
  average #(
      .PIXEL_LANES(PIXEL_LANES), .INPUT_LANES(INPUT_LANES), .MAX_TILES(MAX_TILES)
  ) u_average (
      .clk_i, .rst_ni, .result_i(sum_result), .state_i(lane_state), .start_i(start_average_i),
      .words_last_i(pass.tiles_last), .count_last_i(pass.average_count_last), .shift_i(pass.average_shift[6:0]),
      .truncate_i(pass.truncate[0]), .min_i(pass.average_min[7:0]), .max_i(pass.average_max[7:0]),
      .busy_o(average_busy), .we_o(average_we), .word_o(average_word), .result_o(average_data)
  );

  // ---- addresses: what the loops of a program reach is known only while they run
  logic bias_read_q, logits_we_q, image_q;
  logic [15:0] bias_addr_q, image_addr_q;
  logic [9:0] logits_word_q;
  logic [PIXEL_LANES-1:0] write_q;
  logic [PIXEL_LANES-1:0][15:0] write_addr_q;
  logic outside;
  always_comb begin
    outside = bias_read_q && bias_addr_q >= load_words_i[LoadBias];
    if (token[0].valid && token[0].dw_addr >= load_words_i[LoadDw]) outside = 1'b1;
    if (token[0].valid && token[0].pw_addr >= load_words_i[LoadPw]) outside = 1'b1;
    if (logits_we_q && 32'(logits_word_q) >= LOGIT_WORDS) outside = 1'b1;
    if (image_q && 32'(image_addr_q) >= MAP_WORDS) outside = 1'b1;
    for (int unsigned b = 0; b < PIXEL_LANES; b++) if (write_q[b] && 32'(write_addr_q[b]) >= MAP_WORDS) outside = 1'b1;
  end
  always_ff @(posedge clk_i) begin
    bias_read_q <= bias_read;
    bias_addr_q <= bias_addr;
    logits_we_q <= logits_we_o;
    logits_word_q <= logits_word_o;
    image_q <= |image_we_i;
    image_addr_q <= image_addr_i;
    for (int unsigned b = 0; b < PIXEL_LANES; b++) begin
      write_q[b] <= |write_we[b];
      write_addr_q[b] <= write_addr[b];
    end
    if (!rst_ni) {fault_o, bias_read_q, logits_we_q, image_q, write_q} <= '0;
    else if (outside) fault_o <= 1'b1;
  end

  logic unused;
  assign unused = ^{context_i, load_column_i, load_words_i, window_pass, depthwise_context, depthwise_pass, write_context, write_pass, window_context, load_we_q, logits_result};
endmodule
