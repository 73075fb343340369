// Fibers: processes with a stack each, of which one runs at a time.
#include "fibers.h"

#include <algorithm>
#include <cstdlib>
#include <sys/mman.h>
#include <utility>

namespace csim {

std::deque<process *> ready;
std::vector<process *> all;
std::vector<channel *> channels;
process *current = nullptr;
bool spoiled = false;

namespace {

constexpr size_t STACK_BYTES = size_t(8) << 20; // reserved, and taken page by page as it is used
constexpr size_t GUARD_BYTES = size_t(64) << 10;

struct record { // what outlives a process: needed to say which of two accesses came first
    uint32_t parent, pass;
};

std::vector<record> records{{0, 0}};
uint32_t first_id = 1;      // of this command
std::vector<char *> stacks; // that nobody uses
ucontext_t outside;
std::string failure;

char *new_stack() {
    if (!stacks.empty()) {
        char *stack = stacks.back();
        stacks.pop_back();
        return stack;
    }
    void *stack =
        mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED)
        std::abort();
    mprotect(stack, GUARD_BYTES, PROT_NONE); // a stack that overflows ends here, not in its neighbour
    return static_cast<char *>(stack);
}

[[noreturn]] void leave(const ucontext_t &next) {
    setcontext(&next);
    std::abort(); // setcontext does not come back
}

process *next_ready() {
    if (ready.empty())
        fail("deadlock, no process can go on:" + state());
    process *next = ready.front();
    ready.pop_front();
    return next;
}

void entry() {
    process *self = current;
    for (process *writer : self->feeds)
        while (!writer->ended) {
            self->for_memory = writer;
            writer->followers.push_back(self);
            wait();
        }
    self->for_memory = nullptr;
    self->body();
    settle();
    self->ended = true;
    ready.insert(ready.end(), self->followers.begin(), self->followers.end());
    if (!self->parent)
        leave(outside);
    if (--self->parent->open == 0)
        ready.push_back(self->parent);
    current = next_ready();
    leave(current->context);
}

} // namespace

process *make(process *parent, int path, uint32_t pass, std::function<void()> body) {
    process *p = new process();
    p->stack = new_stack();
    p->body = std::move(body);
    p->parent = parent;
    p->path = path;
    p->pass = pass;
    p->id = first_id + uint32_t(records.size()) - 1;
    records.push_back({parent ? parent->id : 0, pass});
    getcontext(&p->context);
    p->context.uc_stack.ss_sp = p->stack + GUARD_BYTES;
    p->context.uc_stack.ss_size = STACK_BYTES - GUARD_BYTES;
    p->context.uc_link = nullptr;
    makecontext(&p->context, entry, 0);
    all.push_back(p);
    count_run(path);
    return p;
}

void bury(process *p) {
    stacks.push_back(p->stack);
    all.erase(std::find(all.begin(), all.end(), p));
    delete p;
}

void wait() {
    process *self = current, *next = next_ready();
    if (next == self)
        return;
    current = next;
    swapcontext(&self->context, &next->context);
}

void wake(process *&waiting) {
    if (waiting) {
        ready.push_back(waiting);
        waiting = nullptr;
    }
}

void fail(const std::string &reason) {
    failure = reason;
    spoiled = true; // processes are left in the middle of their work, and so are their static memories
    leave(outside);
}

// Whether process `other` runs beside the current one with no order between them.
bool beside(uint32_t other) {
    if (!current || other < first_id || other == current->id)
        return false;
    for (process *mine = current; mine; mine = mine->parent)
        for (uint32_t theirs = other; theirs; theirs = records[theirs - first_id + 1].parent) {
            if (theirs == mine->id)
                return false; // one waits for the other: a caller and a process of its region
            const record &r = records[theirs - first_id + 1];
            if (mine->parent && r.parent == mine->parent->id)
                return r.pass == mine->pass && std::none_of(mine->feeds.begin(), mine->feeds.end(),
                                                            [theirs](process *p) { return p->id == theirs; });
        }
    return false;
}

uint32_t current_id() { return current ? current->id : 0; }
std::string current_path() { return current ? path_name(current->path) : "outside"; }

bool usable() { return !spoiled; }
const char *message() { return failure.c_str(); }

bool run(const std::function<void()> &kernel) {
    if (spoiled)
        return false;
    ready.clear();
    failure.clear();
    start_report();
    first_id += uint32_t(records.size());
    records.assign(1, {0, 0});
    process *top = make(nullptr, path_of(-1, "kernel"), 0, kernel);
    volatile bool started = false;
    getcontext(&outside); // comes back here a second time, when the kernel has ended or failed
    if (!started) {
        started = true;
        current = top;
        leave(top->context);
    }
    current = nullptr;
    write_report();
    if (!spoiled)
        bury(top);
    return !spoiled;
}

} // namespace csim
