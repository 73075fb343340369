// Issues the work of one pass, a token per cycle: for each pixel group, for each output tile, every input word.
//
// Groups before the first pixel fill the line buffers; groups whose pixels are all outside the map, or dropped by stride 2,
// only move the window on. The last groups of a pass have no words left to fetch from its own map. They fetch the first ones of the
// other map, which the next pass reads: a pass that continues this one begins with its first pixel.
//
// While an image comes in, the pass that reads it follows the words that are whole.
module pass_runner
  import engine_pkg::*;
  import dsodenet_program_pkg::*;
#(
    parameter int unsigned PIXEL_LANES = 1,
    parameter int unsigned DRAIN_CYCLES = 32,  // from the last token to the last write, with a margin
    localparam int unsigned IdleTokens = 3
) (
    input  logic        clk_i,
    input  logic        rst_ni,
    input  logic        start_i,
    input  logic        continue_i,  // the window holds what the first pixel needs
    input  pass_t       pass_i,
    input  logic        whole_i,  // the image is; else its words below whole_words_i
    input  logic [15:0] whole_words_i,
    input  logic        drain_i,  // stay busy until the last write; else only as long as the descriptor asks
    output token_t      token_o,
    output logic        busy_o
);
  // ---- what does not change during a pass
  logic [15:0] lead_last_q, right_most_q;
  logic signed [16:0] wrap_q;  // a pixel this far to the right starts a new row with the next group
  always_ff @(posedge clk_i) begin
    lead_last_q <= pass_i.lead_groups - 1'b1;
    right_most_q <= pass_i.width - 1'b1;
    wrap_q <= 17'(pass_i.pitch) - 17'(PIXEL_LANES);
  end

  // ---- loop counters
  logic running_q, first_q, centre_q, last_group, input_end, group_end;
  logic [15:0] group_q, input_q, rep_q, output_q;
  logic [9:0] tile_q;
  logic [6:0] drain_q;
  logic [15:0] near_q, far_q, far_next_q, pw_addr_q;
  logic near_other_q, far_other_q;
  logic stride2, active_q, go, issue, fetch, output_last;
  assign stride2 = pass_i.stride2[0];
  assign output_last = output_q == pass_i.outputs_last;
  assign fetch = issue && output_q == 0 && rep_q == 0;
  assign issue = go && input_q <= pass_i.inputs_last;
  assign input_end = active_q && centre_q ? input_q == pass_i.slot_last : input_q == pass_i.inputs_last;
  assign group_end = input_end && (output_last || !active_q || !centre_q);
  assign last_group = group_q == pass_i.last_group;
  assign busy_o = running_q || drain_q != 0;

  // What follows the first token of a pass, such as its context, needs three tokens to get where it is used. A window that fills is
  // longer than that.
  logic [IdleTokens-1:0] idle_q;
  logic whole_q, next_whole_q, fetched_q;  // the word to fetch in the cycle before, and the word after it
  assign go = running_q && !idle_q[0] && (fetched_q ? next_whole_q : whole_q);
  always_ff @(posedge clk_i) begin
    idle_q <= start_i ? {IdleTokens{continue_i}} : idle_q >> 1;
    whole_q <= whole_i || (!start_i && far_q < whole_words_i);
    next_whole_q <= whole_i || far_next_q < whole_words_i;
    fetched_q <= fetch;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      running_q <= 1'b0;
      drain_q <= '0;
    end else if (start_i) begin
      running_q <= 1'b1;
      drain_q <= drain_i ? 7'(DRAIN_CYCLES) : pass_i.wait_cycles[6:0];
    end else if (running_q) begin
      if (go && group_end && last_group) running_q <= 1'b0;
    end else if (drain_q != 0) drain_q <= drain_q - 1'b1;

    first_q <= start_i;
    if (start_i) begin
      {input_q, rep_q, output_q, tile_q} <= '0;
      group_q <= continue_i ? pass_i.lead_groups : '0;
      centre_q <= continue_i || pass_i.lead_groups == 0;
      pw_addr_q <= pass_i.pw_base;
      {near_other_q, far_other_q} <= '0;
      if (!continue_i) begin
        near_q <= pass_i.fetch_start;
        far_q <= '0;
        far_next_q <= 16'd1;
      end
    end else if (go) begin
      input_q <= input_end ? '0 : input_q + 1'b1;
      rep_q <= input_end || rep_q == pass_i.reps_last ? '0 : rep_q + 1'b1;
      if (input_end) tile_q <= '0;
      else if (rep_q == pass_i.reps_last) tile_q <= tile_q + 1'b1;
      if (input_end) output_q <= group_end ? '0 : output_q + 1'b1;
      if (group_end) begin
        group_q <= group_q + 1'b1;
        if (group_q == lead_last_q) centre_q <= 1'b1;
      end
      if (fetch) begin
        near_q <= near_q == pass_i.map_last ? '0 : near_q + 1'b1;
        far_q <= far_next_q;
        far_next_q <= far_next_q == pass_i.map_last ? '0 : far_next_q + 1'b1;
        if (near_q == pass_i.map_last) near_other_q <= 1'b1;
        if (far_q == pass_i.map_last) far_other_q <= 1'b1;
      end
      if (group_end) pw_addr_q <= pass_i.pw_base;
      else if (issue && active_q && centre_q) pw_addr_q <= pw_addr_q + 1'b1;
    end
  end

  // ---- the pixels of the group at the centre of the window. Their positions are two groups ahead and what follows from them one; the
  // groups that fill the window leave the time to get there.
  typedef struct packed {logic new_row, in_map, left, right, above, below;} pixel_t;
  logic [15:0] x_q[PIXEL_LANES], y_q[PIXEL_LANES];
  pixel_t [PIXEL_LANES-1:0] ahead_q, pixel_q;
  logic [PIXEL_LANES-1:0] ahead_lanes;
  logic [1:0] prime_q;
  logic step;
  assign step = prime_q[0] || (go && group_end && centre_q);
  always_comb for (int unsigned l = 0; l < PIXEL_LANES; l++) ahead_lanes[l] = ahead_q[l].in_map;

  logic [MaxPixelLanes-1:0] lanes;
  logic [3:0] kept_ahead, kept_q;
  logic new_row_ahead, new_row_q;
  always_comb begin
    lanes = '0;
    kept_ahead = '0;
    new_row_ahead = 1'b0;
    for (int unsigned l = 0; l < PIXEL_LANES; l++) begin
      lanes[l] = centre_q && pixel_q[l].in_map;
      kept_ahead += 4'(ahead_q[l].in_map);
      new_row_ahead = new_row_ahead || ahead_q[l].new_row;
    end
  end
  always_ff @(posedge clk_i) begin
    prime_q <= start_i ? 2'b11 : prime_q >> 1;
    for (int unsigned l = 0; l < PIXEL_LANES; l++) begin
      if (start_i) begin
        x_q[l] <= 16'(l);
        y_q[l] <= '0;
      end else if (step) begin
        x_q[l] <= $signed({1'b0, x_q[l]}) >= wrap_q ? x_q[l] - wrap_q[15:0] : x_q[l] + 16'(PIXEL_LANES);
        if ($signed({1'b0, x_q[l]}) >= wrap_q) y_q[l] <= y_q[l] + 1'b1;
      end
      if (step) begin
        ahead_q[l].in_map <= x_q[l] < pass_i.width && y_q[l] < pass_i.height && !(stride2 && (x_q[l][0] || y_q[l][0]));
        ahead_q[l].new_row <= stride2 && x_q[l] == 0 && !y_q[l][0] && y_q[l] != 0;
        ahead_q[l].left <= x_q[l] != 0;
        ahead_q[l].right <= x_q[l] < right_most_q;
        ahead_q[l].above <= y_q[l] != 0;
        ahead_q[l].below <= y_q[l] + 1'b1 < pass_i.height;
        pixel_q[l] <= ahead_q[l];
      end
    end
    if (step) begin
      active_q <= |ahead_lanes;
      kept_q <= stride2 ? kept_ahead : 4'(PIXEL_LANES);
      new_row_q <= new_row_ahead;
    end
  end

  // ---- where the results go: groups follow each other, except that stride 2 packs what it keeps and starts rows anew
  logic [15:0] dst_q, row_dst_q, dst, row_dst_next;
  logic [2:0] bank_q, row_bank_q, bank, row_bank_next;
  logic [3:0] bank_sum, row_bank_sum;
  logic [15:0] row_wrap_q;  // static: words to the next row where it begins in a later word
  always_comb begin
    dst = new_row_q ? row_dst_q : dst_q;
    bank = new_row_q ? row_bank_q : bank_q;
    bank_sum = 4'(bank) + kept_q;
    row_bank_sum = 4'(row_bank_q) + pass_i.dst_row_rotate[3:0];
    row_bank_next = row_bank_sum >= 4'(PIXEL_LANES) ? 3'(row_bank_sum - 4'(PIXEL_LANES)) : row_bank_sum[2:0];
    row_dst_next = row_dst_q + (row_bank_sum >= 4'(PIXEL_LANES) ? row_wrap_q : pass_i.dst_row_words);
  end
  always_ff @(posedge clk_i) begin
    row_wrap_q <= pass_i.dst_row_words + pass_i.row_words;
    if (start_i) begin
      dst_q <= '0;
      bank_q <= '0;
      row_dst_q <= pass_i.dst_row_words;
      row_bank_q <= pass_i.dst_row_rotate[2:0];
    end else if (go && group_end && centre_q) begin
      bank_q <= bank_sum >= 4'(PIXEL_LANES) ? 3'(bank_sum - 4'(PIXEL_LANES)) : bank_sum[2:0];
      dst_q <= dst + (bank_sum >= 4'(PIXEL_LANES) ? pass_i.row_words : '0);
      if (new_row_q) begin
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
    token.near_addr = near_q;
    token.far_addr = far_q;
    token.near_other = near_other_q;
    token.far_other = far_other_q;
    token.tile = tile_q;
    token.valid = issue && active_q && centre_q;
    token.fresh = output_q == 0;
    token.index = input_q[9:0];
    token.first = input_q == 0;
    token.last = input_q == pass_i.inputs_last;
    token.dw_addr = pass_i.dw_base + input_q;
    token.pw_addr = pw_addr_q;
    for (int unsigned l = 0; l < PIXEL_LANES; l++) begin
      token.left[l] = pixel_q[l].left;
      token.right[l] = pixel_q[l].right;
      token.above[l] = pixel_q[l].above;
      token.below[l] = pixel_q[l].below;
    end
    token.tile_first = output_q == 0;
    token.tile_last = output_last;
    token.group_first = group_q == pass_i.lead_groups;
    token.lanes = lanes;
    token.dst = dst;
    token.dst_bank = bank;
  end
  always_ff @(posedge clk_i) begin
    token_o <= token;
    if (!rst_ni) {token_o.start, token_o.fetch, token_o.valid} <= '0;
  end

  logic unused;
  assign unused = ^{pass_i, pixel_q};
endmodule
