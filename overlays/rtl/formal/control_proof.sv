// control: every AXI-Lite request has one answer, kept until it is taken and never before the request; a command starts only when
// none runs, and while it runs its arguments stay as they are.
module control_proof
  import dsodenet_registers_pkg::*;
(
    input logic        clk_i,
    input logic        rst_ni,
    input logic [8:0]  awaddr_i,
    input logic        awvalid_i,
    input logic [31:0] wdata_i,
    input logic [3:0]  wstrb_i,
    input logic        wvalid_i,
    input logic        bready_i,
    input logic [8:0]  araddr_i,
    input logic        arvalid_i,
    input logic        rready_i,
    input logic        done_i,
    input logic [31:0] status_i,
    input logic [63:0] fingerprint_i,
    input logic [31:0] frames_done_i,
    input logic [31:0] cycles_i,
    input logic [31:0] stalls_in_i,
    input logic [31:0] stalls_out_i,
    input logic [31:0] state_i
);
  logic awready, wready, bvalid, arready, rvalid, interrupt, start;
  logic [1:0] bresp, rresp;
  logic [31:0] rdata, command, frames, num_stages;
  logic [MAX_BLOCKS-1:0][31:0] n_steps;
  logic [MAX_BLOCKS-1:0][COEFFS_PER_BLOCK-1:0][17:0] coeff;
  control u_dut (
      .clk_i, .rst_ni, .s_axi_control_awaddr(awaddr_i), .s_axi_control_awvalid(awvalid_i), .s_axi_control_awready(awready),
      .s_axi_control_wdata(wdata_i), .s_axi_control_wstrb(wstrb_i), .s_axi_control_wvalid(wvalid_i),
      .s_axi_control_wready(wready), .s_axi_control_bresp(bresp), .s_axi_control_bvalid(bvalid), .s_axi_control_bready(bready_i),
      .s_axi_control_araddr(araddr_i), .s_axi_control_arvalid(arvalid_i), .s_axi_control_arready(arready),
      .s_axi_control_rdata(rdata), .s_axi_control_rresp(rresp), .s_axi_control_rvalid(rvalid), .s_axi_control_rready(rready_i),
      .interrupt, .start_o(start), .done_i, .status_i, .command_o(command), .frames_o(frames), .num_stages_o(num_stages),
      .n_steps_o(n_steps), .coeff_o(coeff), .fingerprint_i, .frames_done_i, .cycles_i, .stalls_in_i, .stalls_out_i, .state_i
  );

  // ---- what is around it: a command ends once, after it has started
  first_reset u_reset (.clk_i, .rst_ni, .constant_i(1'b0));
  logic running_q;
  always_comb if (!running_q) assume (!done_i);

  // ---- what must come out
  localparam int unsigned Arguments = $bits({command, frames, num_stages, n_steps, coeff});
  logic [Arguments-1:0] arguments, arguments_q;
  assign arguments = {command, frames, num_stages, n_steps, coeff};
  logic [1:0] addresses_q, words_q, reads_q;  // accepted and not yet answered
  logic kept_b, kept_r, frozen_q, waited_q;
  stream_rules #(.BITS(2)) u_b (.clk_i, .rst_ni, .valid_i(bvalid), .ready_i(bready_i), .beat_i(bresp), .kept_o(kept_b));
  stream_rules #(.BITS(34)) u_r (.clk_i, .rst_ni, .valid_i(rvalid), .ready_i(rready_i), .beat_i({rresp, rdata}), .kept_o(kept_r));
  always_ff @(posedge clk_i) begin
    addresses_q <= addresses_q + 2'(awvalid_i && awready) - 2'(bvalid && bready_i);
    words_q <= words_q + 2'(wvalid_i && wready) - 2'(bvalid && bready_i);
    reads_q <= reads_q + 2'(arvalid_i && arready) - 2'(rvalid && rready_i);
    waited_q <= addresses_q != 0 && words_q != 0 && !bvalid;
    if (start) running_q <= 1'b1;
    else if (done_i) running_q <= 1'b0;
    frozen_q <= running_q;
    arguments_q <= arguments;
    if (!rst_ni) {addresses_q, words_q, reads_q, running_q, frozen_q, waited_q} <= '0;
  end
  always_comb begin
    if (rst_ni) begin
      assert (kept_b && kept_r);
      assert (addresses_q <= 2 && words_q <= 2 && reads_q <= 1);  // one is answered while the next is held
      if (bvalid) assert (addresses_q != 0 && words_q != 0);
      assert (rvalid == (reads_q != 0));
      assert (!(waited_q && !bvalid));  // the answer comes in the cycle after both have come
      assert (!(start && running_q));
      if (frozen_q && running_q) assert (arguments == arguments_q);
      if (start) assert (!done_i);
      cover (running_q && bvalid && rvalid && command == COMMAND_RUN && interrupt);
    end
  end
endmodule
