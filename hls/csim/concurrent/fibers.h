// What the parts of the concurrent simulation share: the processes that live, and the ways to wait and to wake.
#pragma once

#include "processes.h"

#include <deque>
#include <string>
#include <ucontext.h>
#include <vector>

namespace csim {

struct process {
    ucontext_t context;
    char *stack;
    std::function<void()> body;
    process *parent;
    int path;
    uint32_t id, pass; // pass: the run of its region
    bool ended = false;
    std::vector<process *> feeds;     // the processes that write what it reads from memory
    std::vector<process *> followers; // the processes that wait for its end
    unsigned open = 0;                // processes of its own region that still run
    channel *waits = nullptr;
    bool for_room = false;
    process *for_memory = nullptr;
};

extern std::deque<process *> ready;     // processes that can go on
extern std::vector<process *> all;      // processes that live
extern std::vector<channel *> channels; // streams that live
extern process *current;                // null outside of the kernel
extern bool spoiled;                    // a command did not end

process *make(process *parent, int path, uint32_t pass, std::function<void()> body);
void bury(process *p);        // one that has ended
void wait();                  // let others go on until somebody wakes this process
void wake(process *&waiting); // and forget it

// Names and counts, see report.cpp.
int path_of(int parent, const std::string &name);
const std::string &path_name(int path);
std::string name_of(const channel &c);
void count_run(int path);
void count(const channel &c); // one that ends
std::string state();          // what every process waits for, and every stream holds
void start_report();
void write_report();

} // namespace csim
