# The rtl kernel: SystemVerilog to an IP in BUILD/kernel/ip. The top is a Verilog wrapper whose attributes name the interfaces.
source [file join [file dirname [file normalize [info script]]] common.tcl]
check_vivado

file delete -force [at kernel]
create_project -part [config part] project [at kernel project]
foreach source [config sources] { add_files -norecurse [input src $source] }
# The packager takes the constraints into the IP and scopes them to its instances.
foreach constraints [glob -nocomplain -directory [input src] *.xdc] { add_files -fileset constrs_1 -norecurse $constraints }
set_property top [config top] [current_fileset]
update_compile_order -fileset sources_1

lassign [split [config ip] :] vendor library name version
ipx::package_project -root_dir [at kernel ip] -vendor $vendor -library $library -taxonomy /UserIP -import_files
set core [ipx::current_core]
set_property name $name $core
set_property version $version $core
set_property display_name "dsODENet engine" $core
foreach interface [list s_axi_control s_axis m_axis clk rst_n interrupt {*}[config fast_clocks]] {
    found "interface $interface of $name" [ipx::get_bus_interfaces $interface -of_objects $core]
}

# The register map goes into the .hwh, where pynq reads it. Vivado guesses one from the address width: it is replaced.
set control [ipx::get_bus_interfaces s_axi_control -of_objects $core]
foreach guess [ipx::get_memory_maps -of_objects $core] { ipx::remove_memory_map [get_property name $guess] $core }
set block [ipx::add_address_block [config address_block] [ipx::add_memory_map s_axi_control $core]]
set_property -dict [list usage register range [config window_bytes] width 32] $block
set_property slave_memory_map_ref s_axi_control $control
foreach entry [config registers] {
    lassign $entry register offset bits access description
    set item [ipx::add_register $register $block]
    set_property -dict [list description $description address_offset $offset size $bits access $access] $item
    if {$register eq "CTRL"} {
        foreach entry [config control_fields] {
            lassign $entry field bit access
            set_property -dict [list bit_offset $bit bit_width 1 access $access] [ipx::add_field $field $item]
        }
    }
}

ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::check_integrity $core
ipx::save_core $core
close_project
