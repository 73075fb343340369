// What the kernel uses of Vitis HLS's AXI-Stream type, for compilers that do not bring it. Never seen by synthesis.
#pragma once

#include "ap_int.h"

template <int D, int U, int TI, int TD> struct ap_axiu {
    ap_uint<D> data;
    ap_uint<D / 8> keep, strb;
    ap_uint<1> last;
};
