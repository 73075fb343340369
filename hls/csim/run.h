// How the C simulation runs the kernel: here as plain calls, one process after the other. concurrent/run.h is the other
// way.
#pragma once

namespace simulation {

// Run one command; false when it cannot end.
template <class F> bool run(F kernel) {
    kernel();
    return true;
}

// Whether a further command may be run, why the last one did not end, and what its streams carried (JSON).
inline bool usable() { return true; }
inline const char *message() { return ""; }
inline const char *activity() { return ""; }

} // namespace simulation
