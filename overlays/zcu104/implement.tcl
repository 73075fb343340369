# Synthesis, implementation, reports, and the timing gate: a design that misses timing gets no bitstream, unless the build may
# take a slower clock (clock_auto) and nothing but setup is missed. The reports and the routed checkpoint come before the gate.
# The bitstream and its hand-off file go to BUILD/artefacts. Argument: how many jobs Vivado may run at once.
source [file join [file dirname [file normalize [info script]]] common.tcl]
check_vivado
set jobs [lindex $argv 0]

proc finish {run step} {
    wait_on_run $run
    set status [get_property STATUS [get_runs $run]]
    if {![string match "$step Complete*" $status]} { error "$run ended as '$status'; its log is in vivado/project.runs/$run" }
}

file delete -force [at artefacts] [at checkpoints] {*}[glob -nocomplain -directory [at reports] implement_*]
file mkdir [at artefacts] [at reports] [at checkpoints]
open_project [at vivado project.xpr]
reset_run synth_1
set_property strategy [config strategy] [get_runs impl_1]
launch_runs synth_1 -jobs $jobs
finish synth_1 synth_design
launch_runs impl_1 -to_step route_design -jobs $jobs
finish impl_1 route_design

open_run impl_1
report_design [at reports implement]
write_checkpoint -force [at checkpoints routed.dcp]
set pairs {}
foreach name {WNS TNS WHS THS TPWS FAILED_NETS} {
    lappend pairs [string tolower $name] [get_property STATS.$name [get_runs impl_1]]
}
write_pairs [at reports implement_timing.txt] $pairs

foreach {name value} $pairs {
    if {![string is double -strict $value]} { error "timing is unknown: Vivado reports no $name" }
}
set missed {}
foreach {name text} {wns setup whs hold tpws {pulse width}} {
    if {[dict get $pairs $name] < 0} { lappend missed "$text by [expr {-[dict get $pairs $name]}] ns" }
}
if {[dict get $pairs failed_nets] > 0} { lappend missed "[dict get $pairs failed_nets] nets without a route" }
set slower [expr {[config clock_auto] && [llength $missed] == 1 && [dict get $pairs wns] < 0}]
if {[llength $missed] && !$slower} {
    error "timing is not met at [config clock_mhz] MHz ([join $missed {, }]): no bitstream is written; see reports/implement_*"
}
if {$slower} { puts "WARNING: timing is not met at [config clock_mhz] MHz ([join $missed {, }]): the host takes a slower clock" }

write_bitstream [at artefacts overlay.bit]
file copy [at vivado project.gen sources_1 bd overlay hw_handoff overlay.hwh] [at artefacts overlay.hwh]
# Which inputs this is the build of; comes last.
write_pairs [at reports implement_built.txt] \
    [list build_id [config build_id] vivado [version -short] part [get_property PART [current_project]]]
close_project
