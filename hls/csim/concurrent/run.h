// How the C simulation runs the kernel: every process at once.
#pragma once

#include "processes.h"

namespace simulation {
using csim::activity;
using csim::message;
using csim::run;
using csim::usable;
} // namespace simulation
