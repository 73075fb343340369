// commander: a command always ends, unless a stream makes it wait. Whatever the modules around it do, the kernel is never
// quiet for longer than the watchdog allows; the watchdog bites only then, takes the program away and starts nothing. No frame
// starts while another one is computed, and none is left when the command ends.
module commander_proof
  import dsodenet_registers_pkg::*;
(
    input logic                        clk_i,
    input logic                        rst_ni,
    input logic                        start_i,
    input logic [31:0]                 command_i,
    input logic [31:0]                 frames_i,
    input logic [31:0]                 num_stages_i,
    input logic [MAX_BLOCKS-1:0][31:0] n_steps_i,
    input logic                        load_busy_i,
    input logic                        load_done_i,
    input logic [31:0]                 load_status_i,
    input logic                        load_ended_i,
    input logic [MAX_BLOCKS-1:0][15:0] evaluations_i,
    input logic [1:0]                  blocks_i,
    input logic                        image_busy_i,
    input logic                        image_done_i,
    input logic                        image_short_i,
    input logic                        image_long_i,
    input logic                        frame_done_i,
    input logic                        logits_busy_i,
    input logic                        progress_i,
    input logic                        fault_i,
    input logic                        s_axis_tvalid,
    input logic                        s_axis_tlast,
    input logic                        other_ready_i,  // of the loaders
    input logic                        m_axis_tvalid,
    input logic                        m_axis_tready
);
  localparam int unsigned Bits = 3;
  logic cancel, done, load_start, rewind, image_start, frame_start, logits_start, abort, last_frame, drain_ready;
  logic [31:0] status, frames_done, cycles, stalls_in, stalls_out;
  logic [3:0] state;
  commander #(
      .DRAIN_PATIENCE(4), .WATCHDOG_BITS(Bits)
  ) u_dut (
      .clk_i, .rst_ni, .start_i, .done_o(done), .status_o(status), .command_i, .frames_i, .num_stages_i, .n_steps_i,
      .frames_done_o(frames_done), .cycles_o(cycles), .stalls_in_o(stalls_in), .stalls_out_o(stalls_out), .state_o(state),
      .load_start_o(load_start), .load_busy_i, .load_done_i, .load_status_i, .load_ended_i, .evaluations_i, .blocks_i,
      .rewind_o(rewind), .image_start_o(image_start), .image_busy_i, .image_done_i, .image_short_i, .image_long_i,
      .frame_start_o(frame_start), .cancel_o(cancel), .frame_done_i, .progress_i, .fault_i, .abort_o(abort), .logits_start_o(logits_start),
      .logits_busy_i, .last_frame_o(last_frame), .s_axis_tvalid, .s_axis_tlast, .s_axis_tready(drain_ready || other_ready_i),
      .drain_ready_o(drain_ready), .m_axis_tvalid, .m_axis_tready
  );

  // ---- what is around it: a command starts when none runs, its arguments stay, and a load has a status of its own
  first_reset u_reset (.clk_i, .rst_ni, .constant_i(1'b0));
  logic [31:0] command_q, frames_q, num_stages_q;
  logic [MAX_BLOCKS-1:0][31:0] n_steps_q;
  logic [MAX_BLOCKS-1:0][15:0] evaluations_q;
  logic [1:0] blocks_q;
  always_ff @(posedge clk_i) begin
    {command_q, frames_q, num_stages_q, n_steps_q} <= {command_i, frames_i, num_stages_i, n_steps_i};
    {evaluations_q, blocks_q} <= {evaluations_i, blocks_i};
  end
  logic running_q;
  logic frame_q, image_q;  // a frame is computed; its image is not whole
  always_comb begin
    if (running_q) assume (!start_i);
    if (running_q || start_i) begin
      assume ({command_i, frames_i, num_stages_i, n_steps_i} == {command_q, frames_q, num_stages_q, n_steps_q});
      if (!load_busy_i) assume ({evaluations_i, blocks_i} == {evaluations_q, blocks_q});
    end
    if (!frame_q || image_q) assume (!frame_done_i);  // an image is whole before its frame is done
    if (!image_q) assume (!image_done_i && !image_short_i && !image_long_i);
    assume (32'(image_done_i) + 32'(image_short_i) + 32'(image_long_i) <= 1);
    assume (load_status_i < 32'd256 && load_status_i != STATUS_WATCHDOG);
  end

  // ---- what must come out
  logic [Bits:0] quiet_q;  // cycles in which the kernel waited for nobody but itself
  logic quiet, lost_q, abort_q, bitten_q, done_q;
  assign quiet = running_q && !drain_ready && !other_ready_i && !m_axis_tvalid && !progress_i;
  always_ff @(posedge clk_i) begin
    if (start_i) running_q <= 1'b1;
    else if (done) running_q <= 1'b0;
    quiet_q <= quiet ? quiet_q + 1'b1 : '0;
    abort_q <= abort;
    bitten_q <= abort && !done && 32'(quiet_q) >= (1 << Bits);
    done_q <= done;
    if (abort) lost_q <= 1'b1;
    else if (load_start) lost_q <= 1'b0;
    if (frame_start) {frame_q, image_q} <= '1;
    if (frame_done_i || cancel) frame_q <= 1'b0;
    if (image_done_i || cancel) image_q <= 1'b0;
    if (abort) {frame_q, image_q} <= '0;
    if (!rst_ni) {frame_q, image_q, running_q, quiet_q, lost_q, abort_q, bitten_q, done_q} <= '0;
  end
  always_comb begin
    if (rst_ni) begin
      assert (32'(quiet_q) <= (1 << Bits) + 2);
      if (abort) assert (running_q);
      if (frame_start || logits_start || (done && !abort_q)) assert (!frame_q);
      if (abort_q) assert (!load_start && !rewind && !image_start && !frame_start && !logits_start && (done || done_q || drain_ready));
      if (bitten_q) assert (status == STATUS_WATCHDOG);
      if (done && status == STATUS_WATCHDOG) assert (lost_q);
      if (lost_q) assert (!frame_start && !image_start && !rewind);
      cover (done && status == STATUS_WATCHDOG && drain_ready == 0);
      cover (done && status == STATUS_OK && frames_done == 2);
      cover (done && status == STATUS_SHORT_INPUT && frames_done == 1);
    end
  end

  logic unused;
  assign unused = ^{state, cycles, stalls_in, stalls_out, frames_done, last_frame};
endmodule
