# The rtl kernel alone, out of context: a first clock in minutes, before any block design. Reports and checkpoint go to
# BUILD/ooc; nothing of it goes into a bitstream.
source [file join [file dirname [file normalize [info script]]] common.tcl]
check_vivado

file delete -force [at ooc]
file mkdir [at ooc]
foreach source [config sources] {
    if {[file extension $source] eq ".sv"} { read_verilog -sv [input src $source] } else { read_verilog [input src $source] }
}
synth_design -top [config top] -part [config part] -mode out_of_context
create_clock -period [config clock_period_ns] -name clk [get_ports clk]
foreach fast [config fast_clocks] {  # in phase with the other, as clocks without a phase of their own are
    create_clock -period [expr {[config clock_period_ns] / 2.0}] -name $fast [get_ports $fast]
}
opt_design
place_design
phys_opt_design
route_design
report_design [at ooc ooc]
write_checkpoint -force [at ooc routed.dcp]
set paths [found "timing path" [get_timing_paths -max_paths 1 -delay_type max]]
write_pairs [at ooc timing.txt] [list wns [get_property SLACK $paths] period_ns [config clock_period_ns]]
