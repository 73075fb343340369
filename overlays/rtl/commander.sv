// Runs one command: checks its arguments, loads a program or runs frames, counts, and cleans up after an error.
//
// After an error the rest of the input packet is thrown away up to TLAST. A packet that never comes, or never ends, must not
// hang the kernel: when the stream has been silent for DRAIN_PATIENCE cycles the command ends, and what still arrives
// before the next command is thrown away too.
//
// The kernel waits for its streams as long as the host likes. It never waits long for itself: when no stream can move and no
// pass begins for 2**WATCHDOG_BITS cycles, longer than a pass of any program that was let in, the command ends. A watchdog
// that has bitten, or a program that turns out to be wrong while it runs, resets all but the registers (`abort_o`), a cycle
// after it was seen.
module commander
  import dsodenet_registers_pkg::*;
#(
    parameter int unsigned DRAIN_PATIENCE = 1024,
    parameter int unsigned WATCHDOG_BITS = 24
) (
    input  logic                        clk_i,
    input  logic                        rst_ni,
    input  logic                        start_i,
    output logic                        done_o,
    output logic [31:0]                 status_o,
    input  logic [31:0]                 command_i,
    input  logic [31:0]                 frames_i,
    input  logic [31:0]                 num_stages_i,
    input  logic [MAX_BLOCKS-1:0][31:0] n_steps_i,
    output logic [31:0]                 frames_done_o,
    output logic [31:0]                 cycles_o,
    output logic [31:0]                 stalls_in_o,
    output logic [31:0]                 stalls_out_o,
    output logic [3:0]                  state_o,  // of contract/registers.py, COMMANDER
    // program
    output logic                        load_start_o,
    input  logic                        load_busy_i,
    input  logic                        load_done_i,
    input  logic [31:0]                 load_status_i,
    input  logic                        load_ended_i,
    input  logic [MAX_BLOCKS-1:0][15:0] evaluations_i,
    input  logic [1:0]                  blocks_i,
    // frames
    output logic                        rewind_o,
    output logic                        image_start_o,
    input  logic                        image_busy_i,
    input  logic                        image_done_i,
    input  logic                        image_short_i,
    input  logic                        image_long_i,
    output logic                        frame_start_o,  // with the image: the first pass follows it
    output logic                        cancel_o,       // the image is none; whatever the frame does is void
    input  logic                        frame_done_i,
    input  logic                        progress_i,  // a pass begins
    input  logic                        fault_i,     // the program does not fit its memories or its image
    output logic                        abort_o,
    output logic                        logits_start_o,
    input  logic                        logits_busy_i,
    output logic                        last_frame_o,
    // streams
    input  logic                        s_axis_tvalid,
    input  logic                        s_axis_tlast,
    input  logic                        s_axis_tready,
    output logic                        drain_ready_o,
    input  logic                        m_axis_tvalid,
    input  logic                        m_axis_tready
);
  typedef enum logic [2:0] {Idle, Check, Load, Rewind, Image, Frame, Logits, Drain} state_e;
  state_e state_q;
  logic loaded_q, discard_q, silent_q;
  logic [$clog2(DRAIN_PATIENCE)-1:0] silence_q;
  localparam int unsigned StatusBits = 8;  // of the 32 that the register has
  typedef logic [StatusBits-1:0] status_t;
  status_t status_q, bad_argument;
  assign status_o = 32'(status_q);
  assign state_o = 4'(state_q);
  always_ff @(posedge clk_i) last_frame_o <= frames_done_o + 1'b1 == frames_i;  // long before the end of a frame
  assign drain_ready_o = state_q == Drain || (state_q == Idle && discard_q);

  // The arguments of a command are there before it starts, so what is wrong with it is known when it is checked.
  logic identify_q, load_q, refused_q;
  status_t refusal, refusal_q;
  always_comb begin
    case (command_i)
      COMMAND_IDENTIFY, COMMAND_LOAD: refusal = status_t'(STATUS_OK);
      COMMAND_RUN: refusal = bad_argument;
      default: refusal = status_t'(STATUS_BAD_COMMAND);
    endcase
  end
  always_ff @(posedge clk_i) begin
    identify_q <= command_i == COMMAND_IDENTIFY;
    load_q <= command_i == COMMAND_LOAD;
    refusal_q <= refusal;
    refused_q <= refusal != status_t'(STATUS_OK);
  end

  // Later assignments win: steps, stages, program, frames, as the other kernel checks them.
  always_comb begin
    bad_argument = status_t'(STATUS_OK);
    if (frames_i == 0) bad_argument = status_t'(STATUS_BAD_FRAMES);
    for (int unsigned b = 0; b < MAX_BLOCKS; b++) begin
      if (evaluations_i[b] != 0 && 32'(evaluations_i[b]) != 32'(n_steps_i[b][7:0]) * 32'(num_stages_i[2:0])) begin
        bad_argument = status_t'(STATUS_NOT_LOADED);  // a time table for another number of evaluations is none for this
      end
    end
    if (!loaded_q) bad_argument = status_t'(STATUS_NOT_LOADED);
    if (num_stages_i == 0 || num_stages_i > MAX_STAGES) bad_argument = status_t'(STATUS_BAD_STAGES);
    for (int unsigned b = 0; b < MAX_BLOCKS; b++) begin
      if (loaded_q && b < 32'(blocks_i) && (n_steps_i[b] == 0 || n_steps_i[b] > MAX_STEPS)) bad_argument = status_t'(STATUS_BAD_STEPS);
    end
  end

  // ---- watchdog
  logic quiet, expired_q, fault_q, ended_q, ended;
  logic [WATCHDOG_BITS-1:0] quiet_q;
  assign quiet = state_q != Idle && !s_axis_tready && !m_axis_tvalid && !progress_i;
  assign abort_o = expired_q || fault_q;
  assign cancel_o = state_q == Image && (image_short_i || image_long_i);
  assign ended = ended_q || (s_axis_tvalid && s_axis_tready && s_axis_tlast);
  always_ff @(posedge clk_i) begin
    expired_q <= rst_ni && !abort_o && quiet && &quiet_q;
    fault_q <= rst_ni && !abort_o && fault_i && (state_q == Image || state_q == Frame);
    quiet_q <= rst_ni && quiet ? quiet_q + 1'b1 : '0;
    ended_q <= rst_ni && state_q != Idle && ended;  // the input of this command has been read up to TLAST
  end

  // What the state does this cycle: end the command, or end it with an error after draining its input.
  logic finish, fail;
  always_comb begin
    {finish, fail} = '0;
    case (state_q)
      Check: {finish, fail} = {identify_q, refused_q};
      Load: {finish, fail} = {load_done_i && load_ended_i, load_done_i && !load_ended_i};
      Image: {finish, fail} = {image_short_i, image_long_i};
      Logits: finish = !logits_busy_i && !logits_start_o && last_frame_o;
      Drain: finish = (s_axis_tvalid && s_axis_tlast) || silent_q;
      default: ;
    endcase
  end

  always_ff @(posedge clk_i) begin
    {done_o, load_start_o, rewind_o, image_start_o, frame_start_o, logits_start_o} <= '0;
    silence_q <= state_q == Drain && !s_axis_tvalid ? silence_q + 1'b1 : '0;
    silent_q <= state_q == Drain && &silence_q;
    if (state_q != Idle) begin
      cycles_o <= cycles_o + 1'b1;
      if ((load_busy_i || image_busy_i) && !s_axis_tvalid) stalls_in_o <= stalls_in_o + 1'b1;
      if (m_axis_tvalid && !m_axis_tready) stalls_out_o <= stalls_out_o + 1'b1;
    end
    if (!rst_ni) begin
      state_q <= Idle;
      loaded_q <= 1'b0;
      discard_q <= 1'b0;
      {frames_done_o, cycles_o, stalls_in_o, stalls_out_o} <= '0;
    end else begin
      if (s_axis_tvalid && drain_ready_o && s_axis_tlast) discard_q <= 1'b0;
      case (state_q)
        Idle:
        if (start_i) begin
          state_q <= Check;
          discard_q <= 1'b0;
          status_q <= status_t'(STATUS_OK);
          {frames_done_o, cycles_o, stalls_in_o, stalls_out_o} <= '0;
        end
        Check: begin
          status_q <= refusal_q;
          if (load_q) begin
            load_start_o <= 1'b1;
            loaded_q <= 1'b0;
            state_q <= Load;
          end else if (!identify_q && !refused_q) begin
            rewind_o <= 1'b1;
            state_q <= Rewind;
          end
        end
        Load:
        if (load_done_i) begin
          loaded_q <= load_status_i == STATUS_OK;
          status_q <= load_status_i[StatusBits-1:0];
        end
        Rewind:  // the first pass is current one cycle after rewind_o
        if (!rewind_o) begin
          image_start_o <= 1'b1;
          frame_start_o <= 1'b1;
          state_q <= Image;
        end
        Image: begin
          if (image_done_i) state_q <= Frame;
          if (image_long_i) status_q <= status_t'(STATUS_LONG_INPUT);
          if (image_short_i) status_q <= status_t'(STATUS_SHORT_INPUT);
        end
        Frame:
        if (frame_done_i) begin
          logits_start_o <= 1'b1;
          state_q <= Logits;
        end
        Logits:
        if (!logits_busy_i && !logits_start_o) begin
          frames_done_o <= frames_done_o + 1'b1;
          rewind_o <= !last_frame_o;
          state_q <= Rewind;
        end
        default: ;
      endcase
      if (finish) begin
        state_q <= Idle;
        done_o <= 1'b1;
      end
      if (fail) begin
        state_q <= Drain;
        discard_q <= 1'b1;
      end
      if (abort_o) begin
        if (state_q != Idle) begin
          status_q <= expired_q ? status_t'(STATUS_WATCHDOG) : status_t'(STATUS_BAD_PROGRAM);
          state_q <= ended ? Idle : Drain;
          done_o <= ended;
          discard_q <= !ended;
        end
        loaded_q <= 1'b0;
        {load_start_o, rewind_o, image_start_o, frame_start_o, logits_start_o} <= '0;
      end
    end
  end
endmodule
