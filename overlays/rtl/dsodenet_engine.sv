// The rtl kernel: any dsODENet that fits the parameters, from image stream to logits stream. This module only wires.
module dsodenet_engine
  import engine_pkg::*;
  import dsodenet_program_pkg::*;
  import dsodenet_registers_pkg::*;
#(
    parameter int unsigned PIXEL_LANES = 1,
    parameter int unsigned INPUT_LANES = 4,
    parameter int unsigned OUTPUT_LANES = 8,
    parameter int unsigned MAP_WORDS = 2048,    // per pixel lane: words of INPUT_LANES channels of one map
    parameter int unsigned DW_WORDS = 512,      // depthwise weights, INPUT_LANES channels each
    parameter int unsigned PW_WORDS = 2048,     // pointwise weights, INPUT_LANES x OUTPUT_LANES each
    parameter int unsigned BIAS_WORDS = 2048,   // INPUT_LANES channels each
    parameter int unsigned LINE_WORDS = 512,
    parameter int unsigned MAX_TILES = 256,     // input words of one layer
    parameter int unsigned LOGIT_WORDS = 32,
    parameter int unsigned MAX_PASSES = 32,
    parameter int unsigned WATCHDOG_BITS = 0,   // 0: what the other parameters ask for
    parameter MAP_STYLE = "ultra",
    parameter bit DOUBLE_PUMPED = 1'b0,  // the array on a clock twice as fast, for an even number of pixel lanes
    parameter bit DSP_INSTANCES = 1'b0,  // name the DSP slices of the array, for synthesis by Vivado
    parameter bit GARBAGE = 1'b0  // for simulation: what the hardware leaves open is wrong (ram.sv, settled.sv)
) (
    input  logic         clk,
    input  logic         clk2,  // DOUBLE_PUMPED: two edges for one of clk, each of which it shares
    input  logic         rst_n,
    input  logic [8:0]   s_axi_control_awaddr,
    input  logic         s_axi_control_awvalid,
    output logic         s_axi_control_awready,
    input  logic [31:0]  s_axi_control_wdata,
    input  logic [3:0]   s_axi_control_wstrb,
    input  logic         s_axi_control_wvalid,
    output logic         s_axi_control_wready,
    output logic [1:0]   s_axi_control_bresp,
    output logic         s_axi_control_bvalid,
    input  logic         s_axi_control_bready,
    input  logic [8:0]   s_axi_control_araddr,
    input  logic         s_axi_control_arvalid,
    output logic         s_axi_control_arready,
    output logic [31:0]  s_axi_control_rdata,
    output logic [1:0]   s_axi_control_rresp,
    output logic         s_axi_control_rvalid,
    input  logic         s_axi_control_rready,
    input  logic [127:0] s_axis_tdata,
    input  logic         s_axis_tlast,
    input  logic         s_axis_tvalid,
    output logic         s_axis_tready,
    output logic [127:0] m_axis_tdata,
    output logic         m_axis_tlast,
    output logic         m_axis_tvalid,
    input  logic         m_axis_tready,
    output logic         interrupt
);
  localparam logic [31:0] Lanes = {8'(PIXEL_LANES), 8'(PIXEL_LANES * INPUT_LANES), 8'(INPUT_LANES), 8'(OUTPUT_LANES)};
  localparam int unsigned CascadeLanes = INPUT_LANES < CascadeLength ? INPUT_LANES : CascadeLength;
  localparam logic [LoadParts-1:0][15:0] Columns = {
    16'(INPUT_LANES / 4), 16'(CascadeLanes * ((INPUT_LANES / CascadeLanes * OUTPUT_LANES + 8) / 9)), 16'(INPUT_LANES * 3 / 4),
    16'($bits(pass_t) / 128)
  };
  localparam logic [LoadParts-1:0][31:0] Capacity = {BIAS_WORDS, PW_WORDS, DW_WORDS, MAX_PASSES};
  // No pass that pass_check lets in takes longer: groups, output tiles, cycles of each, and the way out.
  localparam int unsigned PerTile = OUTPUT_LANES / INPUT_LANES;
  localparam int unsigned SlotCycles = MAX_TILES > PerTile ? MAX_TILES : PerTile;
  localparam int unsigned OutTiles = ((MAX_TILES > LOGIT_WORDS ? MAX_TILES : LOGIT_WORDS) + PerTile - 1) / PerTile;
  localparam int unsigned Watchdog =
      WATCHDOG_BITS != 0 ? WATCHDOG_BITS : $clog2((MAP_WORDS + LINE_WORDS) * OutTiles * SlotCycles + 256) + 1;

  // ---- registers and commands
  logic start, done, load_start, load_busy, load_done, load_ended, load_ready;
  logic [31:0] status, load_status, command, frames, num_stages, frames_done, cycles, stalls_in, stalls_out;
  logic [3:0] command_state;
  logic [27:0] frame_state;
  logic [MAX_BLOCKS-1:0][31:0] n_steps;
  logic [MAX_BLOCKS-1:0][15:0] evaluations, short_steps;
  logic signed [MAX_BLOCKS-1:0][COEFFS_PER_BLOCK-1:0][17:0] coeffs;
  logic [63:0] fingerprint;
  logic [1:0] blocks;
  logic rewind, image_start, image_busy, image_done, image_short, image_long, image_ready;
  logic abort, cancel, running_n, frame_n, pass_continue, core_fault, image_bad, pass_start, average_start, core_busy;
  always_ff @(posedge clk) begin
    running_n <= rst_n && !abort;  // resets what runs a command; a register, since it reaches far
    frame_n <= rst_n && !abort && !cancel;  // and what computes a frame
  end
  logic frame_start, frame_done, logits_start, logits_busy, last_frame, drain_ready;

  control #(
      .CAP_CHANNELS(MAX_TILES * INPUT_LANES), .CAP_PIXELS(MAP_WORDS * PIXEL_LANES), .CAP_STEPS(MAX_STEPS), .CAP_LANES(Lanes)
  ) u_control (
      .clk_i(clk), .rst_ni(rst_n),
      .s_axi_control_awaddr, .s_axi_control_awvalid, .s_axi_control_awready, .s_axi_control_wdata, .s_axi_control_wstrb,
      .s_axi_control_wvalid, .s_axi_control_wready, .s_axi_control_bresp, .s_axi_control_bvalid, .s_axi_control_bready,
      .s_axi_control_araddr, .s_axi_control_arvalid, .s_axi_control_arready, .s_axi_control_rdata, .s_axi_control_rresp,
      .s_axi_control_rvalid, .s_axi_control_rready, .interrupt,
      .start_o(start), .done_i(done), .status_i(status), .command_o(command), .frames_o(frames), .num_stages_o(num_stages),
      .n_steps_o(n_steps), .coeff_o(coeffs), .fingerprint_i(fingerprint), .frames_done_i(frames_done), .cycles_i(cycles),
      .stalls_in_i(stalls_in), .stalls_out_i(stalls_out), .state_i({frame_state, command_state})
  );

  commander #(
      .WATCHDOG_BITS(Watchdog)
  ) u_commander (
      .clk_i(clk), .rst_ni(rst_n), .start_i(start), .done_o(done), .status_o(status), .command_i(command), .frames_i(frames),
      .num_stages_i(num_stages), .n_steps_i(n_steps), .frames_done_o(frames_done), .cycles_o(cycles), .stalls_in_o(stalls_in),
      .stalls_out_o(stalls_out), .state_o(command_state), .load_start_o(load_start), .load_busy_i(load_busy), .load_done_i(load_done),
      .load_status_i(load_status), .load_ended_i(load_ended), .evaluations_i(evaluations), .blocks_i(blocks),
      .rewind_o(rewind), .image_start_o(image_start), .image_busy_i(image_busy), .image_done_i(image_done),
      .image_short_i(image_short), .image_long_i(image_long), .frame_start_o(frame_start), .cancel_o(cancel), .frame_done_i(frame_done),
      .logits_start_o(logits_start), .logits_busy_i(logits_busy), .last_frame_o(last_frame),
      .progress_i(pass_start || average_start), .fault_i(core_fault || image_bad), .abort_o(abort),
      .s_axis_tvalid, .s_axis_tlast, .s_axis_tready, .drain_ready_o(drain_ready), .m_axis_tvalid, .m_axis_tready
  );

  // ---- input: a program or images
  logic [LoadParts-1:0] load_we;
  logic [15:0] load_addr, load_column;
  logic [127:0] load_data;
  logic [LoadParts-1:0][15:0] load_words;
  logic bad_pass;
  program_loader #(
      .LANES(Lanes), .COLUMNS(Columns), .CAPACITY(Capacity)
  ) u_program_loader (
      .clk_i(clk), .rst_ni(running_n), .start_i(load_start), .busy_o(load_busy), .done_o(load_done), .status_o(load_status),
      .ended_o(load_ended), .s_axis_tdata, .s_axis_tlast, .s_axis_tvalid, .s_axis_tready(load_ready), .we_o(load_we),
      .addr_o(load_addr), .column_o(load_column), .data_o(load_data), .words_o(load_words), .bad_pass_i(bad_pass), .fingerprint_o(fingerprint),
      .evaluations_o(evaluations), .blocks_o(blocks)
  );

  pass_check #(
      .INPUT_LANES(INPUT_LANES), .OUTPUT_LANES(OUTPUT_LANES), .MAP_WORDS(MAP_WORDS), .DW_WORDS(DW_WORDS), .PW_WORDS(PW_WORDS),
      .BIAS_WORDS(BIAS_WORDS), .LINE_WORDS(LINE_WORDS), .MAX_TILES(MAX_TILES), .LOGIT_WORDS(LOGIT_WORDS)
  ) u_pass_check (
      .clk_i(clk), .start_i(load_start), .we_i(load_we[LoadPass]), .addr_i(load_addr), .column_i(load_column),
      .data_i(load_data), .passes_i(load_words[LoadPass]), .blocks_i(blocks), .bad_o(bad_pass)
  );

  context_t pass_context;
  logic [PIXEL_LANES-1:0] image_we;
  logic [INPUT_LANES-1:0] image_lanes;
  logic [15:0] image_addr;
  logic [1:0][INPUT_LANES*8-1:0] image_data;
  logic image_whole;
  logic [15:0] image_whole_words;
  image_loader #(
      .PIXEL_LANES(PIXEL_LANES), .INPUT_LANES(INPUT_LANES)
  ) u_image_loader (
      .clk_i(clk), .rst_ni(running_n), .start_i(image_start), .last_frame_i(last_frame), .pass_i(pass_context.pass), .busy_o(image_busy),
      .done_o(image_done), .short_o(image_short), .long_o(image_long), .bad_o(image_bad), .s_axis_tdata, .s_axis_tlast, .s_axis_tvalid,
      .s_axis_tready(image_ready), .we_o(image_we), .lanes_o(image_lanes), .addr_o(image_addr), .data_o(image_data),
      .whole_o(image_whole), .whole_words_o(image_whole_words)
  );
  assign s_axis_tready = load_ready || image_ready || drain_ready;

  // ---- the network
  always_comb for (int unsigned b = 0; b < MAX_BLOCKS; b++) short_steps[b] = n_steps[b][15:0];
  scheduler #(
      .MAX_PASSES(MAX_PASSES), .GARBAGE(GARBAGE)
  ) u_scheduler (
      .clk_i(clk), .rst_ni(frame_n), .load_we_i(load_we[LoadPass]), .load_addr_i(load_addr), .load_column_i(load_column),
      .load_data_i(load_data), .rewind_i(rewind), .start_i(frame_start), .state_o(frame_state), .done_o(frame_done),
      .num_stages_i(num_stages[2:0]), .n_steps_i(short_steps), .coeff_i(coeffs), .context_o(pass_context),
      .pass_start_o(pass_start), .continue_o(pass_continue), .average_start_o(average_start),
      .core_busy_i(core_busy || image_busy)  // the pass that reads an image ends after it
  );

  logic logits_we;
  logic [9:0] logits_word;
  logic [INPUT_LANES*32-1:0] logits;
  core #(
      .PIXEL_LANES(PIXEL_LANES), .INPUT_LANES(INPUT_LANES), .OUTPUT_LANES(OUTPUT_LANES), .MAP_WORDS(MAP_WORDS),
      .DW_WORDS(DW_WORDS), .PW_WORDS(PW_WORDS), .BIAS_WORDS(BIAS_WORDS), .LINE_WORDS(LINE_WORDS), .MAX_TILES(MAX_TILES),
      .LOGIT_WORDS(LOGIT_WORDS), .MAP_STYLE(MAP_STYLE),
      .DOUBLE_PUMPED(DOUBLE_PUMPED), .DSP_INSTANCES(DSP_INSTANCES), .GARBAGE(GARBAGE)
  ) u_core (
      .clk_i(clk), .clk2_i(clk2), .rst_ni(frame_n), .load_we_i(load_we), .load_addr_i(load_addr), .load_column_i(load_column),
      .load_data_i(load_data), .load_words_i(load_words), .image_we_i(image_we), .image_lanes_i(image_lanes), .image_addr_i(image_addr),
      .image_data_i(image_data), .image_whole_i(image_whole), .image_whole_words_i(image_whole_words), .context_i(pass_context),
      .start_i(pass_start), .continue_i(pass_continue), .start_average_i(average_start),
      .busy_o(core_busy), .fault_o(core_fault), .logits_we_o(logits_we), .logits_word_o(logits_word), .logits_o(logits)
  );

  logits_writer #(
      .INPUT_LANES(INPUT_LANES), .WORDS(LOGIT_WORDS)
  ) u_logits (
      .clk_i(clk), .rst_ni(running_n), .we_i(logits_we), .word_i(logits_word), .data_i(logits), .start_i(logits_start),
      .last_frame_i(last_frame), .beats_last_i(pass_context.pass.logit_beats_last), .busy_o(logits_busy), .m_axis_tdata, .m_axis_tlast,
      .m_axis_tvalid, .m_axis_tready
  );
endmodule
