// One channel of one pixel on its way from accumulator to maps; fourteen cycles, see output_stage.sv.
module output_lane
  import engine_pkg::*;
  import dsodenet_program_pkg::*;
  import dsodenet_registers_pkg::*;
#(
    parameter int unsigned SUM_BITS = 26
) (
    input  logic                               clk_i,
    input  pass_t                              out_i,     // the pass in flight, as its parts see it
    input  pass_t                              update_i,
    input  pass_t                              write_i,
    input  out_shift_t                         out_shift_i,
    input  update_shift_t                      update_shift_i,
    input  copy_shift_t                        copy_shift_i,
    input  logic [1:0]                         stage_i,
    input  logic signed [MAX_STAGES-1:0][17:0] coeff_i,
    input  logic signed [SUM_BITS-1:0]         acc_i,    // cycle 0
    input  logic signed [31:0]                 bias_i,   // cycle 1
    input  logic [MAX_STAGES-2:0][7:0]         slope_i,  // cycle 4
    input  logic signed [15:0]                 state_i,  // cycle 11
    output logic [31:0]                        sum_o,    // cycle 2
    output logic [7:0]                         slope_o,  // cycle 14
    output logic [15:0]                        state_o,
    output logic [7:0]                         map_o
);
  kind_e kind;
  assign kind = kind_e'(write_i.kind[1:0]);

  // ---- bias and requantisation
  logic signed [SUM_BITS-1:0] value_q;
  logic signed [AccBits-1:0] sum_q;
  logic signed [15:0] out;  // cycle 4
  assign sum_o = sum_q;
  always_ff @(posedge clk_i) begin
    value_q <= acc_i;
    sum_q <= AccBits'(value_q) + bias_i;
  end
  requantise #(.IN_BITS(AccBits), .OUT_BITS(16)) u_out (
      .clk_i, .truncate_i(out_i.truncate[0]), .amount_i(out_shift_i.amount), .below_i(out_shift_i.below), .above_i(out_shift_i.above),
      .min_i(out_i.out_min), .max_i(out_i.out_max), .value_i(sum_q), .addend_i('0), .value_o(out)
  );

  // ---- state update: coefficients times slopes, rounded to the state's LSB and added to it
  logic signed [25:0] product[MAX_STAGES];  // cycle 8
  for (genvar j = 0; j < MAX_STAGES; j++) begin : g_product
    logic signed [7:0] slope;
    assign slope = 32'(stage_i) == j || j == MAX_STAGES - 1 ? out[7:0] : slope_i[j%(MAX_STAGES-1)];
    lut_product #(.A_BITS(18), .B_BITS(8)) u_product (
        .clk_i, .a_i(coeff_i[j]), .b_i(slope), .product_o(product[j])
    );
  end
  logic signed [26:0] low_q, high_q;
  logic signed [UpdateBits-1:0] total_q;  // cycle 10
  logic signed [15:0] updated;            // cycle 12
  always_ff @(posedge clk_i) begin
    low_q <= 27'(product[0]) + 27'(product[1]);
    high_q <= 27'(product[2]) + 27'(product[3]);
    total_q <= UpdateBits'(low_q) + UpdateBits'(high_q);
  end
  requantise #(.IN_BITS(UpdateBits), .OUT_BITS(16)) u_update (
      .clk_i, .truncate_i(update_i.truncate[0]), .amount_i(update_shift_i.amount), .below_i(update_shift_i.below),
      .above_i(update_shift_i.above), .min_i(update_i.state_min), .max_i(update_i.state_max), .value_i(total_q), .addend_i(state_i),
      .value_o(updated)
  );
  logic [7:0][15:0] out_q;
  always_ff @(posedge clk_i) out_q <= {out_q[6:0], out};

  // ---- the 8-bit copy
  logic signed [15:0] state;
  logic signed [7:0] copy;
  logic [1:0][15:0] state_delay_q;
  logic [1:0][7:0] low_delay_q;
  assign state = kind == KindSlope ? updated : out_q[7];
  requantise #(.IN_BITS(16), .OUT_BITS(8)) u_copy (
      .clk_i, .truncate_i(write_i.truncate[0]), .amount_i(copy_shift_i.amount), .below_i(copy_shift_i.below), .above_i(copy_shift_i.above),
      .min_i(write_i.x_min[7:0]), .max_i(write_i.x_max[7:0]), .value_i(state), .addend_i('0), .value_o(copy)
  );
  always_ff @(posedge clk_i) begin
    state_delay_q <= {state_delay_q[0], state};
    low_delay_q <= {low_delay_q[0], out_q[7][7:0]};
  end
  assign state_o = state_delay_q[1];
  assign slope_o = low_delay_q[1];
  assign map_o = kind == KindHidden ? low_delay_q[1] : copy;

  logic unused;
  assign unused = ^{out_i, update_i, write_i};
endmodule
