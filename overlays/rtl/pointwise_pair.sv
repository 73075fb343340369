// Two outputs of the pointwise array, for all pixel lanes.
//
// Two weights that share an activation share a multiplier: (w1 << 18) + w0 times a leaves w0*a, of 16 bits, in the low 18 bits. A
// cascade adds up to eight such products before the halves are taken apart: -8 * 127 * 128 <= sum(w0*a) <= 8 * 128 * 128 = 2**17. The
// constant 2**17 - 1 at its start makes that an unsigned number of 18 bits, so that nothing is borrowed from the high half; with its
// top bit flipped the low half is a signed number again, one too small.
module pointwise_pair #(
    parameter int unsigned PIXEL_LANES = 1,
    parameter int unsigned CHAINS = 1,
    parameter int unsigned LENGTH = 4,      // of a cascade, at most CascadeLength
    parameter int unsigned SUM_BITS = 26,
    parameter bit INSTANCES = 1'b0
) (
    input  logic                                                clk_i,
    input  logic [PIXEL_LANES-1:0][CHAINS-1:0][LENGTH-1:0][7:0] act_i,     // place q of a cascade comes q cycles later
    input  logic [1:0][CHAINS-1:0][LENGTH-1:0][7:0]             weight_i,
    input  logic                                                valid_i,  // with the sums
    input  logic                                                first_i,
    output logic signed [PIXEL_LANES-1:0][1:0][SUM_BITS-1:0]    acc_o
);
  localparam int unsigned Levels = $clog2(CHAINS);
  localparam int unsigned HalfBits = 19 + Levels;

  for (genvar p = 0; p < PIXEL_LANES; p++) begin : g_pixel
    logic signed [HalfBits-1:0] low[Levels+1][CHAINS], high[Levels+1][CHAINS];
    for (genvar c = 0; c < CHAINS; c++) begin : g_chain
      logic signed [47:0] cascade[LENGTH+1], sum[LENGTH];
      assign cascade[0] = 48'sd131071;
      for (genvar q = 0; q < LENGTH; q++) begin : g_mac
        packed_mac #(
            .INSTANCE(INSTANCES), .FIRST(q == 0)
        ) u_mac (
            .clk_i, .high_i(weight_i[1][c][q]), .low_i(weight_i[0][c][q]), .act_i(act_i[p][c][q]), .addend_i(cascade[q]),
            .sum_o(sum[q]), .cascade_o(cascade[q+1])
        );
        logic unused_sum;
        assign unused_sum = ^sum[q];  // only the last one is looked at
      end
      assign low[0][c] = HalfBits'($signed({!sum[LENGTH-1][17], sum[LENGTH-1][16:0]}));
      assign high[0][c] = HalfBits'($signed(sum[LENGTH-1][36:18]));
      logic unused;
      assign unused = ^cascade[LENGTH];
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
