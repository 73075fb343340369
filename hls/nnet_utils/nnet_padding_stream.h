// Zero padding of a streamed map, in the place and under the name of hls4ml's: a pixel in each cycle.
//
// hls4ml 1.3.0 pads in three loops for each row. A loop that is short is not pipelined unless it says so, and these say
// nothing, so that a pixel takes two cycles and a row three more loops. One loop over the padded map is pipelined as it
// stands.
#pragma once

#include "hls_stream.h"

namespace nnet {

template <class data_T, class res_T, typename CONFIG_T>
void zeropad2d_cl(hls::stream<data_T> &data, hls::stream<res_T> &res) {
PadHeight:
    for (unsigned y = 0; y < CONFIG_T::out_height; y++) {
    PadWidth:
        for (unsigned x = 0; x < CONFIG_T::out_width; x++) {
            #pragma HLS LOOP_FLATTEN
            #pragma HLS PIPELINE II=1
            const bool inside = y >= CONFIG_T::pad_top && y < CONFIG_T::pad_top + CONFIG_T::in_height &&
                                x >= CONFIG_T::pad_left && x < CONFIG_T::pad_left + CONFIG_T::in_width;
            data_T from;
            if (inside)
                from = data.read();
            res_T to;
        PadChannels:
            for (unsigned c = 0; c < CONFIG_T::n_chan; c++) {
                #pragma HLS UNROLL
                if (inside)
                    to[c] = from[c];
                else
                    to[c] = 0;
            }
            res.write(to);
        }
    }
}

} // namespace nnet
