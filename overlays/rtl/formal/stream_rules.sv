// AXI-Stream's rule for the side that sends: what is offered stays, unchanged, until it is taken. A proof asserts or assumes it.
module stream_rules #(
    parameter int unsigned BITS = 1
) (
    input  logic            clk_i,
    input  logic            rst_ni,
    input  logic            valid_i,
    input  logic            ready_i,
    input  logic [BITS-1:0] beat_i,
    output logic            kept_o
);
  logic waiting_q = 1'b0;
  logic [BITS-1:0] beat_q;
  always_ff @(posedge clk_i) begin
    waiting_q <= rst_ni && valid_i && !ready_i;
    beat_q <= beat_i;
  end
  assign kept_o = !rst_ni || !waiting_q || (valid_i && beat_i == beat_q);
endmodule
