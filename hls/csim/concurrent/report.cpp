// What a simulation says: names of processes and streams, what they wait for, and what they carried.
#include "fibers.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

namespace csim {

namespace {

struct traffic {
    size_t depth = 0, peak = 0;
    uint64_t writes = 0, reads = 0;
    int reader = -1, writer = -1;
};

std::map<std::pair<int, std::string>, int> path_ids;
std::vector<std::string> paths;
std::map<std::string, traffic> carried; // by stream
std::map<int, uint64_t> runs;           // by process
std::string report;

std::string fill(const channel &c) {
    const std::string depth = c.depth == UNBOUNDED ? "" : " of " + std::to_string(c.depth);
    return "holds " + std::to_string(c.held) + depth + ", " + std::to_string(c.writes) + " written, " +
           std::to_string(c.reads) + " read";
}

} // namespace

int path_of(int parent, const std::string &name) {
    const auto key = std::make_pair(parent, name);
    const auto found = path_ids.find(key);
    if (found != path_ids.end())
        return found->second;
    paths.push_back(parent < 0 ? name : paths[parent] + "/" + name);
    return path_ids[key] = int(paths.size()) - 1;
}

std::string name_of(const channel &c) { return c.place < 0 ? c.name : paths[c.place] + "/" + c.name; }

const std::string &path_name(int path) { return paths[path]; }

void count(const channel &c) {
    traffic &sum = carried[name_of(c)];
    sum.depth = c.depth;
    sum.peak = std::max(sum.peak, c.peak);
    sum.writes += c.writes;
    sum.reads += c.reads;
    sum.reader = c.reader < 0 ? sum.reader : c.reader;
    sum.writer = c.writer < 0 ? sum.writer : c.writer;
}

void count_run(int path) { runs[path]++; }

// What the processes wait for; then the streams that nobody waits for. A process that waits for those of its own region
// is left out: they are in the list.
std::string state() {
    std::vector<const process *> waiting;
    for (const process *p : all)
        if (!p->ended && (p->waits || !p->open))
            waiting.push_back(p);
    // First who has no room because the reader of the stream waits for another one: the usual cause of a deadlock.
    std::stable_partition(waiting.begin(), waiting.end(), [&](const process *p) {
        return p->waits && p->for_room && std::none_of(waiting.begin(), waiting.end(), [&](const process *other) {
                   return other->path == p->waits->reader && other->for_room;
               });
    });
    std::ostringstream text;
    std::vector<const channel *> told;
    for (const process *p : waiting) {
        text << "\n  process " << paths[p->path] << ": ";
        if (p->waits) {
            text << (p->for_room ? "waits to write to stream " : "waits to read from stream ") << name_of(*p->waits)
                 << " (" << fill(*p->waits) << ")";
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

void start_report() {
    runs.clear();
    carried.clear();
}

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
    for (const auto &item : carried) {
        const traffic &t = item.second;
        const auto end = [](int path) { return path < 0 ? std::string("null") : "\"" + paths[path] + "\""; };
        text << comma << "{\"stream\": \"" << item.first
             << "\", \"depth\": " << (t.depth == UNBOUNDED ? "null" : std::to_string(t.depth))
             << ", \"peak\": " << t.peak << ", \"writes\": " << t.writes << ", \"reads\": " << t.reads
             << ", \"writer\": " << end(t.writer) << ", \"reader\": " << end(t.reader) << "}";
        comma = ", ";
    }
    text << "]}";
    report = text.str();
}

const char *activity() { return report.c_str(); }

} // namespace csim
