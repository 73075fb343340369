# What every script starts with: the configuration that the host wrote, paths, and checks that end the tool with one sentence.
#
# BUILD/inputs/config.tcl  the configuration, a dict      BUILD/inputs/src  the kernel's sources
# BUILD/kernel, BUILD/vivado, BUILD/reports, BUILD/artefacts             what the steps write

set inputs [file dirname [file dirname [file normalize [info script]]]]
set build [file dirname $inputs]
source [file join $inputs config.tcl]

proc config {key} { return [dict get $::config $key] }
proc input {args} { return [file join $::inputs {*}$args] }
proc at {args} { return [file join $::build {*}$args] }

# The scripts are tested with the releases that the images of PYNQ are made with. A later one is tried, an older one is not.
proc check_vivado {} {
    set version [version -short]
    if {[package vcompare [join [lrange [split $version .] 0 1] .] [config first_release]] < 0} {
        error "this is Vivado $version, but the scripts need [config first_release] or later"
    }
    foreach release [config releases] {
        if {$version eq $release || [string match "$release.*" $version]} { return }
    }
    puts "WARNING: this is Vivado $version; the scripts are made for [join [config releases] { and }]"
}

# The objects that a query found; a query that finds nothing is only a warning to Vivado.
proc found {what objects} {
    if {[llength $objects] == 0} { error "Vivado finds no $what" }
    return $objects
}

# A file is whole or absent: what a step leaves for the next one is renamed into place.
proc write_pairs {path pairs} {
    file mkdir [file dirname $path]
    set file [open $path.part w]
    foreach {key value} $pairs { puts $file "$key $value" }
    close $file
    file rename -force $path.part $path
}

# What a person needs who asks why a design is slow or large, as files PREFIX_*.
proc report_design {prefix} {
    report_timing_summary -max_paths 100 -report_unconstrained -file ${prefix}_timing.rpt
    report_timing -max_paths 100 -nworst 1 -delay_type max -sort_by slack -file ${prefix}_paths.rpt
    report_design_analysis -logic_level_distribution -file ${prefix}_logic_levels.rpt
    report_design_analysis -congestion -file ${prefix}_congestion.rpt
    report_high_fanout_nets -timing -load_types -max_nets 100 -file ${prefix}_fanout.rpt
    report_methodology -file ${prefix}_methodology.rpt
    report_utilization -file ${prefix}_utilisation.rpt
    report_utilization -hierarchical -file ${prefix}_hierarchy.rpt
    report_ram_utilization -file ${prefix}_ram.rpt
    report_drc -file ${prefix}_drc.rpt
    report_power -file ${prefix}_power.rpt
}
