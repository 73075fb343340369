# The hls kernel: C++ to an IP in BUILD/kernel/ip. For `vitis-run --mode hls --tcl` and for the older `vitis_hls -f`.
# Where BUILD/inputs/src/cosim.txt is, the Verilog is first simulated with its commands (cosim_design, UG1399): a word that
# differs from the reference ends the build.
source [file join [file dirname [file normalize [info script]]] common.tcl]

file delete -force [at kernel]
file mkdir [at kernel]
cd [at kernel]

open_project -reset hls
set_top [config top]
# Vitis HLS brings its own ap_types: only the kernel's folders are on the path.
set flags "-std=c++14 -I[input src] -I[input src include]"
foreach source [config sources] { add_files [input src $source] -cflags $flags }
set cosim [input src cosim.txt]
if {[file exists $cosim]} { add_files -tb [input src cosim.cpp] -cflags $flags }
open_solution -reset -flow_target vivado solution
set_part [config part]
create_clock -period [config clock_period_ns] -name default
# The host clears the interrupt by writing it: Vitis HLS's default, but what a read does depends on it.
config_interface -s_axilite_interrupt_mode tow
csynth_design
if {[file exists $cosim]} { cosim_design -rtl verilog -argv $cosim }
lassign [split [config ip] :] vendor library name version
export_design -format ip_catalog -rtl verilog -vendor $vendor -library $library -ipname $name -version $version
close_project

file rename [at kernel hls solution impl ip] [at kernel ip]
# The offsets of the arguments, for the host: with the reports they come back from another machine.
file mkdir [at reports]
foreach header [found "driver header x*_hw.h" [glob -nocomplain [at kernel ip drivers * src x*_hw.h]]] {
    file copy -force $header [at reports]
}
exit
