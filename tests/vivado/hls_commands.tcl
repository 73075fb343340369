# The commands of Vitis HLS that the recorder knows (UG1399).
set files {}
proc open_project {args} { set ::project [lindex [dict get [parse open_project -reset {} 1 1 $args] rest] 0] }
proc set_top {args} { set ::top [lindex [dict get [parse set_top {} {} 1 1 $args] rest] 0]; note top $::top }
proc add_files {args} {
    set given [parse add_files -tb -cflags 1 1 $args]
    must_exist [lindex [dict get $given rest] 0]
    foreach folder [regexp -all -inline -- {-I\S+} [dict get $given -cflags]] { must_exist [string range $folder 2 end] }
    if {[lsearch $args -tb] >= 0} { note testbench [file tail [lindex [dict get $given rest] 0]]; return }
    lappend ::files [lindex [dict get $given rest] 0]
    note source [file tail [lindex $::files end]] [dict get $given -cflags]
}
proc open_solution {args} {
    set given [parse open_solution -reset -flow_target 1 1 $args]
    if {[dict get $given -flow_target] ne "vivado"} { error "open_solution: flow target [dict get $given -flow_target]" }
    set ::solution [lindex [dict get $given rest] 0]
}
proc create_clock {args} { note clock [dict get [parse create_clock {} {-period -name} 0 0 $args] -period] }
proc config_interface {args} {
    set mode [dict get [parse config_interface {} -s_axilite_interrupt_mode 0 0 $args] -s_axilite_interrupt_mode]
    if {$mode ni {tow cor}} { error "config_interface: interrupt mode $mode" }
    note interrupt $mode
}
proc csynth_design {args} {
    parse csynth_design {} {} 0 0 $args
    if {[fault csynth]} { error {[HLS 214-194] in function 'dsodenet_hls': undefined function} }
    foreach path $::files {
        set file [open $path]
        set text [read $file]
        close $file
        if {[regexp "void ${::top}\\(" $text]} { set ::text $text }
    }
    if {![info exists ::text]} { error "top function '$::top' is not in the sources" }
    note synthesised
}
proc cosim_design {args} {
    set given [parse cosim_design {} {-rtl -argv} 0 0 $args]
    must_exist [dict get $given -argv]
    note cosim [file tail [dict get $given -argv]] [dict get $given -rtl]
}
# The driver header has the offsets that the pragmas of the sources ask for.
proc export_design {args} {
    set given [parse export_design {} {-format -rtl -vendor -library -ipname -version} 0 0 $args]
    note ip [dict get $given -vendor]:[dict get $given -library]:[dict get $given -ipname]:[dict get $given -version]
    set header {}
    foreach {- port offset} [regexp -all -inline {s_axilite port=(\w+) bundle=control offset=(0x[0-9a-f]+)} $::text] {
        if {[fault offset] && $port eq "frames"} { set offset 0x1c }
        append header "#define XDSODENET_HLS_CONTROL_ADDR_[string toupper $port]_[expr {$port eq "coeff" ? "BASE" : "DATA"}] $offset\n"
    }
    set ip [file join [pwd] $::project $::solution impl ip]
    touch [file join $ip component.xml] "<component/>"
    touch [file join $ip drivers dsodenet_hls_v1_0 src xdsodenet_hls_hw.h] $header
}
