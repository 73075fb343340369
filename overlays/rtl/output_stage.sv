// Accumulators to map words: bias, requantisation, state update, and the 8-bit copy that the next pass reads.
//
// One output tile arrives at once and leaves INPUT_LANES channels per cycle, in step with the input words of the next tile.
// With stage s of S in flight and slopes k[0..s-1] stored, both the next stage's input and the step's result are
//     Q(z + sum_{j<=s} coefficient[j] * k[j])
// with the row of coefficients that the caller picks; z itself only changes after the last stage.
module output_stage
  import engine_pkg::*;
  import dsodenet_program_pkg::*;
  import dsodenet_registers_pkg::*;
#(
    parameter int unsigned PIXEL_LANES = 1,
    parameter int unsigned INPUT_LANES = 4,
    parameter int unsigned OUTPUT_LANES = 8
) (
    input  logic                                                         clk_i,
    input  logic                                                         rst_ni,
    input  pass_t                                                        pass_i,
    input  logic [1:0]                                                   stage_i,
    input  logic                                                         last_evaluation_i,
    input  logic signed [MAX_STAGES-1:0][17:0]                           coeff_i,
    input  logic [15:0]                                                  bias_offset_i,
    // an output tile, one cycle after it is complete
    input  logic                                                         valid_i,
    input  token_t                                                       token_i,
    input  logic signed [PIXEL_LANES-1:0][OUTPUT_LANES-1:0][AccBits-1:0] acc_i,
    // bias memory, latency one; state and slope memories, latency two
    output logic [15:0]                                                  bias_addr_o,
    input  logic signed [INPUT_LANES-1:0][31:0]                          bias_i,
    output logic [15:0]                                                  state_addr_o,
    input  logic [PIXEL_LANES-1:0][INPUT_LANES-1:0][15:0]                state_i,
    input  logic [PIXEL_LANES-1:0][MAX_STAGES-2:0][INPUT_LANES-1:0][7:0] slope_i,
    // results
    output result_t                                                      logits_result_o,
    output logic [INPUT_LANES-1:0][31:0]                                 logits_o,
    output result_t                                                      result_o,
    output logic [PIXEL_LANES-1:0][INPUT_LANES-1:0][7:0]                 slope_o,
    output logic [PIXEL_LANES-1:0][INPUT_LANES-1:0][15:0]                state_o,
    output logic [PIXEL_LANES-1:0][INPUT_LANES-1:0][7:0]                 map_o
);
  localparam int unsigned Latency = 10;

  kind_e kind;
  assign kind = kind_e'(pass_i.kind[1:0]);

  // ---- one word per cycle
  logic signed [PIXEL_LANES-1:0][OUTPUT_LANES-1:0][AccBits-1:0] tile_q;
  logic [15:0] left_q;
  result_t head_q, ctl_q[Latency];
  logic [15:0] tile_words_last;
  assign tile_words_last = token_i.tile_last ? pass_i.tail_last : pass_i.words_last;

  always_ff @(posedge clk_i) begin
    if (valid_i) tile_q <= acc_i;
    else begin
      for (int unsigned p = 0; p < PIXEL_LANES; p++) tile_q[p] <= tile_q[p] >> (INPUT_LANES * AccBits);
    end
    if (valid_i) begin
      left_q <= tile_words_last;
      if (token_i.tile_first) begin
        head_q.word <= '0;
        head_q.addr <= token_i.dst;
        head_q.bank <= token_i.dst_bank;
        head_q.first <= token_i.group_first;
        head_q.lanes <= token_i.lanes;
      end
    end else left_q <= left_q - 1'b1;
    if (head_q.valid && !(valid_i && token_i.tile_first)) begin
      head_q.word <= head_q.word + 1'b1;
      head_q.addr <= head_q.addr + 1'b1;
    end
    if (!rst_ni) head_q.valid <= 1'b0;
    else if (valid_i) head_q.valid <= 1'b1;
    else if (left_q == 0) head_q.valid <= 1'b0;
  end

  always_ff @(posedge clk_i) begin
    ctl_q[0] <= head_q;
    for (int unsigned i = 1; i < Latency; i++) ctl_q[i] <= ctl_q[i-1];
    if (!rst_ni) for (int unsigned i = 0; i < Latency; i++) ctl_q[i].valid <= 1'b0;
  end

  assign bias_addr_o = pass_i.bias_base + (kind == KindHidden ? bias_offset_i : '0) + 16'(head_q.word);
  assign state_addr_o = ctl_q[1].addr;
  assign logits_result_o = ctl_q[1];
  assign result_o = ctl_q[Latency-1];

  // ---- the row of coefficients, constant during a pass
  logic signed [MAX_STAGES-1:0][17:0] coeff_q;
  always_ff @(posedge clk_i) begin
    for (int unsigned j = 0; j < MAX_STAGES; j++) coeff_q[j] <= j <= 32'(stage_i) ? coeff_i[j] : '0;
  end

  logic truncate;
  logic signed [6:0] x_shift;
  assign truncate = pass_i.truncate[0];
  assign x_shift = last_evaluation_i ? pass_i.x_shift_last[6:0] : pass_i.x_shift[6:0];

  for (genvar p = 0; p < PIXEL_LANES; p++) begin : g_pixel
    for (genvar c = 0; c < INPUT_LANES; c++) begin : g_channel
      // bias and requantisation
      logic signed [AccBits-1:0] value_q, sum_q;
      logic signed [15:0] out;
      always_ff @(posedge clk_i) begin
        value_q <= tile_q[p][c];
        sum_q <= value_q + $signed(bias_i[c]);
      end
      requantise #(.IN_BITS(AccBits), .OUT_BITS(16)) u_out (
          .clk_i, .truncate_i(truncate), .shift_i(pass_i.out_shift[6:0]), .min_i(pass_i.out_min), .max_i(pass_i.out_max),
          .value_i(sum_q), .value_o(out)
      );
      if (p == 0) begin : g_logits
        assign logits_o[c] = sum_q;
      end

      // state update in exact arithmetic
      logic signed [25:0] product_q[MAX_STAGES];
      logic signed [15:0] state_q, updated;
      logic signed [47:0] total_q;
      logic [3:0][15:0] out_q;
      always_ff @(posedge clk_i) begin
        for (int unsigned j = 0; j < MAX_STAGES; j++) begin
          logic signed [7:0] slope;
          slope = out[7:0];
          if (j < MAX_STAGES - 1) slope = j == 32'(stage_i) ? out[7:0] : slope_i[p][j%(MAX_STAGES-1)][c];
          product_q[j] <= $signed(coeff_q[j]) * slope;
        end
        state_q <= state_i[p][c];
        total_q <= (48'(state_q) <<< pass_i.z_shift[4:0])
                 + ((48'(product_q[0]) + 48'(product_q[1]) + 48'(product_q[2]) + 48'(product_q[3])) <<< pass_i.k_shift[5:0]);
        out_q <= {out_q[2:0], out};
      end
      requantise #(.IN_BITS(48), .OUT_BITS(16)) u_update (
          .clk_i, .truncate_i(truncate), .shift_i(pass_i.z_shift[6:0]), .min_i(pass_i.state_min), .max_i(pass_i.state_max),
          .value_i(total_q), .value_o(updated)
      );

      // the 8-bit copy
      logic signed [15:0] state;
      logic signed [7:0] copy;
      logic [1:0][15:0] state_delay_q;
      logic [1:0][7:0] low_delay_q;
      assign state = kind == KindSlope ? updated : out_q[3];
      requantise #(.IN_BITS(32), .OUT_BITS(8)) u_copy (
          .clk_i, .truncate_i(truncate), .shift_i(x_shift), .min_i(pass_i.x_min[7:0]), .max_i(pass_i.x_max[7:0]),
          .value_i(32'(state)), .value_o(copy)
      );
      always_ff @(posedge clk_i) begin
        state_delay_q <= {state_delay_q[0], state};
        low_delay_q <= {low_delay_q[0], out_q[3][7:0]};
      end
      assign state_o[p][c] = state_delay_q[1];
      assign slope_o[p][c] = low_delay_q[1];
      assign map_o[p][c] = kind == KindHidden ? low_delay_q[1] : copy;
    end
  end

  logic unused;
  assign unused = ^{token_i, pass_i};
endmodule
