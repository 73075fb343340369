// Streams with a depth: who reads, who writes, and who waits.
#include "fibers.h"

#include <algorithm>

namespace csim {

namespace {

constexpr unsigned FRUITLESS_POLLS = 1000000;
unsigned polls = 0; // questions since a word was last moved

} // namespace

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
        fail("stream " + name_of(*this) + " is read by process " + path_name(current->path) + " and by process " +
             path_name(reader));
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
        fail("stream " + name_of(*this) + " is written by process " + path_name(current->path) + " and by process " +
             path_name(writer));
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

} // namespace csim
