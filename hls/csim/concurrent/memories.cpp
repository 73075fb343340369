// The accesses that the compiler reports, held against the memories of the kernel.
#include "memories.h"

#include "processes.h"

#include <algorithm>
#include <string>

namespace csim {

namespace {

constexpr unsigned PAGE_BITS = 12, PAGES = 1 << 16;

// Made on first use and never destroyed: memories of namespaces come before and go after every other object.
std::vector<memory *> &memories() {
    static auto *list = new std::vector<memory *>;
    return *list;
}

uint16_t pages[PAGES]; // how many memories have a part in the pages with this number, modulo their count: most accesses
                       // end here

void mark(const memory &m, int step) {
    for (uintptr_t page = m.low >> PAGE_BITS; page <= (m.high - 1) >> PAGE_BITS; page++)
        pages[page % PAGES] = uint16_t(pages[page % PAGES] + step);
}

// An element that was read before anything was written there. Writing some of its bits reads it first, so that only
// what follows tells whether the read was one.
struct {
    const memory *where = nullptr;
    size_t index = 0;
    std::string sentence;
} unwritten;

void access(memory &m, size_t index, bool write) {
    memory::cell &cell = m.cells[index];
    const uint32_t self = current_id();
    if (unwritten.where) {
        if (unwritten.where != &m || unwritten.index != index)
            settle();
        if (write)
            unwritten.where = nullptr;
    }
    const auto place = [&] { return "'" + std::string(m.name) + "' element " + std::to_string(index); };
    if (write) {
        if (beside(cell.writer) || beside(cell.reader))
            fail(place() + " is written by process " + current_path() +
                 " while another process of the same pass uses it");
        cell.writer = self;
        cell.written = true;
    } else {
        if (!cell.written && self) {
            unwritten.where = &m;
            unwritten.index = index;
            unwritten.sentence =
                place() + " is read by process " + current_path() + " before anything was written there";
        }
        if (beside(cell.writer))
            fail(place() + " is read by process " + current_path() +
                 " while another process of the same pass writes it");
        cell.reader = self;
    }
}

} // namespace

memory::memory(const char *given, const void *start, size_t bytes, size_t size)
    : name(given), low(reinterpret_cast<uintptr_t>(start)), high(low + bytes), element(size), cells(bytes / size) {
    memories().push_back(this);
    mark(*this, 1);
}

memory::~memory() {
    if (unwritten.where == this)
        unwritten.where = nullptr;
    memories().erase(std::find(memories().begin(), memories().end(), this));
    mark(*this, -1);
}

void settle() {
    if (unwritten.where) {
        unwritten.where = nullptr;
        fail(unwritten.sentence);
    }
}

void touch(const void *start, size_t bytes, bool write) {
    const uintptr_t low = reinterpret_cast<uintptr_t>(start), high = low + bytes;
    if (!pages[(low >> PAGE_BITS) % PAGES] && !pages[((high - 1) >> PAGE_BITS) % PAGES])
        return;
    for (memory *m : memories())
        if (low < m->high && high > m->low) {
            const size_t first = (std::max(low, m->low) - m->low) / m->element;
            const size_t last = (std::min(high, m->high) - 1 - m->low) / m->element;
            for (size_t index = first; index <= last; index++)
                access(*m, index, write);
        }
}

} // namespace csim

// What the compiler calls.
#define ACCESS(name, bytes)                                                                                            \
    extern "C" void __tsan_read##name(void *at) { csim::touch(at, bytes, false); }                                     \
    extern "C" void __tsan_write##name(void *at) { csim::touch(at, bytes, true); }                                     \
    extern "C" void __tsan_unaligned_read##name(void *at) { csim::touch(at, bytes, false); }                           \
    extern "C" void __tsan_unaligned_write##name(void *at) { csim::touch(at, bytes, true); }                           \
    extern "C" void __tsan_volatile_read##name(void *at) { csim::touch(at, bytes, false); }                            \
    extern "C" void __tsan_volatile_write##name(void *at) { csim::touch(at, bytes, true); }
ACCESS(1, 1)
ACCESS(2, 2)
ACCESS(4, 4)
ACCESS(8, 8)
ACCESS(16, 16)
extern "C" void __tsan_read_range(void *at, unsigned long bytes) { csim::touch(at, bytes, false); }
extern "C" void __tsan_write_range(void *at, unsigned long bytes) { csim::touch(at, bytes, true); }
extern "C" void __tsan_vptr_update(void **, void *) {}
extern "C" void __tsan_vptr_read(void **) {}
extern "C" void __tsan_func_entry(void *) {}
extern "C" void __tsan_func_exit(void *) {}
extern "C" void __tsan_init() {}
