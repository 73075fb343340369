// Cascades of packed_mac as named slices and as behaviour, on the same random operands and enables: equal in every cycle.
module packed_mac_bench;
  localparam int unsigned Length = 3;
  localparam int unsigned Cycles = 20_000;
  logic clk = 1'b0;
  always #1 clk = !clk;
  int unsigned cycle = 0, differing = 0, compared = 0;

  for (genvar hold = 0; hold < 2; hold++) begin : g_hold
    for (genvar wide = 0; wide < 2; wide++) begin : g_bits
      localparam int unsigned Bits = 8 + wide;
      logic signed [Length-1:0][Bits-1:0] high, low;
      logic signed [Length-1:0][7:0] factor;
      logic take, load;
      logic signed [47:0] sum[2][Length], cascade[2][Length+1];
      for (genvar named = 0; named < 2; named++) begin : g_way
        assign cascade[named][0] = 48'sd131071;
        for (genvar q = 0; q < Length; q++) begin : g_place
          packed_mac #(
              .INSTANCE(named == 1), .FIRST(q == 0), .HOLD(hold == 1), .BITS(Bits)
          ) u_mac (
              .clk_i(clk), .take_i(take), .load_i(load), .high_i(high[q]), .low_i(low[q]), .factor_i(factor[q]),
              .addend_i(cascade[named][q]), .sum_o(sum[named][q]), .cascade_o(cascade[named][q+1])
          );
        end
      end
      // An eighth of the operands are at an end of their range.
      function automatic logic signed [Bits-1:0] operand();
        logic signed [Bits-1:0] value = Bits'($urandom);
        if ($urandom % 8 == 0) value = {value[Bits-1], {(Bits - 1) {!value[Bits-1]}}};
        return value;
      endfunction
      always @(negedge clk) begin
        for (int unsigned q = 0; q < Length; q++) begin
          high[q] = operand();
          low[q] = operand();
          factor[q] = 8'($urandom);
        end
        take = cycle < 4 || $urandom % 2 == 0;  // the first ones fill the registers
        load = cycle < 4 || $urandom % 2 == 0;
        if (cycle > 12) begin
          for (int unsigned q = 0; q < Length; q++) begin
            compared++;
            if (sum[0][q] !== sum[1][q] || cascade[0][q+1] !== cascade[1][q+1]) differing++;
          end
        end
      end
    end
  end
  always @(posedge clk) begin
    cycle <= cycle + 1;
    if (cycle == Cycles) begin
      $display("%0d of %0d differ", differing, compared);
      $finish;
    end
  end
endmodule
