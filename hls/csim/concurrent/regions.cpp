// Regions: their processes, and what these may share.
#include "fibers.h"

#include <algorithm>
#include <map>
#include <utility>

namespace csim {

namespace {

uint32_t passes = 0; // runs of regions

} // namespace

void region::add(const char *callee, std::function<void()> body, std::vector<use> given) {
    std::string unique = callee;
    unsigned twins = 1;
    for (const process *p : processes)
        twins += path_name(p->path) == path_name(current->path) + "/" + unique ||
                 path_name(p->path).rfind(path_name(current->path) + "/" + unique + "#", 0) == 0;
    if (twins > 1)
        unique += "#" + std::to_string(twins);
    processes.push_back(make(current, path_of(current->path, unique), passes + 1, std::move(body)));
    uses.push_back(std::move(given));
}

// One writer and one reader for what is declared in the region, one process for everything else; who reads a memory of
// the region starts when its writer has ended, as with a ping-pong buffer.
void region::check() {
    std::map<const void *, std::vector<std::pair<size_t, use>>> users;
    for (size_t i = 0; i < uses.size(); i++)
        for (const use &u : uses[i]) {
            if (u.reference_inside)
                fail("argument '" + std::string(u.name) + "' of process " + path_name(processes[i]->path) +
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
                        fail("process " + path_name(processes[entry.first]->path) + " reads " + variable +
                             " when it starts, before process " + path_name(processes[writer]->path) +
                             " has written it");
                    processes[entry.first]->feeds.push_back(processes[writer]);
                }
        if (memory_users.size() < 2)
            continue;
        const size_t allowed = list[0].second.channel ? 2 : 1;
        if (memory_users.size() > allowed) {
            std::string names;
            for (size_t i : memory_users)
                names += (names.empty() ? "" : ", ") + path_name(processes[i]->path);
            fail(variable + " is used by " + std::to_string(memory_users.size()) + " processes of region " + name +
                 " (" + names + "), but " +
                 (allowed == 2 ? "a memory has one writer and one reader" : "an argument belongs to one process"));
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
    for (process *p : processes)
        bury(p);
    processes.clear();
}

} // namespace csim
