// Two outputs of the pointwise array, for all pixel lanes.
//
// Two weights that share an activation share a multiplier: (w1 << 18) + w0 times a leaves w0*a, of 16 bits, in the low 18 bits.
// Four such products may be added before the halves are taken apart: 4 * 2**14 is less than 2**17.
module pointwise_pair
  import engine_pkg::*;
#(
    parameter int unsigned PIXEL_LANES = 1,
    parameter int unsigned INPUT_LANES = 4
) (
    input  logic                                                clk_i,
    input  logic signed [7:0]                                   act_i[PIXEL_LANES][INPUT_LANES],
    input  logic [1:0][INPUT_LANES-1:0][7:0]                    weight_i,
    input  logic                                                valid_i,  // with the sums, three cycles after act_i
    input  logic                                                first_i,
    output logic signed [PIXEL_LANES-1:0][1:0][AccBits-1:0]     acc_o
);
  localparam int unsigned Chains = INPUT_LANES / 4;
  logic signed [34:0] product_q[PIXEL_LANES][INPUT_LANES];
  logic signed [36:0] chain_q[PIXEL_LANES][Chains];
  logic signed [AccBits-1:0] low_q[PIXEL_LANES], high_q[PIXEL_LANES];

  always_ff @(posedge clk_i) begin
    for (int unsigned i = 0; i < INPUT_LANES; i++) begin
      logic signed [26:0] packed_weights;
      packed_weights = (27'($signed(weight_i[1][i])) <<< 18) + 27'($signed(weight_i[0][i]));
      for (int unsigned p = 0; p < PIXEL_LANES; p++) product_q[p][i] <= packed_weights * act_i[p][i];
    end
    for (int unsigned p = 0; p < PIXEL_LANES; p++) begin
      for (int unsigned c = 0; c < Chains; c++) begin
        chain_q[p][c] <= 37'(product_q[p][4*c]) + 37'(product_q[p][4*c+1]) + 37'(product_q[p][4*c+2]) + 37'(product_q[p][4*c+3]);
      end
    end
  end

  // The halves are summed in as few bits as they need, then widened.
  localparam int unsigned SumBits = 19 + $clog2(Chains + 1);
  always_ff @(posedge clk_i) begin
    for (int unsigned p = 0; p < PIXEL_LANES; p++) begin
      logic signed [SumBits-1:0] low, high;
      low = '0;
      high = '0;
      for (int unsigned c = 0; c < Chains; c++) begin
        low = low + SumBits'($signed(chain_q[p][c][17:0]));
        // A negative low half has borrowed one from the high half.
        high = high + SumBits'($signed(chain_q[p][c][36:18])) + SumBits'(chain_q[p][c][17]);
      end
      low_q[p] <= AccBits'(low);
      high_q[p] <= AccBits'(high);
      if (valid_i) begin
        acc_o[p][0] <= (first_i ? '0 : acc_o[p][0]) + low_q[p];
        acc_o[p][1] <= (first_i ? '0 : acc_o[p][1]) + high_q[p];
      end
    end
  end
endmodule
