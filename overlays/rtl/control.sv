// AXI4-Lite registers with the block control of Vitis HLS (ap_ctrl_hs); the map is contract/registers.py.
module control
  import dsodenet_registers_pkg::*;
#(
    parameter logic [31:0] CAP_CHANNELS = '0,
    parameter logic [31:0] CAP_PIXELS = '0,
    parameter logic [31:0] CAP_STEPS = '0,
    parameter logic [31:0] CAP_LANES = '0
) (
    input  logic        clk_i,
    input  logic        rst_ni,
    input  logic [8:0]  s_axi_control_awaddr,
    input  logic        s_axi_control_awvalid,
    output logic        s_axi_control_awready,
    input  logic [31:0] s_axi_control_wdata,
    input  logic [3:0]  s_axi_control_wstrb,
    input  logic        s_axi_control_wvalid,
    output logic        s_axi_control_wready,
    output logic [1:0]  s_axi_control_bresp,
    output logic        s_axi_control_bvalid,
    input  logic        s_axi_control_bready,
    input  logic [8:0]  s_axi_control_araddr,
    input  logic        s_axi_control_arvalid,
    output logic        s_axi_control_arready,
    output logic [31:0] s_axi_control_rdata,
    output logic [1:0]  s_axi_control_rresp,
    output logic        s_axi_control_rvalid,
    input  logic        s_axi_control_rready,
    output logic        interrupt,
    // command
    output logic        start_o,
    input  logic        done_i,
    input  logic [31:0] status_i,  // with done_i
    output logic [31:0] command_o,
    output logic [31:0] frames_o,
    output logic [31:0] num_stages_o,
    output logic [MAX_BLOCKS-1:0][31:0] n_steps_o,
    output logic signed [MAX_BLOCKS-1:0][COEFFS_PER_BLOCK-1:0][17:0] coeff_o,
    // results
    input  logic [63:0] fingerprint_i,
    input  logic [31:0] frames_done_i,
    input  logic [31:0] cycles_i,
    input  logic [31:0] stalls_in_i,
    input  logic [31:0] stalls_out_i,
    input  logic [31:0] state_i
);
  localparam int unsigned Coeffs = MAX_BLOCKS * COEFFS_PER_BLOCK;
  localparam int unsigned Scalars = 3 + MAX_BLOCKS;  // COMMAND, FRAMES, NUM_STAGES, N_STEPS_*

  // ---- write channel: address and data may come in any order
  logic aw_held_q, w_held_q, write;
  logic [8:0] awaddr_q;
  logic [31:0] wdata_q;
  logic [3:0] wstrb_q;
  assign s_axi_control_awready = !aw_held_q;
  assign s_axi_control_wready = !w_held_q;
  assign s_axi_control_bresp = 2'b00;
  assign write = aw_held_q && w_held_q && (!s_axi_control_bvalid || s_axi_control_bready);
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      aw_held_q <= 1'b0;
      w_held_q <= 1'b0;
      s_axi_control_bvalid <= 1'b0;
    end else begin
      if (s_axi_control_awvalid && s_axi_control_awready) aw_held_q <= 1'b1;
      else if (write) aw_held_q <= 1'b0;
      if (s_axi_control_wvalid && s_axi_control_wready) w_held_q <= 1'b1;
      else if (write) w_held_q <= 1'b0;
      if (write) s_axi_control_bvalid <= 1'b1;
      else if (s_axi_control_bready) s_axi_control_bvalid <= 1'b0;
    end
    if (s_axi_control_awready) awaddr_q <= s_axi_control_awaddr;
    if (s_axi_control_wready) {wdata_q, wstrb_q} <= {s_axi_control_wdata, s_axi_control_wstrb};
  end

  function automatic logic [31:0] merge(logic [31:0] old);
    for (int unsigned i = 0; i < 4; i++) merge[8*i+:8] = wstrb_q[i] ? wdata_q[8*i+:8] : old[8*i+:8];
  endfunction

  // ---- block control
  logic start_q, done_q, busy_q, auto_restart_q, gier_q, violated_q, read_ctrl;
  logic [1:0] ier_q, isr_q;
  logic [31:0] status_q;
  logic argument_write;
  assign argument_write = write && awaddr_q[8:2] >= REG_COMMAND[8:2];
  assign start_o = start_q && !busy_q;
  assign interrupt = gier_q && |isr_q;
  assign read_ctrl = s_axi_control_arvalid && s_axi_control_arready && s_axi_control_araddr[8:2] == REG_CTRL[8:2];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      {start_q, done_q, busy_q, auto_restart_q, gier_q, violated_q, ier_q, isr_q} <= '0;
      status_q <= STATUS_OK;
    end else begin
      if (start_o) busy_q <= 1'b1;
      else if (done_i) busy_q <= 1'b0;
      if (done_i) begin
        start_q <= auto_restart_q;
        status_q <= status_i == STATUS_OK && violated_q ? STATUS_WRITE_WHILE_BUSY : status_i;
      end
      if (done_i) done_q <= 1'b1;
      else if (read_ctrl) done_q <= 1'b0;
      if (start_o) violated_q <= 1'b0;
      else if (argument_write && busy_q) violated_q <= 1'b1;
      if (write && wstrb_q[0]) begin
        case (awaddr_q[8:2])
          REG_CTRL[8:2]: begin
            if (wdata_q[0]) start_q <= 1'b1;
            auto_restart_q <= wdata_q[7];
          end
          REG_GIER[8:2]: gier_q <= wdata_q[0];
          REG_IP_IER[8:2]: ier_q <= wdata_q[1:0];
          REG_IP_ISR[8:2]: isr_q <= isr_q ^ wdata_q[1:0];
          default: ;
        endcase
      end
      if (done_i) isr_q <= isr_q | ier_q;
    end
  end

  // ---- arguments
  logic [31:0] scalar_q[Scalars], coeff_q[Coeffs];
  logic [6:0] write_scalar, write_coeff, read_scalar, read_coeff;  // words from the first one; scalars take two
  assign write_scalar = awaddr_q[8:2] - REG_COMMAND[8:2];
  assign write_coeff = awaddr_q[8:2] - REG_COEFF[8:2];
  assign read_scalar = s_axi_control_araddr[8:2] - REG_COMMAND[8:2];
  assign read_coeff = s_axi_control_araddr[8:2] - REG_COEFF[8:2];

  function automatic logic is_scalar(logic [6:0] word);
    return !word[0] && 32'(word[6:1]) < Scalars;
  endfunction
  function automatic logic is_coeff(logic [6:0] word);
    return 32'(word) < Coeffs;
  endfunction

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      for (int unsigned i = 0; i < Scalars; i++) scalar_q[i] <= '0;
      for (int unsigned i = 0; i < Coeffs; i++) coeff_q[i] <= '0;
    end else if (argument_write && !busy_q && !start_q) begin
      if (is_scalar(write_scalar)) scalar_q[write_scalar[3:1]] <= merge(scalar_q[write_scalar[3:1]]);
      if (is_coeff(write_coeff)) coeff_q[write_coeff[4:0]] <= merge(coeff_q[write_coeff[4:0]]);
    end
  end
  assign command_o = scalar_q[0];
  assign frames_o = scalar_q[1];
  assign num_stages_o = scalar_q[2];
  always_comb begin
    for (int unsigned b = 0; b < MAX_BLOCKS; b++) begin
      n_steps_o[b] = scalar_q[3+b];
      for (int unsigned i = 0; i < COEFFS_PER_BLOCK; i++) coeff_o[b][i] = coeff_q[b*COEFFS_PER_BLOCK+i][17:0];
    end
  end

  // ---- read channel
  logic [31:0] rdata;
  always_comb begin
    rdata = '0;
    case ({s_axi_control_araddr[8:2], 2'b00})
      REG_CTRL[8:0]: rdata = {24'b0, auto_restart_q, 3'b0, done_q, !busy_q && !start_q, done_q, start_q};
      REG_GIER[8:0]: rdata = {31'b0, gier_q};
      REG_IP_IER[8:0]: rdata = {30'b0, ier_q};
      REG_IP_ISR[8:0]: rdata = {30'b0, isr_q};
      REG_IDENTITY[8:0]: rdata = IDENTITY;
      REG_VERSION[8:0]: rdata = {KIND_RTL[15:0], CONTRACT_VERSION[15:0]};
      REG_STATUS[8:0]: rdata = status_q;
      REG_FINGERPRINT_LO[8:0]: rdata = fingerprint_i[31:0];
      REG_FINGERPRINT_HI[8:0]: rdata = fingerprint_i[63:32];
      REG_CAP_CHANNELS[8:0]: rdata = CAP_CHANNELS;
      REG_CAP_PIXELS[8:0]: rdata = CAP_PIXELS;
      REG_CAP_STEPS[8:0]: rdata = CAP_STEPS;
      REG_CAP_LANES[8:0]: rdata = CAP_LANES;
      REG_FRAMES_DONE[8:0]: rdata = frames_done_i;
      REG_CYCLES[8:0]: rdata = cycles_i;
      REG_STALLS_IN[8:0]: rdata = stalls_in_i;
      REG_STALLS_OUT[8:0]: rdata = stalls_out_i;
      REG_STATE[8:0]: rdata = state_i;
      default: begin
        if (is_scalar(read_scalar)) rdata = scalar_q[read_scalar[3:1]];
        if (is_coeff(read_coeff)) rdata = coeff_q[read_coeff[4:0]];
      end
    endcase
  end
  assign s_axi_control_arready = !s_axi_control_rvalid;
  assign s_axi_control_rresp = 2'b00;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) s_axi_control_rvalid <= 1'b0;
    else if (s_axi_control_arvalid && s_axi_control_arready) s_axi_control_rvalid <= 1'b1;
    else if (s_axi_control_rready) s_axi_control_rvalid <= 1'b0;
    if (s_axi_control_arvalid && s_axi_control_arready) s_axi_control_rdata <= rdata;
  end

  logic unused;
  assign unused = ^{s_axi_control_araddr, awaddr_q};
endmodule
