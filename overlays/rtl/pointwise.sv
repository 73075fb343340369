// The multiply-accumulate array: PIXEL_LANES x INPUT_LANES x OUTPUT_LANES products per cycle.
//
// Two weights that share an activation share a multiplier: (w1 << 18) + w0 times a leaves w0*a, of 16 bits, in the low 18 bits.
// Four such products may be added before the halves are taken apart: 4 * 2**14 is less than 2**17.
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
  localparam int unsigned Pairs = OUTPUT_LANES / 2;
  localparam int unsigned Chains = INPUT_LANES / 4;

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

  logic signed [34:0] product_q[PIXEL_LANES][Pairs][INPUT_LANES];
  logic signed [36:0] chain_q[PIXEL_LANES][Pairs][Chains];
  logic signed [AccBits-1:0] sum_q[PIXEL_LANES][OUTPUT_LANES];

  always_ff @(posedge clk_i) begin
    for (int unsigned o = 0; o < Pairs; o++) begin
      for (int unsigned i = 0; i < INPUT_LANES; i++) begin
        logic signed [26:0] packed_weights;
        packed_weights = (27'($signed(weight_i[2*o+1][i])) <<< 18) + 27'($signed(weight_i[2*o][i]));
        for (int unsigned p = 0; p < PIXEL_LANES; p++) product_q[p][o][i] <= packed_weights * act_q[p][i];
      end
    end
  end

  always_ff @(posedge clk_i) begin
    for (int unsigned p = 0; p < PIXEL_LANES; p++) begin
      for (int unsigned o = 0; o < Pairs; o++) begin
        for (int unsigned c = 0; c < Chains; c++) begin
          chain_q[p][o][c] <= 37'(product_q[p][o][4*c]) + 37'(product_q[p][o][4*c+1])
                            + 37'(product_q[p][o][4*c+2]) + 37'(product_q[p][o][4*c+3]);
        end
      end
    end
  end

  always_ff @(posedge clk_i) begin
    for (int unsigned p = 0; p < PIXEL_LANES; p++) begin
      for (int unsigned o = 0; o < Pairs; o++) begin
        logic signed [AccBits-1:0] low, high;
        low = '0;
        high = '0;
        for (int unsigned c = 0; c < Chains; c++) begin
          low = low + AccBits'($signed(chain_q[p][o][c][17:0]));
          // A negative low half has borrowed one from the high half.
          high = high + AccBits'($signed(chain_q[p][o][c][36:18])) + AccBits'(chain_q[p][o][c][17]);
        end
        sum_q[p][2*o] <= low;
        sum_q[p][2*o+1] <= high;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (valid_q[3]) begin
      for (int unsigned p = 0; p < PIXEL_LANES; p++) begin
        for (int unsigned o = 0; o < OUTPUT_LANES; o++) acc_o[p][o] <= (first_q[3] ? '0 : acc_o[p][o]) + sum_q[p][o];
      end
    end
  end

  logic unused;
  assign unused = ^index_i;
endmodule
