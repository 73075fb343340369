// One channel of one pixel on its way from accumulator to maps; ten cycles, see output_stage.sv.
module output_lane
  import engine_pkg::*;
  import dsodenet_program_pkg::*;
  import dsodenet_registers_pkg::*;
(
    input  logic                               clk_i,
    input  pass_t                              pass_i,
    input  logic [1:0]                         stage_i,
    input  logic signed [6:0]                  x_shift_i,
    input  logic signed [MAX_STAGES-1:0][17:0] coeff_i,
    input  logic signed [AccBits-1:0]          acc_i,    // cycle 0
    input  logic signed [31:0]                 bias_i,   // cycle 1
    input  logic signed [15:0]                 state_i,  // cycle 4
    input  logic [MAX_STAGES-2:0][7:0]         slope_i,
    output logic [31:0]                        sum_o,    // cycle 2
    output logic [7:0]                         slope_o,  // cycle 10
    output logic [15:0]                        state_o,
    output logic [7:0]                         map_o
);
  kind_e kind;
  logic truncate;
  assign kind = kind_e'(pass_i.kind[1:0]);
  assign truncate = pass_i.truncate[0];

  // ---- bias and requantisation
  logic signed [AccBits-1:0] value_q, sum_q;
  logic signed [15:0] out;
  assign sum_o = sum_q;
  always_ff @(posedge clk_i) begin
    value_q <= acc_i;
    sum_q <= value_q + bias_i;
  end
  requantise #(.IN_BITS(AccBits), .OUT_BITS(16)) u_out (
      .clk_i, .truncate_i(truncate), .shift_i(pass_i.out_shift[6:0]), .min_i(pass_i.out_min), .max_i(pass_i.out_max),
      .value_i(sum_q), .value_o(out)
  );

  // ---- state update in exact arithmetic. Half of its products are built of LUTs: with the pointwise array they would be more
  // DSPs than the device has.
  logic signed [7:0] slope[MAX_STAGES];
  logic signed [25:0] product_q[MAX_STAGES];
  logic signed [15:0] state_q, updated;
  logic signed [47:0] total_q;
  logic [3:0][15:0] out_q;
  always_comb begin
    for (int unsigned j = 0; j < MAX_STAGES; j++) begin
      slope[j] = out[7:0];
      if (j < MAX_STAGES - 1 && j != 32'(stage_i)) slope[j] = slope_i[j%(MAX_STAGES-1)];
    end
  end
  for (genvar j = 2; j < MAX_STAGES; j++) begin : g_product
    lut_product #(.A_BITS(18), .B_BITS(8)) u_product (
        .clk_i, .a_i(coeff_i[j]), .b_i(slope[j]), .product_o(product_q[j])
    );
  end
  always_ff @(posedge clk_i) begin
    for (int unsigned j = 0; j < 2; j++) product_q[j] <= $signed(coeff_i[j]) * slope[j];
    state_q <= state_i;
    total_q <= (48'(state_q) <<< pass_i.z_shift[4:0])
             + ((48'(product_q[0]) + 48'(product_q[1]) + 48'(product_q[2]) + 48'(product_q[3])) <<< pass_i.k_shift[5:0]);
    out_q <= {out_q[2:0], out};
  end
  requantise #(.IN_BITS(48), .OUT_BITS(16)) u_update (
      .clk_i, .truncate_i(truncate), .shift_i(pass_i.z_shift[6:0]), .min_i(pass_i.state_min), .max_i(pass_i.state_max),
      .value_i(total_q), .value_o(updated)
  );

  // ---- the 8-bit copy
  logic signed [15:0] state;
  logic signed [7:0] copy;
  logic [1:0][15:0] state_delay_q;
  logic [1:0][7:0] low_delay_q;
  assign state = kind == KindSlope ? updated : out_q[3];
  requantise #(.IN_BITS(24), .OUT_BITS(8)) u_copy (
      .clk_i, .truncate_i(truncate), .shift_i(x_shift_i), .min_i(pass_i.x_min[7:0]), .max_i(pass_i.x_max[7:0]),
      .value_i(24'(state)), .value_o(copy)
  );
  always_ff @(posedge clk_i) begin
    state_delay_q <= {state_delay_q[0], state};
    low_delay_q <= {low_delay_q[0], out_q[3][7:0]};
  end
  assign state_o = state_delay_q[1];
  assign slope_o = low_delay_q[1];
  assign map_o = kind == KindHidden ? low_delay_q[1] : copy;

  logic unused;
  assign unused = ^pass_i;
endmodule
