// A signed product built of LUTs: radix-4 Booth digits of b, a row of adders and a cycle for each; B_BITS / 2 cycles.
//
// Row d adds digit d of b (-2 .. 2) times a to what the rows before it have left; the two lowest bits of each sum are final. A bit of
// the sum depends on one of the sum before, three of b and two of a: one LUT beside the carry chain.
module lut_product #(
    parameter int unsigned A_BITS = 9,
    parameter int unsigned B_BITS = 8  // even
) (
    input  logic                              clk_i,
    input  logic signed [A_BITS-1:0]          a_i,
    input  logic signed [B_BITS-1:0]          b_i,
    output logic signed [A_BITS+B_BITS-1:0]   product_o
);
  localparam int unsigned Rows = B_BITS / 2;
  localparam int unsigned SumBits = A_BITS + 2;

  logic signed [A_BITS-1:0] a[Rows];
  logic [B_BITS:0] b[Rows];               // what is left of b, above the highest bit of the digit before
  logic signed [SumBits-1:0] sum[Rows+1];
  logic [B_BITS-1:0] low[Rows+1];         // final bits, the newest on top

  assign a[0] = a_i;
  assign b[0] = {b_i, 1'b0};
  assign sum[0] = '0;
  assign low[0] = '0;
  for (genvar d = 0; d < Rows; d++) begin : g_row
    logic one, two, negative, unused_carry;
    logic signed [SumBits-1:0] multiple, next;
    assign one = b[d][1] ^ b[d][0];
    assign two = b[d][2:0] == 3'b100 || b[d][2:0] == 3'b011;
    assign negative = b[d][2];
    assign multiple = (one ? SumBits'(a[d]) : two ? SumBits'(a[d]) <<< 1 : '0) ^ {SumBits{negative}};
    // A carry into the lowest bit completes the negative.
    assign {next, unused_carry} = {sum[d] >>> 2, 1'b1} + {multiple, negative};
    always_ff @(posedge clk_i) begin
      sum[d+1] <= next;
      low[d+1] <= {sum[d][1:0], low[d][B_BITS-1:2]};
    end
    if (unsigned'(d + 1) < Rows) begin : g_next
      always_ff @(posedge clk_i) begin
        a[d+1] <= a[d];
        b[d+1] <= b[d] >> 2;
      end
    end
  end
  // Two bits of every sum but the last lie in low, and the last sum holds the rest.
  assign product_o = {sum[Rows], low[Rows][B_BITS-1:2]};

  logic unused;
  assign unused = ^low[Rows];
endmodule
