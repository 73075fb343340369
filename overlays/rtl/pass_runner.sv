// Issues the work of one pass, a token per cycle: for each pixel group, for each output tile, every input word.
//
// Groups before the first pixel fill the line buffers; groups whose pixels are all outside the map, or dropped by stride 2,
// only move the window on.
module pass_runner
  import engine_pkg::*;
  import dsodenet_program_pkg::*;
#(
    parameter int unsigned PIXEL_LANES = 1,
    parameter int unsigned DRAIN_CYCLES = 32  // from the last token to the last write, with a margin
) (
    input  logic   clk_i,
    input  logic   rst_ni,
    input  logic   start_i,
    input  pass_t  pass_i,
    input  logic   drain_i,  // stay busy until the last write; else only as long as the descriptor asks
    output token_t token_o,
    output logic   busy_o
);
  // ---- loop counters
  logic running_q, first_q, last_group, input_end, group_end;
  logic [15:0] group_q, input_q, rep_q, output_q;
  logic [9:0] tile_q;
  logic [6:0] drain_q;
  logic [15:0] fetch_addr_q, pw_addr_q;

  // ---- position of each pixel of the group at the centre of the window
  logic [15:0] x_q[PIXEL_LANES], y_q[PIXEL_LANES], x_next[PIXEL_LANES];
  logic centre, stride2, active, issue, fetch;
  logic [MaxPixelLanes-1:0] lanes;
  assign stride2 = pass_i.stride2[0];
  assign centre = group_q >= pass_i.lead_groups;
  always_comb begin
    lanes = '0;
    for (int unsigned l = 0; l < PIXEL_LANES; l++) begin
      lanes[l] = centre && x_q[l] < pass_i.width && y_q[l] < pass_i.height && !(stride2 && (x_q[l][0] || y_q[l][0]));
      x_next[l] = x_q[l] + 16'(PIXEL_LANES);
    end
  end
  assign active = |lanes;
  assign fetch = issue && output_q == 0 && rep_q == 0;
  assign issue = running_q && input_q <= pass_i.inputs_last;
  assign input_end = input_q == (active ? pass_i.slot_last : pass_i.inputs_last);
  assign group_end = input_end && (!active || output_q == pass_i.outputs_last);
  assign last_group = group_q == pass_i.last_group;
  assign busy_o = running_q || drain_q != 0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      running_q <= 1'b0;
      drain_q <= '0;
    end else if (start_i) begin
      running_q <= 1'b1;
      drain_q <= drain_i ? 7'(DRAIN_CYCLES) : pass_i.wait_cycles[6:0];
    end else if (running_q) begin
      if (group_end && last_group) running_q <= 1'b0;
    end else if (drain_q != 0) drain_q <= drain_q - 1'b1;

    first_q <= start_i;
    if (start_i) begin
      {group_q, input_q, rep_q, output_q, tile_q} <= '0;
      fetch_addr_q <= pass_i.fetch_start;
      pw_addr_q <= pass_i.pw_base;
    end else if (running_q) begin
      input_q <= input_end ? '0 : input_q + 1'b1;
      rep_q <= input_end || rep_q == pass_i.reps_last ? '0 : rep_q + 1'b1;
      if (input_end) tile_q <= '0;
      else if (rep_q == pass_i.reps_last) tile_q <= tile_q + 1'b1;
      if (input_end) output_q <= group_end ? '0 : output_q + 1'b1;
      if (group_end) group_q <= group_q + 1'b1;
      if (fetch) fetch_addr_q <= fetch_addr_q + 1'b1;
      if (group_end) pw_addr_q <= pass_i.pw_base;
      else if (issue && active) pw_addr_q <= pw_addr_q + 1'b1;
    end

    for (int unsigned l = 0; l < PIXEL_LANES; l++) begin
      if (start_i) begin
        x_q[l] <= 16'(l);
        y_q[l] <= '0;
      end else if (running_q && group_end && centre) begin
        x_q[l] <= x_next[l] >= pass_i.pitch ? x_next[l] - pass_i.pitch : x_next[l];
        if (x_next[l] >= pass_i.pitch) y_q[l] <= y_q[l] + 1'b1;
      end
    end
  end

  // ---- where the results go: groups follow each other, except that stride 2 packs what it keeps and starts rows anew
  logic [15:0] dst_q, row_dst_q, dst, row_dst_next;
  logic [2:0] bank_q, row_bank_q, bank, row_bank_next;
  logic new_row;
  logic [3:0] kept, bank_sum, row_bank_sum;
  always_comb begin
    new_row = 1'b0;
    kept = '0;
    for (int unsigned l = 0; l < PIXEL_LANES; l++) begin
      if (stride2 && centre && x_q[l] == 0 && !y_q[l][0] && y_q[l] != 0) new_row = 1'b1;
      kept += 4'(lanes[l]);
    end
    dst = new_row ? row_dst_q : dst_q;
    bank = new_row ? row_bank_q : bank_q;
    bank_sum = 4'(bank) + (stride2 ? kept : 4'(PIXEL_LANES));
    row_bank_sum = 4'(row_bank_q) + pass_i.dst_row_rotate[3:0];
    row_bank_next = row_bank_sum >= 4'(PIXEL_LANES) ? 3'(row_bank_sum - 4'(PIXEL_LANES)) : row_bank_sum[2:0];
    row_dst_next = row_dst_q + pass_i.dst_row_words + (row_bank_sum >= 4'(PIXEL_LANES) ? pass_i.row_words : '0);
  end
  always_ff @(posedge clk_i) begin
    if (start_i) begin
      dst_q <= '0;
      bank_q <= '0;
      row_dst_q <= pass_i.dst_row_words;
      row_bank_q <= pass_i.dst_row_rotate[2:0];
    end else if (running_q && group_end && centre) begin
      bank_q <= bank_sum >= 4'(PIXEL_LANES) ? 3'(bank_sum - 4'(PIXEL_LANES)) : bank_sum[2:0];
      dst_q <= dst + (bank_sum >= 4'(PIXEL_LANES) ? pass_i.row_words : '0);
      if (new_row) begin
        row_dst_q <= row_dst_next;
        row_bank_q <= row_bank_next;
      end
    end
  end

  // ---- the token
  token_t token;
  always_comb begin
    token = '0;
    token.start = first_q && running_q;
    token.fetch = fetch;
    token.fetch_addr = fetch_addr_q;
    token.tile = tile_q;
    token.valid = issue && active;
    token.fresh = output_q == 0;
    token.index = input_q[9:0];
    token.first = input_q == 0;
    token.last = input_q == pass_i.inputs_last;
    token.dw_addr = pass_i.dw_base + input_q;
    token.pw_addr = pw_addr_q;
    for (int unsigned l = 0; l < PIXEL_LANES; l++) begin
      token.left[l] = x_q[l] != 0;
      token.right[l] = x_q[l] + 1'b1 < pass_i.width;
      token.above[l] = y_q[l] != 0;
      token.below[l] = y_q[l] + 1'b1 < pass_i.height;
    end
    token.tile_first = output_q == 0;
    token.tile_last = output_q == pass_i.outputs_last;
    token.group_first = group_q == pass_i.lead_groups;
    token.lanes = lanes;
    token.dst = dst;
    token.dst_bank = bank;
  end
  always_ff @(posedge clk_i) begin
    token_o <= token;
    if (!rst_ni) token_o <= '0;
  end

  logic unused;
  assign unused = ^pass_i;
endmodule
