# The Vivado project and its block design, from the table in the configuration, to BUILD/vivado.
source [file join [file dirname [file normalize [info script]]] common.tcl]
check_vivado

proc pin {name} { return [found "pin $name" [get_bd_pins $name]] }
proc interface {name} { return [found "interface $name" [get_bd_intf_pins $name]] }
proc space {name} { return [found "address space $name" [get_bd_addr_spaces $name]] }

file delete -force [at vivado]
create_project -part [config part] project [at vivado]
# Whichever revision of the board files is installed.
set board [lindex [found "board [config board]; install its board files" \
    [get_board_parts -quiet -latest_file_version [config board]:*]] end]
set_property board_part $board [current_project]
set_property ip_repo_paths [list [at kernel ip]] [current_project]
update_ip_catalog

create_bd_design overlay
set used {}
foreach entry [config instances] {
    lassign $entry name vlnv settings
    # Each release has one version of an IP that is not superseded; the kernel's own has the version that we gave it.
    set family [join [lrange [split $vlnv :] 0 2] :]
    set vlnv [lindex [lsort -dictionary [found "IP $family" [get_ipdefs -quiet $family:*]]] end]
    lappend used $name $vlnv
    set cell [create_bd_cell -type ip -vlnv $vlnv $name]
    if {$name eq [config processor]} {
        # Memory, pins and peripherals of the board; what follows changes only the ports to the fabric.
        apply_bd_automation -rule xilinx.com:bd_rule:zynq_ultra_ps_e -config {apply_board_preset 1} $cell
    }
    if {[llength $settings]} { set_property -dict $settings $cell }
}
foreach entry [config buses] {
    lassign $entry master slave
    connect_bd_intf_net [interface $master] [interface $slave]
}
foreach entry [config monitors] {
    lassign $entry watched monitor
    connect_bd_intf_net -intf_net [found "net of $watched" [get_bd_intf_nets -of_objects [interface $watched]]] \
        [interface $watched] [interface $monitor]
}
foreach entry [config nets] {
    lassign $entry driver loads
    set pins [list [pin $driver]]
    foreach load $loads { lappend pins [pin $load] }
    connect_bd_net {*}$pins
}
foreach entry [config addresses] {
    lassign $entry master segment base size
    assign_bd_address -offset $base -range $size -target_address_space [space $master] \
        [found "address segment $segment" [get_bd_addr_segs $segment]] -force
}
foreach entry [config excluded] {
    lassign $entry master segment
    # Which of them exist depends on the board's preset.
    set segments [get_bd_addr_segs -quiet $segment]
    if {[llength $segments]} { exclude_bd_addr_seg -target_address_space [space $master] $segments }
}
validate_bd_design
save_bd_design
set clock [get_property CONFIG.FREQ_HZ [pin [config clock]]]

set design [found "block design file" [get_files overlay.bd]]
generate_target all $design
import_files -norecurse [make_wrapper -files $design -top]
set_property top overlay_wrapper [current_fileset]
update_compile_order -fileset sources_1
close_project
write_pairs [at reports design.txt] [list clock_hz $clock board $board {*}$used]
