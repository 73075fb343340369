// Activations for the cascades of a double-pumped array: from the fabric's clock to one twice as fast.
//
// Lane p and lane p + half follow each other; place q of a cascade comes q fast cycles after place 0.
module pumped_activations #(
    parameter int unsigned PIXEL_LANES = 2,
    parameter int unsigned INPUT_LANES = 4,
    parameter int unsigned LENGTH = 4,  // of a cascade
    localparam int unsigned Half = PIXEL_LANES / 2,
    localparam int unsigned Chains = INPUT_LANES / LENGTH
) (
    input  logic                                               clk_i,
    input  logic                                               clk2_i,  // two edges for one of clk_i, each of which it shares
    input  logic [PIXEL_LANES-1:0][INPUT_LANES-1:0][7:0]       data_i,
    output logic                                               even_o,  // the coming edge of clk2_i is one of clk_i too
    output logic [Half-1:0][Chains-1:0][LENGTH-1:0][7:0]       act_o    // fast
);
  // clk_i turns a flag round, clk2_i follows it half a cycle later: only then are they equal.
  logic toggle_q, follow_q;
  always_ff @(posedge clk_i) toggle_q <= !toggle_q;
  always_ff @(posedge clk2_i) follow_q <= toggle_q;
  assign even_o = toggle_q == follow_q;

  for (genvar p = 0; p < Half; p++) begin : g_pixel
    (* keep = "true" *) logic even_q;  // for these lanes; it changes with every fast cycle
    always_ff @(posedge clk2_i) even_q <= !even_o;
    for (genvar i = 0; i < INPUT_LANES; i++) begin : g_input
      logic [7:0] second_q;
      logic [i%LENGTH:0][7:0] act_q;
      always_ff @(posedge clk2_i) begin
        if (even_q) second_q <= data_i[p+Half][i];
        act_q[0] <= even_q ? data_i[p][i] : second_q;
        for (int unsigned q = 1; q <= i % LENGTH; q++) act_q[q] <= act_q[q-1];
      end
      assign act_o[p][i/LENGTH][i%LENGTH] = act_q[i%LENGTH];
    end
  end
endmodule
