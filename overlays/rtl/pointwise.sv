// The multiply-accumulate array: PIXEL_LANES x INPUT_LANES x OUTPUT_LANES products per cycle.
//
// Input lane i is place i % Length of cascade i / Length. Everything of place q comes q cycles after place 0: the activations are
// delayed here, the weights are read later. The cascades of a DOUBLE_PUMPED array do so at their own, fast clock, and begin so much
// later that the sums of both arrays come in the same cycle.
module pointwise
  import engine_pkg::*;
#(
    parameter int unsigned PIXEL_LANES = 1,
    parameter int unsigned INPUT_LANES = 4,
    parameter int unsigned OUTPUT_LANES = 8,
    parameter int unsigned MAX_INPUTS = 16,
    parameter int unsigned SUM_BITS = 26,
    parameter bit DOUBLE_PUMPED = 1'b0,
    parameter bit INSTANCES = 1'b0,
    localparam int unsigned Length = INPUT_LANES < CascadeLength ? INPUT_LANES : CascadeLength,
    localparam int unsigned Chains = INPUT_LANES / Length
) (
    input  logic                                                             clk_i,
    input  logic                                                             clk2_i,
    input  logic                                                             valid_i,
    input  logic                                                             fresh_i,
    input  logic [9:0]                                                       index_i,
    input  logic [PIXEL_LANES-1:0][INPUT_LANES-1:0][7:0]                     data_i,
    input  logic [Length-1:0][Chains-1:0][OUTPUT_LANES-1:0][7:0]             weight_i,  // place q: weight_wait(q) of engine_pkg cycles after data_i
    input  logic                                                             sum_valid_i,  // a cycle before acc_o changes
    input  logic                                                             sum_first_i,
    output logic signed [PIXEL_LANES-1:0][OUTPUT_LANES-1:0][SUM_BITS-1:0]    acc_o
);
  localparam int unsigned IndexBits = $clog2(MAX_INPUTS);

  // The words of this pixel group, for its second and later output tiles.
  (* ram_style = "distributed" *) logic [PIXEL_LANES*INPUT_LANES*8-1:0] repeated[MAX_INPUTS];
  logic [PIXEL_LANES-1:0][INPUT_LANES-1:0][7:0] data;
  assign data = fresh_i ? data_i : repeated[index_i[IndexBits-1:0]];
  always_ff @(posedge clk_i) if (valid_i && fresh_i) repeated[index_i[IndexBits-1:0]] <= data_i;

  localparam int unsigned Streams = DOUBLE_PUMPED ? PIXEL_LANES / 2 : PIXEL_LANES;
  logic even;
  logic [Streams-1:0][Chains-1:0][Length-1:0][7:0] act;
  if (DOUBLE_PUMPED) begin : g_pumped
    logic [PIXEL_LANES-1:0][INPUT_LANES-1:0][7:0] data_q[Length/2];
    always_ff @(posedge clk_i) begin
      data_q[0] <= data;
      for (int unsigned n = 1; n < Length / 2; n++) data_q[n] <= data_q[n-1];
    end
    pumped_activations #(
        .PIXEL_LANES(PIXEL_LANES), .INPUT_LANES(INPUT_LANES), .LENGTH(Length)
    ) u_activations (
        .clk_i, .clk2_i, .data_i(data_q[Length/2-1]), .even_o(even), .act_o(act)
    );
  end else begin : g_one_clock
    assign even = 1'b1;
    for (genvar p = 0; p < PIXEL_LANES; p++) begin : g_pixel
      for (genvar i = 0; i < INPUT_LANES; i++) begin : g_input
        logic [i%Length:0][7:0] act_q;
        always_ff @(posedge clk_i) begin
          act_q[0] <= data[p][i];
          for (int unsigned q = 1; q <= i % Length; q++) act_q[q] <= act_q[q-1];
        end
        assign act[p][i/Length][i%Length] = act_q[i%Length];
      end
    end
  end

  for (genvar o = 0; o < OUTPUT_LANES; o += 2) begin : g_pair
    logic [1:0][Chains-1:0][Length-1:0][7:0] weight;
    logic signed [PIXEL_LANES-1:0][1:0][SUM_BITS-1:0] acc;
    always_comb begin
      for (int unsigned c = 0; c < Chains; c++) begin
        for (int unsigned q = 0; q < Length; q++) {weight[1][c][q], weight[0][c][q]} = weight_i[q][c][o+:2];
      end
      for (int unsigned p = 0; p < PIXEL_LANES; p++) acc_o[p][o+:2] = acc[p];
    end
    pointwise_pair #(
        .PIXEL_LANES(PIXEL_LANES), .CHAINS(Chains), .LENGTH(Length), .SUM_BITS(SUM_BITS), .DOUBLE_PUMPED(DOUBLE_PUMPED),
        .INSTANCES(INSTANCES)
    ) u_pair (
        .clk_i, .clk2_i, .even_i(even), .act_i(act), .weight_i(weight), .valid_i(sum_valid_i), .first_i(sum_first_i), .acc_o(acc)
    );
  end

  logic unused;
  assign unused = ^index_i;
endmodule
