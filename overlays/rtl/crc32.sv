// The next state of a CRC-32 (that of zlib) after a beat of 16 bytes. Every bit of it is a sum, modulo two, of bits of the
// beat, whose first 32 bits the state is added to; the generated CRC_ROWS says which.
module crc32
  import dsodenet_program_pkg::*;
(
    input  logic [31:0]  crc_i,
    input  logic [127:0] beat_i,
    output logic [31:0]  crc_o
);
  always_comb for (int unsigned i = 0; i < 32; i++) crc_o[i] = ^((beat_i ^ 128'(crc_i)) & CRC_ROWS[i]);
endmodule
