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

# The tool's release must be one that the images of PYNQ are made with: its .hwh is what pynq's parser knows.
proc check_vivado {} {
    set version [version -short]
    foreach release [config releases] {
        if {$version eq $release || [string match "$release.*" $version]} { return }
    }
    error "this is Vivado $version, but the scripts are for [join [config releases] { and }]"
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
