// Memories whose every access is seen: a read before the write that feeds it, and an element that two processes of one
// pass touch with no order between them, end the simulation. The compiler reports the accesses (-fsanitize=thread
// without its run time), so that the kernel's source stays as it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace csim {

class memory {
  public:
    struct cell {
        uint32_t writer = 0, reader = 0; // the processes that touched the element last
        bool written = false;
    };
    const char *name;
    uintptr_t low, high;
    size_t element;
    std::vector<cell> cells;

    template <class T, size_t n>
    memory(const char *given, const T (&array)[n])
        : memory(given, array, sizeof array, sizeof(typename std::remove_all_extents<T>::type)) {}
    memory(const char *given, const void *start, size_t bytes, size_t size);
    ~memory();
    memory(const memory &) = delete;
    memory &operator=(const memory &) = delete;
};

} // namespace csim
