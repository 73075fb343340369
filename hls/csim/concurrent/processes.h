// Dataflow as hardware runs it: every process of a region at once, streams with a bounded depth, and no hidden order.
//
// Processes are fibers on one thread. A network of processes that block on reads and on writes computes the same words
// in every order, so threads would add nothing but chance; with fibers each run repeats exactly, and a deadlock is the
// moment in which no fiber can go on. The kernel's source is the one that is synthesised: only the calls of its regions
// are wrapped (see dsodenet/hls/concurrent.py).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

namespace csim {

struct process;

constexpr size_t UNBOUNDED = ~size_t(0);
constexpr size_t DEFAULT_DEPTH = 2; // of a FIFO that no STREAM pragma sizes

// What the scheduler knows of a stream. The words are in hls::stream.
struct channel {
    std::string name;
    int place; // path of the process that declares it
    size_t depth, held = 0, peak = 0;
    uint64_t writes = 0, reads = 0;
    int reader = -1, writer = -1; // paths of the processes at its ends
    uint32_t last_reader = 0, last_writer = 0;
    process *waiting_reader = nullptr, *waiting_writer = nullptr;

    explicit channel(const std::string &given);
    ~channel();
    channel(const channel &) = delete;
    channel &operator=(const channel &) = delete;

    void before_read(); // waits while it is empty
    void after_read();
    void before_write(); // waits while it is full
    void after_write();
    void poll(bool fruitless); // a question that does not wait
};

// How a process uses a variable that it is given.
enum mode { SAMPLE = 1, READ = 2, WRITE = 4 };

struct use {
    const char *name;
    const void *address; // null: a stream
    unsigned how;
    bool channel; // declared in the region
    bool reference_inside;
};

template <class T> struct is_stream : std::is_base_of<channel, T> {};

template <class T> use given(const char *name, T &object, unsigned how, bool channel_) {
    const bool inside = std::is_class<T>::value && !std::is_copy_assignable<T>::value;
    return use{name, is_stream<T>::value ? nullptr : &object, how, channel_, inside && !is_stream<T>::value};
}
template <class T, size_t n> use given(const char *name, T (&array)[n], unsigned how, bool channel_) {
    const bool stream = is_stream<typename std::remove_all_extents<T>::type>::value;
    return use{name, stream ? nullptr : static_cast<const void *>(array), how, channel_, false};
}
template <class T> use given(const char *name, T *&pointer, unsigned how, bool channel_) {
    return use{name, static_cast<const void *>(pointer), how, channel_, false};
}
template <class T> use given(const char *name, T *const &pointer, unsigned how, bool channel_) {
    return use{name, static_cast<const void *>(pointer), how, channel_, false};
}

// A dataflow region while it runs.
class region {
    const char *name;
    std::vector<process *> processes;
    std::vector<std::vector<use>> uses;
    void check();

  public:
    explicit region(const char *n) : name(n) {}
    void add(const char *callee, std::function<void()> body, std::vector<use> given);
    void run(); // starts every process and waits for all of them
};

// What the memories ask the scheduler.
[[noreturn]] void fail(const std::string &reason); // ends the command
bool beside(uint32_t other); // whether a process runs beside the current one, with no order between them
uint32_t current_id();       // 0 outside of the kernel
std::string current_path();

// What the scheduler asks of the memories.
void touch(const void *start, size_t bytes, bool write); // an access that the compiler does not report
void settle();                                           // a read before a write that nothing excuses ends the command

bool run(const std::function<void()> &kernel);
bool usable();
const char *message();
const char *activity();

} // namespace csim
