// The multiply-accumulate array: PIXEL_LANES x INPUT_LANES x OUTPUT_LANES products per cycle.
//
// Latency: data_i belongs to valid_i in the same cycle, weight_i comes one cycle later, acc_o is complete five cycles later.
module pointwise
  import engine_pkg::*;
#(
    parameter int unsigned PIXEL_LANES = 1,
    parameter int unsigned INPUT_LANES = 4,
    parameter int unsigned OUTPUT_LANES = 8,
    parameter int unsigned MAX_INPUTS = 16
) (
    input  logic                                                             clk_i,
    input  logic                                                             valid_i,
    input  logic                                                             fresh_i,
    input  logic [9:0]                                                       index_i,
    input  logic                                                             first_i,
    input  logic [PIXEL_LANES-1:0][INPUT_LANES-1:0][7:0]                     data_i,
    input  logic [OUTPUT_LANES-1:0][INPUT_LANES-1:0][7:0]                    weight_i,
    output logic signed [PIXEL_LANES-1:0][OUTPUT_LANES-1:0][AccBits-1:0]     acc_o
);
  localparam int unsigned IndexBits = $clog2(MAX_INPUTS);

  // The words of this pixel group, for its second and later output tiles.
  (* ram_style = "distributed" *) logic [PIXEL_LANES*INPUT_LANES*8-1:0] repeated[MAX_INPUTS];
  logic [PIXEL_LANES*INPUT_LANES*8-1:0] data;
  assign data = fresh_i ? data_i : repeated[index_i[IndexBits-1:0]];
  always_ff @(posedge clk_i) if (valid_i && fresh_i) repeated[index_i[IndexBits-1:0]] <= data_i;

  logic signed [7:0] act_q[PIXEL_LANES][INPUT_LANES];
  logic [3:0] valid_q, first_q;
  always_ff @(posedge clk_i) begin
    for (int unsigned p = 0; p < PIXEL_LANES; p++) begin
      for (int unsigned i = 0; i < INPUT_LANES; i++) act_q[p][i] <= data[(p*INPUT_LANES+i)*8+:8];
    end
    valid_q <= {valid_q[2:0], valid_i};
    first_q <= {first_q[2:0], first_i};
  end

  for (genvar o = 0; o < OUTPUT_LANES; o += 2) begin : g_pair
    logic signed [PIXEL_LANES-1:0][1:0][AccBits-1:0] acc;
    pointwise_pair #(
        .PIXEL_LANES(PIXEL_LANES), .INPUT_LANES(INPUT_LANES)
    ) u_pair (
        .clk_i, .act_i(act_q), .weight_i(weight_i[o+:2]), .valid_i(valid_q[3]), .first_i(first_q[3]), .acc_o(acc)
    );
    always_comb for (int unsigned p = 0; p < PIXEL_LANES; p++) acc_o[p][o+:2] = acc[p];
  end

  logic unused;
  assign unused = ^index_i;
endmodule
