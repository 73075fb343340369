// Stands in for the Verilog that Vitis HLS exports: its C++ by DPI-C behind the same ports and the same block control (UG1399).
//
// Not cycle-accurate: a command takes its packet in, beat by beat, computes in no time, and sends its own packet out.
module dsodenet_hls
  import dsodenet_registers_pkg::*;
(
    input  logic         ap_clk,
    input  logic         ap_rst_n,
    output logic         interrupt,
    input  logic [8:0]   s_axi_control_AWADDR,
    input  logic         s_axi_control_AWVALID,
    output logic         s_axi_control_AWREADY,
    input  logic [31:0]  s_axi_control_WDATA,
    input  logic [3:0]   s_axi_control_WSTRB,
    input  logic         s_axi_control_WVALID,
    output logic         s_axi_control_WREADY,
    output logic [1:0]   s_axi_control_BRESP,
    output logic         s_axi_control_BVALID,
    input  logic         s_axi_control_BREADY,
    input  logic [8:0]   s_axi_control_ARADDR,
    input  logic         s_axi_control_ARVALID,
    output logic         s_axi_control_ARREADY,
    output logic [31:0]  s_axi_control_RDATA,
    output logic [1:0]   s_axi_control_RRESP,
    output logic         s_axi_control_RVALID,
    input  logic         s_axi_control_RREADY,
    input  logic [127:0] s_axis_TDATA,
    input  logic [15:0]  s_axis_TKEEP,
    input  logic [15:0]  s_axis_TSTRB,
    input  logic         s_axis_TLAST,
    input  logic         s_axis_TVALID,
    output logic         s_axis_TREADY,
    output logic [127:0] m_axis_TDATA,
    output logic [15:0]  m_axis_TKEEP,
    output logic [15:0]  m_axis_TSTRB,
    output logic         m_axis_TLAST,
    output logic         m_axis_TVALID,
    input  logic         m_axis_TREADY
);
  // hls_csim.cpp
  import "DPI-C" function void kernel_reset();
  import "DPI-C" function void kernel_write(int unsigned address, int unsigned value, int unsigned strobes);
  import "DPI-C" function int unsigned kernel_read(int unsigned address);
  import "DPI-C" function void kernel_take(bit [127:0] data, bit last);
  import "DPI-C" function void kernel_run();
  import "DPI-C" function bit kernel_give(output bit [127:0] data, output bit [15:0] keep, output bit last);

  typedef enum logic [1:0] {Idle, Take, Give} state_e;
  state_e state_q;
  logic start_q, done_q, ready_q, auto_restart_q, gier_q, done;
  logic [1:0] ier_q, isr_q;

  // ---- streams
  bit [127:0] data;
  bit [15:0] keep;
  bit last, more;
  logic sending;
  assign sending = !m_axis_TVALID || m_axis_TREADY;
  assign s_axis_TREADY = state_q == Take;
  assign m_axis_TSTRB = m_axis_TKEEP;
  always_ff @(posedge ap_clk) begin
    done <= 1'b0;
    if (!ap_rst_n) begin
      kernel_reset();
      state_q <= Idle;
      m_axis_TVALID <= 1'b0;
    end else begin
      case (state_q)
        Idle:
        if (start_q && !done) begin
          if (kernel_read(REG_COMMAND) == COMMAND_LOAD || kernel_read(REG_COMMAND) == COMMAND_RUN) state_q <= Take;
          else begin
            kernel_run();
            state_q <= Give;
          end
        end
        Take:
        if (s_axis_TVALID) begin
          kernel_take(s_axis_TDATA, s_axis_TLAST);
          if (s_axis_TLAST) begin
            kernel_run();
            state_q <= Give;
          end
        end
        default:
        if (sending) begin
          more = kernel_give(data, keep, last);
          m_axis_TVALID <= more;
          {m_axis_TDATA, m_axis_TKEEP, m_axis_TLAST} <= {data, keep, last};
          if (!more) begin
            state_q <= Idle;
            done <= 1'b1;
          end
        end
      endcase
    end
  end

  // ---- registers
  logic aw_held_q, w_held_q, write, read;
  logic [8:0] awaddr_q, araddr;
  logic [31:0] wdata_q;
  logic [3:0] wstrb_q;
  assign s_axi_control_AWREADY = !aw_held_q;
  assign s_axi_control_WREADY = !w_held_q;
  assign s_axi_control_ARREADY = !s_axi_control_RVALID;
  assign {s_axi_control_BRESP, s_axi_control_RRESP} = '0;
  assign write = aw_held_q && w_held_q && !s_axi_control_BVALID;
  assign read = s_axi_control_ARVALID && s_axi_control_ARREADY;
  assign araddr = {s_axi_control_ARADDR[8:2], 2'b00};
  assign interrupt = gier_q && |isr_q;
  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      {aw_held_q, w_held_q, s_axi_control_BVALID, s_axi_control_RVALID} <= '0;
      {start_q, done_q, ready_q, auto_restart_q, gier_q, ier_q, isr_q} <= '0;
    end else begin
      if (s_axi_control_AWVALID && s_axi_control_AWREADY) {aw_held_q, awaddr_q} <= {1'b1, s_axi_control_AWADDR[8:2], 2'b00};
      if (s_axi_control_WVALID && s_axi_control_WREADY)
        {w_held_q, wdata_q, wstrb_q} <= {1'b1, s_axi_control_WDATA, s_axi_control_WSTRB};
      if (s_axi_control_BREADY) s_axi_control_BVALID <= 1'b0;
      if (write) {aw_held_q, w_held_q, s_axi_control_BVALID} <= 3'b001;
      if (s_axi_control_RREADY) s_axi_control_RVALID <= 1'b0;
      if (read) begin
        s_axi_control_RVALID <= 1'b1;
        case (32'(araddr))
          REG_CTRL: s_axi_control_RDATA <= {24'b0, auto_restart_q, 3'b0, ready_q, !start_q, done_q, start_q};
          REG_GIER: s_axi_control_RDATA <= {31'b0, gier_q};
          REG_IP_IER: s_axi_control_RDATA <= {30'b0, ier_q};
          REG_IP_ISR: s_axi_control_RDATA <= {30'b0, isr_q};
          default: s_axi_control_RDATA <= kernel_read(32'(araddr));
        endcase
        if (32'(araddr) == REG_CTRL) {done_q, ready_q} <= '0;
      end
      if (done) {start_q, done_q, ready_q} <= {auto_restart_q, 2'b11};
      if (write) begin
        case (32'(awaddr_q))
          REG_CTRL: begin
            if (wdata_q[0]) start_q <= 1'b1;
            auto_restart_q <= wdata_q[7];
          end
          REG_GIER: gier_q <= wdata_q[0];
          REG_IP_IER: ier_q <= wdata_q[1:0];
          REG_IP_ISR: isr_q <= isr_q ^ wdata_q[1:0];
          default: kernel_write(32'(awaddr_q), wdata_q, 32'(wstrb_q));
        endcase
      end
      if (done) isr_q <= isr_q | ier_q;
    end
  end
endmodule
