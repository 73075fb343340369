// The hls kernel with the ports of the contract: the names that Vitis HLS gives to the ports of `dsodenet_hls`, spelt as the rtl
// kernel spells them. What is behind it is either hls_csim.sv or the Verilog that Vitis HLS exports.
module hls_kernel (
    input  logic         clk,
    input  logic         rst_n,
    input  logic [8:0]   s_axi_control_awaddr,
    input  logic         s_axi_control_awvalid,
    output logic         s_axi_control_awready,
    input  logic [31:0]  s_axi_control_wdata,
    input  logic [3:0]   s_axi_control_wstrb,
    input  logic         s_axi_control_wvalid,
    output logic         s_axi_control_wready,
    output logic [1:0]   s_axi_control_bresp,
    output logic         s_axi_control_bvalid,
    input  logic         s_axi_control_bready,
    input  logic [8:0]   s_axi_control_araddr,
    input  logic         s_axi_control_arvalid,
    output logic         s_axi_control_arready,
    output logic [31:0]  s_axi_control_rdata,
    output logic [1:0]   s_axi_control_rresp,
    output logic         s_axi_control_rvalid,
    input  logic         s_axi_control_rready,
    input  logic [127:0] s_axis_tdata,
    input  logic         s_axis_tlast,
    input  logic         s_axis_tvalid,
    output logic         s_axis_tready,
    output logic [127:0] m_axis_tdata,
    output logic         m_axis_tlast,
    output logic         m_axis_tvalid,
    input  logic         m_axis_tready,
    output logic         interrupt
);
  dsodenet_hls u_kernel (
      .ap_clk(clk), .ap_rst_n(rst_n), .interrupt,
      .s_axi_control_AWADDR(s_axi_control_awaddr), .s_axi_control_AWVALID(s_axi_control_awvalid),
      .s_axi_control_AWREADY(s_axi_control_awready), .s_axi_control_WDATA(s_axi_control_wdata),
      .s_axi_control_WSTRB(s_axi_control_wstrb), .s_axi_control_WVALID(s_axi_control_wvalid),
      .s_axi_control_WREADY(s_axi_control_wready), .s_axi_control_BRESP(s_axi_control_bresp),
      .s_axi_control_BVALID(s_axi_control_bvalid), .s_axi_control_BREADY(s_axi_control_bready),
      .s_axi_control_ARADDR(s_axi_control_araddr), .s_axi_control_ARVALID(s_axi_control_arvalid),
      .s_axi_control_ARREADY(s_axi_control_arready), .s_axi_control_RDATA(s_axi_control_rdata),
      .s_axi_control_RRESP(s_axi_control_rresp), .s_axi_control_RVALID(s_axi_control_rvalid),
      .s_axi_control_RREADY(s_axi_control_rready),
      .s_axis_TDATA(s_axis_tdata), .s_axis_TKEEP('1), .s_axis_TSTRB('1), .s_axis_TLAST(s_axis_tlast),
      .s_axis_TVALID(s_axis_tvalid), .s_axis_TREADY(s_axis_tready),
      .m_axis_TDATA(m_axis_tdata), .m_axis_TKEEP(), .m_axis_TSTRB(), .m_axis_TLAST(m_axis_tlast),
      .m_axis_TVALID(m_axis_tvalid), .m_axis_TREADY(m_axis_tready)
  );
endmodule
