# The commands of Vivado that the recorder knows (UG835; ipx:: as the kernel wizards of Vitis write them).
proc version {args} {
    parse version -short {} 0 0 $args
    return $::env(RECORD_VIVADO)
}
proc create_project {args} {
    set given [parse create_project {} -part 2 2 $args]
    lassign [dict get $given rest] name folder
    if {[file exists [file join $folder $name.xpr]]} { error "project $name exists in $folder" }
    note project $name [dict get $given -part]
    touch [file join $folder $name.xpr] [dict get $given -part]
    set ::project_part [dict get $given -part]
    set ::folder $folder
}
proc open_project {args} {
    set path [lindex [dict get [parse open_project {} {} 1 1 $args] rest] 0]
    must_exist $path
    set ::folder [file dirname $path]
    set file [open $path]
    set ::project_part [read $file]
    close $file
}
foreach name {current_project current_fileset} { proc $name {} "return $name" }
proc get_board_parts {args} {
    set pattern [lindex [dict get [parse get_board_parts {-quiet -latest_file_version} {} 1 1 $args] rest] 0]
    return [expr {[fault board] ? {} : [string map {* 9.9} $pattern]}]
}
proc update_ip_catalog {args} { parse update_ip_catalog {} {} 0 0 $args }
proc update_compile_order {args} { parse update_compile_order {} -fileset 0 0 $args }
proc get_ipdefs {args} {
    set pattern [lindex [dict get [parse get_ipdefs {-quiet} {} 1 1 $args] rest] 0]
    if {[string match dsodenet:* $pattern]} { must_exist [file join [lindex $::ip_repo 0] component.xml] }
    if {[fault ip] && [string match *axi_dma* $pattern]} { return {} }
    return [dict keys $::ips $pattern]
}
proc set_property {args} {
    set given [parse set_property -dict {} 2 3 $args]
    set rest [dict get $given rest]
    if {[dict exists $given -dict]} {
        lassign $rest pairs object
    } else {
        set pairs [lrange $rest 0 1]
        set object [lindex $rest 2]
    }
    if {$object eq ""} { error "set_property: no object" }
    foreach {name value} $pairs {
        if {[dict exists $::cells $object]} {
            set setting [string range $name 7 end]
            if {![has settings $object/$setting]} { error "$object has no $name" }
            seen setting "[lindex [split [dict get $::cells $object] :] 2] $setting"
        } else {
            seen property $name
        }
        if {$name eq "ip_repo_paths"} { set ::ip_repo $value }
        note property $object $name $value
    }
}
proc get_property {args} {
    lassign [dict get [parse get_property {} {} 2 2 $args] rest] name object
    seen property $name
    switch -glob $name {
        PART { return [expr {[fault part] ? "xczu9eg-ffvb1156-2-e" : [lindex $::project_part 0]}] }
        SLACK { return [expr {[fault setup] ? -0.25 : 0.125}] }
        CONFIG.FREQ_HZ { return 187498123 }
        STATUS {
            set step [expr {$object eq "synth_1" ? "synth_design" : "route_design"}]
            return "$step [expr {[fault $object] ? "ERROR" : "Complete!"}]"
        }
        STATS.WNS { return [expr {[fault setup] ? -0.25 : [fault unknown_timing] ? "" : 0.125}] }
        STATS.WHS { return [expr {[fault hold] ? -0.01 : 0.012}] }
        STATS.TPWS { return [expr {[fault pulse] ? -0.5 : 0.0}] }
        STATS.TNS - STATS.THS { return 0.0 }
        STATS.FAILED_NETS { return [expr {[fault route] ? 3 : 0}] }
        name { return $object }
        default { error "get_property: unknown property $name" }
    }
}

# ---- block design
proc create_bd_design {args} { note design {*}[dict get [parse create_bd_design {} {} 1 1 $args] rest] }
proc create_bd_cell {args} {
    set given [parse create_bd_cell {} {-type -vlnv} 1 1 $args]
    if {[dict get $given -type] ne "ip" || ![dict exists $::ips [dict get $given -vlnv]]} { error "create_bd_cell: $args" }
    set name [lindex [dict get $given rest] 0]
    if {![string match dsodenet:* [dict get $given -vlnv]]} { seen ip [join [lrange [split [dict get $given -vlnv] :] 0 2] :] }
    if {[dict exists $::cells $name]} { error "cell $name exists" }
    dict set ::cells $name [dict get $given -vlnv]
    note cell $name [dict get $given -vlnv]
    return $name
}
proc apply_bd_automation {args} {
    set given [parse apply_bd_automation {} {-rule -config} 1 1 $args]
    note automation {*}[dict get $given rest] [dict get $given -rule] [dict get $given -config]
}
proc get_bd_pins {args} { return [query get_bd_pins pins $args] }
proc get_bd_intf_pins {args} { return [query get_bd_intf_pins interfaces $args] }
proc get_bd_addr_spaces {args} { return [query get_bd_addr_spaces spaces $args] }
proc get_bd_addr_segs {args} { return [query get_bd_addr_segs segments $args] }
proc get_bd_intf_nets {args} { return "net of [dict get [parse get_bd_intf_nets {} {-of_objects} 0 0 $args] -of_objects]" }
proc connect_bd_intf_net {args} {
    set given [parse connect_bd_intf_net {} {-intf_net} 2 2 $args]
    note [expr {[dict exists $given -intf_net] ? "monitor" : "bus"}] {*}[dict get $given rest]
}
proc connect_bd_net {args} { note net {*}[dict get [parse connect_bd_net {} {} 2 100 $args] rest] }
proc assign_bd_address {args} {
    set given [parse assign_bd_address -force {-offset -range -target_address_space} 1 1 $args]
    foreach option {-offset -range} { if {![string is wideinteger -strict [dict get $given $option]]} { error "assign_bd_address: $args" } }
    note address [dict get $given -target_address_space] {*}[dict get $given rest] [expr {[dict get $given -offset]}] \
        [expr {[dict get $given -range]}]
}
proc exclude_bd_addr_seg {args} {
    set given [parse exclude_bd_addr_seg {} -target_address_space 1 1 $args]
    note excluded [dict get $given -target_address_space] {*}[dict get $given rest]
}
proc validate_bd_design {args} {
    parse validate_bd_design {} {} 0 0 $args
    if {[fault validate]} { error {[BD 41-237] Bus Interface property FREQ_HZ does not match} }
    note validated
}
proc save_bd_design {args} { parse save_bd_design {} {} 0 0 $args }
proc get_files {args} { return [dict get [parse get_files {} {} 1 1 $args] rest] }
proc generate_target {args} {
    parse generate_target {} {} 2 2 $args
    touch [file join $::folder project.gen sources_1 bd overlay hw_handoff overlay.hwh] [expr {[fault hand_off] ? "<EDKSYSTEM/>" : [contents [file rootname $::env(RECORD_BIT)].hwh]}]
}
proc make_wrapper {args} {
    parse make_wrapper -top -files 0 0 $args
    return overlay_wrapper.v
}
proc import_files {args} { parse import_files -norecurse {} 1 1 $args }

# ---- runs
proc reset_run {args} { note reset {*}[dict get [parse reset_run {} {} 1 1 $args] rest] }
proc launch_runs {args} {
    set given [parse launch_runs {} {-jobs -to_step} 1 1 $args]
    if {![string is integer -strict [dict get $given -jobs]]} { error "launch_runs: jobs [dict get $given -jobs]" }
    note run {*}[dict get $given rest] [expr {[dict exists $given -to_step] ? [dict get $given -to_step] : {}}]
}
proc wait_on_run {args} {
    parse wait_on_run {} {} 1 1 $args
    if {[fault endless]} { after 60000 }
}
proc get_runs {args} { return [dict get [parse get_runs {} {} 1 1 $args] rest] }
proc open_run {args} { parse open_run {} {} 1 1 $args }
proc report {command text arguments} {
    set given [parse $command [dict get $::seen_options $command flags] [dict get $::seen_options $command values] 0 0 $arguments]
    note report $command [file tail [dict get $given -file]]
    touch [dict get $given -file] $text
}
foreach name {report_timing_summary report_timing report_design_analysis report_high_fanout_nets report_methodology report_ram_utilization report_drc} {
    proc $name {args} "report $name {} \$args"
}
proc report_power {args} {
    report report_power "| Total On-Chip Power (W)  | 4.321 |\n| Dynamic (W) | 3.600 |\n| Device Static (W) | 0.721 |\n" $args
}
proc report_utilization {args} {
    set text "| Site Type | Used | Fixed | Prohibited | Available | Util% |\n"
    foreach {name used available} {{CLB LUTs} 120000 230400 {CLB Registers} 99 460800 {Block RAM Tile} 100.5 312 URAM 48 96 DSPs 1100 1728} {
        append text "| $name | $used | 0 | 0 | $available | 1.0 |\n"
    }
    report report_utilization $text $args
}
proc write_bitstream {args} {
    set path [lindex [dict get [parse write_bitstream -force {} 1 1 $args] rest] 0]
    note bitstream
    file copy -force $::env(RECORD_BIT) $path
}
proc write_checkpoint {args} { touch [lindex [dict get [parse write_checkpoint -force {} 1 1 $args] rest] 0] "" }

# ---- out of context
proc read_verilog {args} { must_exist [lindex [dict get [parse read_verilog -sv {} 1 1 $args] rest] 0]; note source [file tail [lindex $args end]] }
proc synth_design {args} { note synthesised {*}[parse synth_design {} {-top -part -mode} 0 0 $args] }
proc create_clock {args} { note clock [dict get [parse create_clock {} {-period -name} 1 1 $args] -period] }
proc get_ports {args} { return [dict get [parse get_ports {} {} 1 1 $args] rest] }
foreach name {opt_design place_design phys_opt_design route_design} { proc $name {args} "parse $name {} {} 0 0 \$args; note step $name" }
proc get_timing_paths {args} { parse get_timing_paths {} {-max_paths -delay_type} 0 0 $args; return path }

# ---- packaging
proc add_files {args} {
    set path [lindex [dict get [parse add_files -norecurse -fileset 1 1 $args] rest] 0]
    must_exist $path
    note source [file tail $path]
}
namespace eval ipx {
    proc package_project {args} {
        set given [parse package_project -import_files {-root_dir -vendor -library -taxonomy} 0 0 $args]
        note package [dict get $given -vendor] [dict get $given -library]
        set ::ip [dict get $given -root_dir]
    }
    proc current_core {} { return core }
    proc get_bus_interfaces {args} {
        set name [lindex [dict get [parse get_bus_interfaces {} -of_objects 1 1 $args] rest] 0]
        return [expr {[fault interface] && $name eq "m_axis" ? {} : $name}]
    }
    proc get_memory_maps {args} {
        parse get_memory_maps {} -of_objects 0 0 $args
        return guessed
    }
    proc remove_memory_map {args} { note unmapped {*}[dict get [parse remove_memory_map {} {} 2 2 $args] rest] }
    proc add_memory_map {args} { return "map [lindex [dict get [parse add_memory_map {} {} 2 2 $args] rest] 0]" }
    proc add_address_block {args} { return "block [lindex [dict get [parse add_address_block {} {} 2 2 $args] rest] 0]" }
    proc add_register {args} { return "register [lindex [dict get [parse add_register {} {} 2 2 $args] rest] 0]" }
    proc add_field {args} { return "field [lindex [dict get [parse add_field {} {} 2 2 $args] rest] 0]" }
    foreach name {create_xgui_files update_checksums check_integrity} { proc $name {core} {} }
    proc save_core {core} { touch [file join $::ip component.xml] "<component/>" }
}
