// The scheduler: fibers, what they wait for, and what a command that cannot end says.
#include "processes.h"

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <map>
#include <sstream>
#include <sys/mman.h>
#include <ucontext.h>
#include <utility>

namespace csim {

constexpr size_t STACK_BYTES = size_t(8) << 20; // reserved, and taken page by page as it is used
constexpr size_t GUARD_BYTES = size_t(64) << 10;
constexpr unsigned FRUITLESS_POLLS = 1000000;

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
    unsigned open = 0;            // processes of its own region that still run
    channel *waits = nullptr;
    bool for_room = false;
    process *for_memory = nullptr;
};

namespace {

struct record { // what outlives a process: needed to say which of two accesses came first
    uint32_t parent, pass;
};

std::deque<process *> ready;
std::vector<process *> all;     // processes that live
std::vector<char *> stacks;     // stacks that nobody uses
std::vector<channel *> channels;
std::vector<record> records{{0, 0}};
std::map<std::pair<int, std::string>, int> path_ids;
std::vector<std::string> paths;
process *current = nullptr;
ucontext_t outside;
std::string failure, report;
bool spoiled = false;
uint32_t passes = 0, first_id = 1;
unsigned polls = 0;

struct traffic {
    size_t depth = 0, peak = 0;
    uint64_t writes = 0, reads = 0;
    int reader = -1, writer = -1;
};
std::map<std::string, traffic> carried_words;
std::map<int, uint64_t> runs; // of each process

int path_of(int parent, const std::string &name) {
    const auto key = std::make_pair(parent, name);
    const auto found = path_ids.find(key);
    if (found != path_ids.end())
        return found->second;
    paths.push_back(parent < 0 ? name : paths[parent] + "/" + name);
    return path_ids[key] = int(paths.size()) - 1;
}

std::string name_of(const channel &c) { return c.place < 0 ? c.name : paths[c.place] + "/" + c.name; }

void count(const channel &c) {
    traffic &sum = carried_words[name_of(c)];
    sum.depth = c.depth;
    sum.peak = std::max(sum.peak, c.peak);
    sum.writes += c.writes;
    sum.reads += c.reads;
    sum.reader = c.reader < 0 ? sum.reader : c.reader;
    sum.writer = c.writer < 0 ? sum.writer : c.writer;
}

char *new_stack() {
    if (!stacks.empty()) {
        char *stack = stacks.back();
        stacks.pop_back();
        return stack;
    }
    void *stack = mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED)
        std::abort();
    mprotect(stack, GUARD_BYTES, PROT_NONE); // a stack that overflows ends here, not in its neighbour
    return static_cast<char *>(stack);
}

} // namespace

void fail(const std::string &reason) {
    failure = reason;
    spoiled = true; // processes are left in the middle of their work, and so are their static memories
    setcontext(&outside);
    std::abort();
}

namespace {

std::string fill(const channel &c) {
    const std::string depth = c.depth == UNBOUNDED ? "" : " of " + std::to_string(c.depth);
    return "holds " + std::to_string(c.held) + depth + ", " + std::to_string(c.writes) + " written, " + std::to_string(c.reads) +
           " read";
}

// What the processes wait for; then the streams that nobody waits for. A process that waits for those of its own region is left
// out: they are in the list.
std::string state() {
    std::ostringstream text;
    std::vector<const channel *> told;
    for (const process *p : all) {
        if (p->ended || (p->open && !p->waits))
            continue;
        text << "\n  process " << paths[p->path] << ": ";
        if (p->waits) {
            text << (p->for_room ? "waits to write to stream " : "waits to read from stream ") << name_of(*p->waits) << " ("
                 << fill(*p->waits) << ")";
            told.push_back(p->waits);
        } else if (p->for_memory)
            text << "waits for the memory that process " << paths[p->for_memory->path] << " writes";
        else
            text << "runs";
    }
    for (const channel *c : channels)
        if (std::find(told.begin(), told.end(), c) == told.end())
            text << "\n  stream " << name_of(*c) << ": " << fill(*c);
    return text.str();
}

void switch_to(process *next) {
    process *before = current;
    current = next;
    swapcontext(&before->context, &next->context);
}

// Let others go on until somebody wakes this process.
void wait() {
    if (ready.empty())
        fail("deadlock, no process can go on:" + state());
    process *next = ready.front();
    ready.pop_front();
    if (next != current)
        switch_to(next);
}

void wake(process *&waiting) {
    if (waiting) {
        ready.push_back(waiting);
        waiting = nullptr;
    }
}

void forget(process *p) { all.erase(std::find(all.begin(), all.end(), p)); }

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
    if (!self->parent) {
        setcontext(&outside);
        std::abort();
    }
    if (--self->parent->open == 0)
        ready.push_back(self->parent);
    if (ready.empty())
        fail("deadlock, no process can go on:" + state());
    process *next = ready.front();
    ready.pop_front();
    current = next;
    setcontext(&next->context);
    std::abort();
}

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
    runs[path]++;
    return p;
}

} // namespace

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
                return r.pass == mine->pass &&
                       std::none_of(mine->feeds.begin(), mine->feeds.end(), [theirs](process *p) { return p->id == theirs; });
        }
    return false;
}

uint32_t current_id() { return current ? current->id : 0; }
std::string current_path() { return current ? paths[current->path] : "outside"; }

channel::channel(const std::string &given) : name(given), place(current ? current->path : -1) {
    depth = current ? DEFAULT_DEPTH : UNBOUNDED; // the streams around the kernel are its tester's
    channels.push_back(this);
}

channel::~channel() {
    const auto found = std::find(channels.rbegin(), channels.rend(), this);
    if (found != channels.rend())
        channels.erase(std::next(found).base());
    count(*this);
    if (held && current && !spoiled)
        fail("stream " + name_of(*this) + " still holds " + std::to_string(held) + " words when its region ends");
}

void channel::before_read() {
    settle();
    polls = 0;
    if (!current)
        return;
    if (last_reader != current->id && beside(last_reader))
        fail("stream " + name_of(*this) + " is read by process " + paths[current->path] + " and by process " + paths[reader]);
    last_reader = current->id;
    reader = current->path;
    while (held == 0) {
        waiting_reader = current;
        current->waits = this;
        current->for_room = false;
        wait();
        current->waits = nullptr;
    }
}

void channel::after_read() {
    held--;
    reads++;
    wake(waiting_writer);
}

void channel::before_write() {
    settle();
    polls = 0;
    if (!current)
        return;
    if (last_writer != current->id && beside(last_writer))
        fail("stream " + name_of(*this) + " is written by process " + paths[current->path] + " and by process " + paths[writer]);
    last_writer = current->id;
    writer = current->path;
    while (held >= depth) {
        waiting_writer = current;
        current->waits = this;
        current->for_room = true;
        wait();
        current->waits = nullptr;
    }
}

void channel::after_write() {
    held++;
    writes++;
    peak = std::max(peak, held);
    wake(waiting_reader);
}

void channel::poll(bool fruitless) {
    if (!fruitless || !current)
        return;
    if (++polls > FRUITLESS_POLLS)
        fail("no process goes on, but one still asks for stream " + name_of(*this) + ":" + state());
    ready.push_back(current);
    wait();
}

void region::add(const char *callee, std::function<void()> body, std::vector<use> given) {
    std::string unique = callee;
    unsigned twins = 1;
    for (const process *p : processes)
        twins += paths[p->path] == paths[current->path] + "/" + unique ||
                 paths[p->path].rfind(paths[current->path] + "/" + unique + "#", 0) == 0;
    if (twins > 1)
        unique += "#" + std::to_string(twins);
    processes.push_back(make(current, path_of(current->path, unique), passes + 1, std::move(body)));
    uses.push_back(std::move(given));
}

// One writer and one reader for what is declared in the region, one process for everything else; who reads a memory of the
// region starts when its writer has ended, as with a ping-pong buffer.
void region::check() {
    std::map<const void *, std::vector<std::pair<size_t, use>>> users;
    for (size_t i = 0; i < uses.size(); i++)
        for (const use &u : uses[i]) {
            if (u.reference_inside)
                fail("argument '" + std::string(u.name) + "' of process " + paths[processes[i]->path] +
                     " holds a reference: a pointer to a pointer, which has no hardware");
            if (u.address)
                users[u.address].push_back({i, u});
        }
    for (const auto &item : users) {
        const auto &list = item.second;
        std::vector<size_t> memory_users;
        for (const auto &entry : list)
            if (!(entry.second.how & SAMPLE) && (memory_users.empty() || memory_users.back() != entry.first))
                memory_users.push_back(entry.first);
        const std::string variable = "'" + std::string(list[0].second.name) + "'";
        for (const auto &entry : list)
            for (size_t writer : memory_users)
                if ((entry.second.how & SAMPLE) && writer != entry.first) {
                    const bool writes = std::any_of(list.begin(), list.end(), [&](const std::pair<size_t, use> &e) {
                        return e.first == writer && (e.second.how & WRITE);
                    });
                    if (!writes)
                        continue;
                    if (!entry.second.channel || writer > entry.first)
                        fail("process " + paths[processes[entry.first]->path] + " reads " + variable +
                             " when it starts, before process " + paths[processes[writer]->path] + " has written it");
                    processes[entry.first]->feeds.push_back(processes[writer]);
                }
        if (memory_users.size() < 2)
            continue;
        const size_t allowed = list[0].second.channel ? 2 : 1;
        if (memory_users.size() > allowed) {
            std::string names;
            for (size_t i : memory_users)
                names += (names.empty() ? "" : ", ") + paths[processes[i]->path];
            fail(variable + " is used by " + std::to_string(memory_users.size()) + " processes of region " + name + " (" + names +
                 "), but " + (allowed == 2 ? "a memory has one writer and one reader" : "an argument belongs to one process"));
        }
        processes[memory_users[1]]->feeds.push_back(processes[memory_users[0]]);
    }
}

void region::run() {
    passes++;
    check();
    process *self = current;
    self->open = unsigned(processes.size());
    for (process *p : processes)
        ready.push_back(p);
    if (self->open)
        wait();
    for (process *p : processes) {
        stacks.push_back(p->stack);
        forget(p);
        delete p;
    }
    processes.clear();
}

bool usable() { return !spoiled; }
const char *message() { return failure.c_str(); }
const char *activity() { return report.c_str(); }

namespace {

void write_report() {
    for (const channel *c : channels) // the streams around the kernel
        count(*c);
    std::ostringstream text;
    text << "{\"processes\": [";
    const char *comma = "";
    for (const auto &item : runs) {
        text << comma << "{\"process\": \"" << paths[item.first] << "\", \"runs\": " << item.second << "}";
        comma = ", ";
    }
    text << "], \"streams\": [";
    comma = "";
    for (const auto &item : carried_words) {
        const traffic &t = item.second;
        const auto end = [](int path) { return path < 0 ? std::string("null") : "\"" + paths[path] + "\""; };
        text << comma << "{\"stream\": \"" << item.first << "\", \"depth\": "
             << (t.depth == UNBOUNDED ? "null" : std::to_string(t.depth)) << ", \"peak\": " << t.peak << ", \"writes\": " << t.writes
             << ", \"reads\": " << t.reads << ", \"writer\": " << end(t.writer) << ", \"reader\": " << end(t.reader) << "}";
        comma = ", ";
    }
    text << "]}";
    report = text.str();
}

} // namespace

bool run(const std::function<void()> &kernel) {
    if (spoiled)
        return false;
    ready.clear();
    runs.clear();
    carried_words.clear();
    failure.clear();
    first_id += uint32_t(records.size());
    records.assign(1, {0, 0});
    process *top = make(nullptr, path_of(-1, "kernel"), 0, kernel);
    volatile bool started = false;
    getcontext(&outside);
    if (!started) {
        started = true;
        current = top;
        setcontext(&top->context);
    }
    current = nullptr;
    write_report();
    if (spoiled)
        return false;
    stacks.push_back(top->stack);
    forget(top);
    delete top;
    return true;
}

} // namespace csim
