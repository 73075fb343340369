# Stands for Vivado and Vitis HLS where they are not installed: knows the commands, options, IPs, pins and settings that the
# overlay scripts may use, and refuses every other. A name must stand in seen.tsv, which says where it was seen besides here.
# It writes what happened to $RECORD, one event per line, words separated by tabs, and leaves the files that the tools would leave.
# It proves nothing about what the tools would build. $RECORD_FAULTS names what goes wrong.

set faults $::env(RECORD_FAULTS)
proc fault {name} { return [expr {$name in $::faults}] }
proc note {args} {
    set file [open $::env(RECORD) a]
    puts $file [join $args \t]
    close $file
}
proc unknown {args} { error "unknown command: $args" }
proc contents {path} {
    set file [open $path]
    set text [read $file]
    close $file
    return $text
}

# ---- the second source: kind, name, options (with = where they take a value), where it was seen
set seen_options [dict create]
set seen_names [dict create]
foreach line [lrange [split [contents [file join [file dirname [file normalize [info script]]] seen.tsv]] \n] 1 end] {
    lassign [split $line \t] kind name options
    if {$kind eq ""} { continue }
    dict set seen_names $kind,$name 1
    if {$kind ne "command"} { continue }
    dict set seen_options $name [dict create flags {} values {}]
    foreach option $options {
        set sort [expr {[string match *= $option] ? "values" : "flags"}]
        dict with seen_options $name { lappend $sort [string trimright $option =] }
    }
}
proc seen {kind name} {
    if {![dict exists $::seen_names $kind,$name]} { error "no second source: $kind $name is not in seen.tsv" }
}
# Arguments by kind: `flags` take none, `values` take one; the rest is positional, between `least` and `most` of it.
proc parse {command flags values least most arguments} {
    set given {}
    set rest {}
    set command_name [namespace tail $command]
    seen command $command_name
    for {set i 0} {$i < [llength $arguments]} {incr i} {
        set word [lindex $arguments $i]
        if {$word in $flags || $word in $values} {
            set known [dict get $::seen_options $command_name [expr {$word in $flags ? "flags" : "values"}]]
            if {$word ni $known} { error "no second source: $command $word is not in seen.tsv" }
        }
        if {$word in $flags} {
            dict set given $word 1
        } elseif {$word in $values} {
            dict set given $word [lindex $arguments [incr i]]
            if {$i >= [llength $arguments]} { error "$command: $word needs a value" }
        } elseif {[regexp {^-[a-z]} $word]} {
            error "$command: unknown option $word"
        } else {
            lappend rest $word
        }
    }
    if {[llength $rest] < $least || [llength $rest] > $most} { error "$command: [llength $rest] arguments: $rest" }
    dict set given rest $rest
    return $given
}
proc touch {path text} {
    file mkdir [file dirname $path]
    set file [open $path w]
    puts -nonewline $file $text
    close $file
}
proc must_exist {path} { if {![file exists $path]} { error "no such file: $path" } }

# ---- IPs: pins, interfaces and settings
set kernel_interfaces {s_axi_control s_axis m_axis}
set ips [dict create \
    xilinx.com:ip:zynq_ultra_ps_e:3.5 [dict create \
        interfaces {M_AXI_HPM0_FPD S_AXI_HP0_FPD} \
        pins {pl_clk0 pl_resetn0 maxihpm0_fpd_aclk saxihp0_fpd_aclk pl_ps_irq0} spaces Data \
        segments {SAXIGP2/HP0_DDR_LOW SAXIGP2/HP0_LPS_OCM SAXIGP2/HP0_QSPI} \
        settings {PSU__USE__M_AXI_GP[012] PSU__USE__S_AXI_GP[0-6] PSU__MAXIGP[012]__DATA_WIDTH PSU__SAXIGP[0-6]__DATA_WIDTH
            PSU__USE__IRQ0 PSU__FPGA_PL[0-3]_ENABLE PSU__CRL_APB__PL[0-3]_REF_CTRL__SRCSEL PSU__CRL_APB__PL[0-3]_REF_CTRL__FREQMHZ}] \
    xilinx.com:ip:axi_dma:7.1 [dict create \
        interfaces {S_AXI_LITE M_AXI_MM2S M_AXI_S2MM M_AXIS_MM2S S_AXIS_S2MM} \
        pins {s_axi_lite_aclk m_axi_mm2s_aclk m_axi_s2mm_aclk axi_resetn} spaces {Data_MM2S Data_S2MM} segments S_AXI_LITE/Reg \
        settings {c_include_sg c_sg_length_width c_micro_dma c_include_mm2s c_include_s2mm c_include_mm2s_dre c_include_s2mm_dre
            c_m_axi_mm2s_data_width c_m_axi_s2mm_data_width c_m_axis_mm2s_tdata_width c_s_axis_s2mm_tdata_width c_addr_width}] \
    xilinx.com:ip:smartconnect:1.0 [dict create interfaces {S0[0-9]_AXI M0[0-9]_AXI} pins {aclk aresetn} spaces {} segments {} \
        settings {NUM_SI NUM_MI}] \
    xilinx.com:ip:system_ila:1.1 [dict create interfaces {SLOT_[0-9]_AXIS SLOT_[0-9]_AXI} pins {clk resetn} spaces {} segments {} \
        settings {C_MON_TYPE C_NUM_MONITOR_SLOTS C_SLOT_[0-9]_INTF_TYPE C_DATA_DEPTH}] \
    xilinx.com:ip:proc_sys_reset:5.0 [dict create interfaces {} pins {slowest_sync_clk ext_reset_in dcm_locked peripheral_aresetn} \
        spaces {} segments {} settings {}] \
    xilinx.com:ip:clk_wiz:6.0 [dict create interfaces {} pins {clk_in1 clk_out[12] locked} spaces {} segments {} \
        settings {PRIM_SOURCE USE_RESET USE_LOCKED NUM_OUT_CLKS CLKOUT2_USED CLKOUT[12]_REQUESTED_OUT_FREQ CLKOUT[12]_DRIVES
            CLKOUT[12]_MATCHED_ROUTING}] \
    dsodenet:kernel:dsodenet_hls:1.0 [dict create interfaces $kernel_interfaces pins {ap_clk ap_rst_n interrupt} spaces {} \
        segments s_axi_control/Reg settings {}] \
    dsodenet:kernel:dsodenet_rtl:1.0 [dict create interfaces $kernel_interfaces pins {clk clk2 rst_n interrupt} spaces {} \
        segments s_axi_control/Reg settings {}]]
set cells [dict create]
set ip_repo {}

proc has {kind path} {
    set cell [lindex [split $path /] 0]
    if {![dict exists $::cells $cell]} { return 0 }
    set name [join [lrange [split $path /] 1 end] /]
    foreach pattern [dict get $::ips [dict get $::cells $cell] $kind] { if {[string match $pattern $name]} { return 1 } }
    return 0
}
proc query {command kind arguments} {
    set path [lindex [dict get [parse $command -quiet {} 1 1 $arguments] rest] 0]
    return [expr {[has $kind $path] ? $path : {}}]
}

# ---- both tools
proc set_part {args} { note part {*}[dict get [parse set_part {} {} 1 1 $args] rest] }
proc close_project {args} { parse close_project {} {} 0 0 $args }

source [file join [file dirname [file normalize [info script]]] [expr {$::env(RECORD_TOOL) eq "hls" ? "hls" : "vivado"}]_commands.tcl]
if {[catch {source $script} message]} {
    puts "ERROR: $message"
    exit 1
}
