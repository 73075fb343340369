// One frame: the passes of the program in order, with the passes of f repeated for every stage of every step.
module scheduler
  import engine_pkg::*;
  import dsodenet_program_pkg::*;
  import dsodenet_registers_pkg::*;
#(
    parameter int unsigned MAX_PASSES = 32,
    parameter bit GARBAGE = 1'b0
) (
    input  logic                                clk_i,
    input  logic                                rst_ni,
    // program load, pass by pass
    input  logic                                load_we_i,
    input  logic [15:0]                         load_addr_i,
    input  logic [15:0]                         load_column_i,
    input  logic [127:0]                        load_data_i,
    // frame
    input  logic                                rewind_i,  // make the first pass current: its fields describe the image
    input  logic                                start_i,
    output logic                                done_o,
    output logic [27:0]                         state_o,  // of contract/registers.py, STATE: step, stage, pass, SCHEDULER
    input  logic [2:0]                          num_stages_i,
    input  logic [MAX_BLOCKS-1:0][15:0]         n_steps_i,
    input  logic signed [MAX_BLOCKS-1:0][COEFFS_PER_BLOCK-1:0][17:0] coeff_i,
    // core
    output context_t                            context_o,
    output logic                                pass_start_o,
    output logic                                continue_o,  // the pass before has filled the window of this one
    output logic                                average_start_o,
    input  logic                                core_busy_i
);
  localparam int unsigned Columns = $bits(pass_t) / 128;
  localparam int unsigned IndexBits = $clog2(MAX_PASSES);

  logic [IndexBits-1:0] index_q, index_next;
  logic [Columns*128-1:0] pass_word;
  column_ram #(
      .COLUMNS(Columns), .DEPTH(MAX_PASSES), .READ_LATENCY(1), .STYLE("distributed")
  ) u_passes (
      .clk_i, .we_i(load_we_i), .waddr_i(load_addr_i), .wcolumn_i(load_column_i), .wdata_i(load_data_i),
      .raddr_i(16'(index_next)), .rdata_o(pass_word)
  );
  pass_t pass;
  logic source_q, last_stage, last_evaluation;
  logic [15:0] bias_offset_q;
  logic signed [MAX_STAGES-1:0][17:0] coeff;
  settled #(
      .value_t(pass_t), .GARBAGE(GARBAGE)
  ) u_settled (
      .clk_i, .value_i(pass_t'(pass_word)), .value_o(pass)
  );

  typedef enum logic [2:0] {Idle, Begin, Run, Next, Average, AverageRun, Done} state_e;
  state_e state_q;
  logic [15:0] step_q;
  logic [2:0] stage_q;
  logic last_step, f_pass, slope_pass;
  kind_e kind;
  assign kind = kind_e'(pass.kind[1:0]);
  assign slope_pass = kind == KindSlope;
  assign f_pass = kind == KindHidden || slope_pass;
  assign state_o = state_q == Idle ? '0 : {step_q[13:0], stage_q[1:0], 8'(index_q), 4'(state_q)};
  assign last_step = step_q + 1'b1 >= n_steps_i[pass.block[1:0]];
  assign last_stage = stage_q + 1'b1 >= num_stages_i;
  assign last_evaluation = last_step && last_stage;
  assign context_o = '{
      pass: pass, source: source_q, stage: stage_q[1:0], last_stage: last_stage, last_evaluation: last_evaluation, coeff: coeff,
      bias_offset: bias_offset_q
  };

  // What follows a pass is known long before its end, since the core is busy for many cycles after the pass is settled.
  logic last_stage_q, last_evaluation_q;
  logic [IndexBits-1:0] following_q;
  always_ff @(posedge clk_i) begin
    last_stage_q <= last_stage;
    last_evaluation_q <= last_evaluation;
    following_q <= slope_pass && !last_evaluation ? index_q - pass.loop_passes[IndexBits-1:0] : index_q + 1'b1;
  end
  always_comb begin
    index_next = index_q;
    if (rewind_i || state_q == Done) index_next = '0;
    else if (state_q == Next) index_next = following_q;
  end

  always_ff @(posedge clk_i) begin
    pass_start_o <= 1'b0;
    average_start_o <= 1'b0;
    done_o <= 1'b0;
    index_q <= index_next;
    if (!rst_ni) begin
      state_q <= Idle;
      index_q <= '0;
      source_q <= 1'b0;
    end else begin
      case (state_q)
        Idle:
        if (start_i) begin
          state_q <= Begin;
          continue_o <= 1'b0;
          step_q <= '0;
          stage_q <= '0;
          bias_offset_q <= '0;
        end
        Begin: begin
          pass_start_o <= 1'b1;
          state_q <= Run;
        end
        Run: if (!core_busy_i && !pass_start_o) state_q <= Next;
        Next: begin  // following_q follows the same conditions
          source_q <= !source_q;
          state_q <= Begin;
          continue_o <= pass.fills[0] && !(slope_pass && last_evaluation_q && pass.accumulate[0]);
          if (kind == KindHidden) bias_offset_q <= bias_offset_q + pass.bias_stride;
          if (slope_pass) begin
            stage_q <= last_stage_q ? '0 : stage_q + 1'b1;
            if (last_stage_q) step_q <= step_q + 1'b1;
            if (last_evaluation_q) begin
              step_q <= '0;
              bias_offset_q <= '0;
              if (pass.accumulate[0]) state_q <= Average;
            end
          end
          if (kind == KindLogits) state_q <= Done;
        end
        Average: begin
          average_start_o <= 1'b1;
          state_q <= AverageRun;
        end
        AverageRun: if (!core_busy_i && !average_start_o) state_q <= Begin;
        Done: begin
          done_o <= 1'b1;
          source_q <= 1'b0;
          state_q <= Idle;
        end
        default: state_q <= Idle;
      endcase
    end
  end

  // Row of coefficients that ends the stage: a[stage+1], or b after the last one.
  logic signed [COEFFS_PER_BLOCK-1:0][17:0] block_coeff;
  assign block_coeff = coeff_i[pass.block[1:0]];
  always_comb begin
    coeff = block_coeff[COEFFS_PER_BLOCK-1-:MAX_STAGES];
    if (!last_stage) begin
      coeff = '0;
      for (int unsigned s = 0; s + 1 < MAX_STAGES; s++) begin
        if (32'(stage_q) == s) for (int unsigned j = 0; j <= s; j++) coeff[j] = block_coeff[s*(s+1)/2+j];
      end
    end
  end

  logic unused;
  assign unused = ^{pass, f_pass};
endmodule
