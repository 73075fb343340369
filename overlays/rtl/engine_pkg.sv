// Types that travel between the stages of the engine.
package engine_pkg;
  import dsodenet_program_pkg::*;
  import dsodenet_registers_pkg::*;

  localparam int unsigned MaxPixelLanes = 8;
  localparam int unsigned AccBits = 32;  // of every accumulator: params.py proves that none overflows

  localparam int unsigned DepthwiseBits = 26;  // nine products and a bias
  localparam int unsigned UpdateBits = 28;  // MAX_STAGES products of coefficient and slope
  localparam int unsigned CascadeLength = 8;  // at most, of packed_mac

  // A shift as shift_decode prepares it for requantise, for the widths that occur.
  typedef struct packed {logic [5:0] amount; logic [DepthwiseBits-1:0] below, above;} depthwise_shift_t;  // to 8 bits
  typedef struct packed {logic [5:0] amount; logic [AccBits-1:0] below, above;} out_shift_t;  // to 16 bits
  typedef struct packed {logic [5:0] amount; logic [UpdateBits-1:0] below, above;} update_shift_t;  // to 16 bits
  typedef struct packed {logic [4:0] amount; logic [15:0] below, above;} copy_shift_t;  // to 8 bits

  // One cycle of work. It leaves the pass runner and travels down the pipeline beside its data: every stage is at a fixed
  // distance, nothing inside the engine ever stalls.
  typedef struct packed {
    logic                         start;        // first of a pass
    logic                         fetch;        // read the next word of the source map into the window
    logic [15:0]                  near_addr;    // its address, for the lanes from fetch_rotate on
    logic [15:0]                  far_addr;     // and for those before it, whose pixels are one group ahead
    logic                         near_other;   // the address is in the map that the next pass reads
    logic                         far_other;
    logic [9:0]                   tile;         // which input channels the window holds
    logic                         valid;        // the pointwise array has work
    logic                         fresh;        // its input comes from the depthwise unit (else it is a repeated one)
    logic [9:0]                   index;        // input word of this pixel group
    logic                         first;        // first and last input word of an output tile
    logic                         last;
    logic [15:0]                  dw_addr;
    logic [15:0]                  pw_addr;
    logic [MaxPixelLanes-1:0]     left;         // neighbours that are inside the map
    logic [MaxPixelLanes-1:0]     right;
    logic [MaxPixelLanes-1:0]     above;
    logic [MaxPixelLanes-1:0]     below;
    logic                         tile_first;   // first and last output tile of the pixel group
    logic                         tile_last;
    logic                         group_first;  // first pixel group of the pass
    logic [MaxPixelLanes-1:0]     lanes;        // pixels whose result is kept
    logic [15:0]                  dst;          // word address and bank of the first of them in the destination map
    logic [2:0]                   dst_bank;
  } token_t;

  // What holds during one pass: its descriptor and where the solver is. A copy of it follows the first token of the pass, so that
  // the next pass can begin while the last results of this one are on their way.
  typedef struct packed {
    pass_t                               pass;
    logic                                source;           // which of the two maps is read
    logic [1:0]                          stage;
    logic                                last_stage;
    logic                                last_evaluation;  // of the ODE block
    logic signed [MAX_STAGES-1:0][17:0]  coeff;            // of the slopes so far, in the sum that ends the stage
    logic [15:0]                         bias_offset;      // row of the time table
  } context_t;

  // One word of results on its way to the maps.
  typedef struct packed {
    logic                     valid;
    logic [9:0]               word;   // output word of the pixel group
    logic [15:0]              addr;
    logic [2:0]               bank;
    logic                     first;
    logic [MaxPixelLanes-1:0] lanes;
  } result_t;

  // Cycles from the activations at the array to the weights of a place of its cascades. The cascades of a double-pumped array take half
  // the time, and begin so much later.
  function automatic int unsigned weight_wait(int unsigned place, int unsigned length, bit double_pumped);
    return double_pumped ? length / 2 + place / 2 : 1 + place;
  endfunction

  // Parts of a program, in the order in which they are loaded.
  localparam int unsigned LoadPass = 0;
  localparam int unsigned LoadDw = 1;
  localparam int unsigned LoadPw = 2;
  localparam int unsigned LoadBias = 3;
  localparam int unsigned LoadParts = 4;

endpackage
