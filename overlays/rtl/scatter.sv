// Where the lanes of a result go: lane l to bank l, or, after stride 2 has dropped pixels, kept pixels to consecutive banks.
module scatter
  import engine_pkg::*;
#(
    parameter int unsigned PIXEL_LANES = 1,
    parameter int unsigned WIDTH = 8
) (
    input  result_t                             result_i,
    input  logic                                pack_i,
    input  logic [15:0]                         row_words_i,
    input  logic [PIXEL_LANES-1:0][WIDTH-1:0]   data_i,
    output logic [PIXEL_LANES-1:0]              we_o,
    output logic [PIXEL_LANES-1:0][15:0]        addr_o,
    output logic [PIXEL_LANES-1:0][WIDTH-1:0]   data_o
);
  always_comb begin
    int unsigned position;
    we_o = '0;
    addr_o = '0;
    data_o = data_i;
    position = 32'(result_i.bank);
    for (int unsigned l = 0; l < PIXEL_LANES; l++) begin
      for (int unsigned b = 0; b < PIXEL_LANES; b++) begin
        if (result_i.valid && result_i.lanes[l] && position % PIXEL_LANES == b) begin
          we_o[b] = 1'b1;
          addr_o[b] = result_i.addr + (position >= PIXEL_LANES ? row_words_i : '0);
          data_o[b] = data_i[l];
        end
      end
      if (!pack_i || result_i.lanes[l]) position++;
    end
  end

  logic unused;
  assign unused = ^result_i;
endmodule
