// Two outputs of the pointwise array, for all pixel lanes.
//
// Two weights that share an activation share a multiplier: (w1 << 18) + w0 times a leaves w0*a, of 16 bits, in the low 18 bits. A
// cascade adds up to eight such products before the halves are taken apart: -8 * 127 * 128 <= sum(w0*a) <= 8 * 128 * 128 = 2**17. The
// constant 2**17 - 1 at its start makes that an unsigned number of 18 bits, so that nothing is borrowed from the high half; with its
// top bit flipped the low half is a signed number again, one too small.
//
// DOUBLE_PUMPED: the cascades run on a clock twice as fast, for half as many pixel lanes. Weights stay for two fast cycles, in which
// the activations of pixel p and of pixel p + half follow each other. The sums come in the same cycle of the fabric's clock as
// without.
module pointwise_pair #(
    parameter int unsigned PIXEL_LANES = 1,
    parameter int unsigned CHAINS = 1,
    parameter int unsigned LENGTH = 4,      // of a cascade, at most CascadeLength
    parameter int unsigned SUM_BITS = 26,
    parameter bit DOUBLE_PUMPED = 1'b0,
    parameter bit INSTANCES = 1'b0,
    localparam int unsigned Streams = DOUBLE_PUMPED ? PIXEL_LANES / 2 : PIXEL_LANES
) (
    input  logic                                                clk_i,
    input  logic                                                clk2_i,    // DOUBLE_PUMPED: two edges for one of clk_i, each of which it shares
    input  logic                                                even_i,    // the coming edge of clk2_i is one of clk_i too
    input  logic [Streams-1:0][CHAINS-1:0][LENGTH-1:0][7:0]     act_i,     // place q of a cascade comes q cycles later, of its own clock
    input  logic [1:0][CHAINS-1:0][LENGTH-1:0][7:0]             weight_i,
    input  logic                                                valid_i,   // with the sums
    input  logic                                                first_i,
    output logic signed [PIXEL_LANES-1:0][1:0][SUM_BITS-1:0]    acc_o
);
  localparam int unsigned Levels = $clog2(CHAINS);
  localparam int unsigned HalfBits = 19 + Levels;

  // A copy of even_i for these cascades, and its inverse: both change with every fast cycle.
  logic even, odd, cascade_clk;
  if (DOUBLE_PUMPED) begin : g_phase
    (* keep = "true" *) logic even_q, odd_q;
    always_ff @(posedge clk2_i) {even_q, odd_q} <= {!even_i, even_i};
    assign {even, odd, cascade_clk} = {even_q, odd_q, clk2_i};
  end else begin : g_one_clock
    assign {even, odd, cascade_clk} = {2'b11, clk_i};
    logic unused;
    assign unused = clk2_i ^ even_i;
  end

  logic [36:0] sum[PIXEL_LANES][CHAINS];  // of a cascade: both halves
  for (genvar p = 0; p < Streams; p++) begin : g_stream
    for (genvar c = 0; c < CHAINS; c++) begin : g_chain
      logic signed [47:0] cascade[LENGTH+1], place[LENGTH];
      assign cascade[0] = 48'sd131071;
      for (genvar q = 0; q < LENGTH; q++) begin : g_mac
        packed_mac #(
            .INSTANCE(INSTANCES), .FIRST(q == 0), .HOLD(DOUBLE_PUMPED)
        ) u_mac (
            .clk_i(cascade_clk), .take_i(even), .load_i(q % 2 == 0 ? odd : even), .high_i(weight_i[1][c][q]),
            .low_i(weight_i[0][c][q]), .factor_i(act_i[p][c][q]), .addend_i(cascade[q]), .sum_o(place[q]), .cascade_o(cascade[q+1])
        );
        logic unused_place;
        assign unused_place = ^place[q];  // only the last one is looked at
      end
      if (DOUBLE_PUMPED) begin : g_both  // the first pixel waits a fast cycle for the second
        logic [36:0] wait_q, first_q, second_q;
        always_ff @(posedge clk2_i) wait_q <= place[LENGTH-1][36:0];
        always_ff @(posedge clk_i) {first_q, second_q} <= {wait_q, place[LENGTH-1][36:0]};
        assign sum[p][c] = first_q;
        assign sum[p+Streams][c] = second_q;
      end else begin : g_single
        assign sum[p][c] = place[LENGTH-1][36:0];
      end
      logic unused;
      assign unused = ^cascade[LENGTH];
    end
  end

  for (genvar p = 0; p < PIXEL_LANES; p++) begin : g_pixel
    logic signed [HalfBits-1:0] low[Levels+1][CHAINS], high[Levels+1][CHAINS];
    for (genvar c = 0; c < CHAINS; c++) begin : g_split
      assign low[0][c] = HalfBits'($signed({!sum[p][c][17], sum[p][c][16:0]}));
      assign high[0][c] = HalfBits'($signed(sum[p][c][36:18]));
    end

    // Each of the CHAINS additions that a low half meets adds the one it lacks as well: x + y + 1 is x - ~y.
    for (genvar l = 1; l <= Levels; l++) begin : g_level
      for (genvar c = 0; c < CHAINS >> l; c++) begin : g_sum
        always_ff @(posedge clk_i) begin
          low[l][c] <= low[l-1][2*c] - ~low[l-1][2*c+1];
          high[l][c] <= high[l-1][2*c] + high[l-1][2*c+1];
        end
      end
    end
    always_ff @(posedge clk_i) begin
      if (valid_i) begin
        acc_o[p][0] <= (first_i ? '0 : acc_o[p][0]) - ~SUM_BITS'(low[Levels][0]);
        acc_o[p][1] <= (first_i ? '0 : acc_o[p][1]) + SUM_BITS'(high[Levels][0]);
      end
    end
  end
endmodule
