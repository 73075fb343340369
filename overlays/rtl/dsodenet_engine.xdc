# Registers of the engine that change only between passes or commands, two cycles or more before their value is used.
# tools/rtl/paths.py counts the same registers so (STATIC), a test compares the two lists, and the simulation with
# GARBAGE (settled.sv) shows that contexts, passes and shifts are not used earlier. Untried: no Vivado has read this.
#
# The hold check stays at the launching edge: a multicycle path moves it one period too far (UG903).
set settled [get_cells -hierarchical -filter { \
    NAME =~ *u_core/window_context_q_reg* || NAME =~ *u_core/depthwise_context_q_reg* || \
    NAME =~ *u_core/head_context_q_reg* || NAME =~ *u_core/out_context_q_reg* || \
    NAME =~ *u_core/update_context_q_reg* || NAME =~ *u_core/write_context_q_reg* || \
    NAME =~ *u_scheduler/u_passes/u_ram/read_q_reg* || NAME =~ *u_scheduler/stage_q_reg* || \
    NAME =~ *u_scheduler/step_q_reg* || NAME =~ *u_scheduler/bias_offset_q_reg* || \
    NAME =~ *shift/decoded_q_reg* || NAME =~ *u_decode/decoded_q_reg* || \
    NAME =~ *u_control/scalar_q_reg* || NAME =~ *u_control/coeff_q_reg* || \
    NAME =~ *u_program_loader/words_q_reg* || NAME =~ *u_program_loader/blocks_o_reg* || \
    NAME =~ *u_program_loader/evaluations_o_reg*}]
set_multicycle_path 2 -setup -from $settled
set_multicycle_path 1 -hold -from $settled
