// One call of a kernel: images in, doorbells, a short wait, logits out. exchange.py and prepared.py do the same in Python,
// and whatever is not as usual is left to them.
//
// A register is one aligned access of 32 bits. Memory is written to where the DMA sees it before its doorbell is rung, and
// read after the DMA has said that it is done.
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

typedef volatile uint32_t Register;

typedef struct {  // native_call.py packs it, in this order
  Register *start, *receive, *send;                        // doorbells
  const Register *control, *status, *dma_status, *received;  // what they answer
  uint8_t *input;
  const uint8_t *output;
  int64_t in_bytes, out_bytes;
  int64_t images, pixels, channels, classes;  // of an image: pixels of one channel
  int64_t planar;                             // images are (channels, pixels); else (pixels, channels), as the stream
  int64_t spin_ns;                            // how long to wait; 0: not at all
} Call;

enum { Done = 0, NotDone = -1, NotTaken = -2 };
enum { LastReads = 16 };  // the DMA is a few clocks behind the kernel

static int64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

// From the processor's cache to memory. Linux lets programs do so on aarch64 (SCTLR_EL1.UCI).
static void clean(const uint8_t *first, int64_t size) {
#if defined(__aarch64__)
  uint64_t type;
  __asm__("mrs %0, ctr_el0" : "=r"(type));
  const uintptr_t line = (uintptr_t)4 << (type >> 16 & 15);
  for (uintptr_t at = (uintptr_t)first & ~(line - 1); at < (uintptr_t)first + size; at += line)
    __asm__ volatile("dc cvac, %0" ::"r"(at) : "memory");
  __asm__ volatile("dsb sy" ::: "memory");
#else
  (void)first, (void)size;
  __sync_synchronize();
#endif
}

static void pack(const Call *call, const uint8_t *images) {
  const int64_t size = call->pixels * call->channels, frame = call->in_bytes / call->images;
  for (int64_t i = 0; i < call->images; i++) {
    uint8_t *out = call->input + i * frame;
    const uint8_t *image = images + i * size;
    if (!call->planar || call->channels == 1) {
      memcpy(out, image, size);
    } else if (call->channels == 3) {  // a loop of its own, which compilers make interleaved stores of
      const uint8_t *red = image, *green = image + call->pixels, *blue = image + 2 * call->pixels;
      for (int64_t p = 0; p < call->pixels; p++) {
        out[3 * p] = red[p];
        out[3 * p + 1] = green[p];
        out[3 * p + 2] = blue[p];
      }
    } else {
      for (int64_t c = 0; c < call->channels; c++)
        for (int64_t p = 0; p < call->pixels; p++) out[p * call->channels + c] = image[c * call->pixels + p];
    }
    memset(out + size, 0, frame - size);  // runs of other sizes use the same memory
  }
}

// Done, with the logits written; NotDone; or CTRL with AP_DONE, which reading it has cleared: then something is not right.
static int64_t run(const Call *call, uint8_t *logits) {
  *call->receive = (uint32_t)call->out_bytes;
  *call->start = AP_START;
  clean(call->input, call->in_bytes);
  *call->send = (uint32_t)call->in_bytes;
  if (!call->spin_ns) return NotDone;
  const int64_t end = now_ns() + call->spin_ns;
  uint32_t control;
  while (!((control = *call->control) & AP_DONE))
    if (now_ns() > end) return NotDone;
  if (control & AP_START || *call->status != STATUS_OK) return control;
  for (int reads = 0; !(*call->dma_status & DMASR_IDLE); reads++)
    if (reads == LastReads) return control;
  if (*call->received != (uint32_t)call->out_bytes) return control;
#if defined(__aarch64__)
  __asm__ volatile("dsb sy" ::: "memory");
#endif
  const int64_t size = 4 * call->classes, frame = call->out_bytes / call->images;
  for (int64_t i = 0; i < call->images; i++) memcpy(logits + i * size, call->output + i * frame, size);
  return Done;
}

// run(call: bytes, images: uint8, logits: int32) -> one of the above, or NotTaken for images that are not contiguous.
static PyObject *py_run(PyObject *module, PyObject *const *given, Py_ssize_t count) {
  (void)module;
  if (count != 3 || !PyBytes_Check(given[0]) || PyBytes_GET_SIZE(given[0]) != sizeof(Call)) {
    PyErr_SetString(PyExc_TypeError, "run takes a call, images and logits");
    return NULL;
  }
  const Call *call = (const Call *)PyBytes_AS_STRING(given[0]);
  Py_buffer images, logits;
  if (PyObject_GetBuffer(given[1], &images, PyBUF_SIMPLE)) {
    PyErr_Clear();
    return PyLong_FromLong(NotTaken);
  }
  if (PyObject_GetBuffer(given[2], &logits, PyBUF_WRITABLE)) {
    PyBuffer_Release(&images);
    return NULL;
  }
  int64_t result = NotTaken;
  if (images.len == call->images * call->pixels * call->channels && logits.len == call->images * call->classes * 4) {
    pack(call, images.buf);
    result = run(call, logits.buf);
  }
  PyBuffer_Release(&logits);
  PyBuffer_Release(&images);
  return PyLong_FromLongLong(result);
}

static PyMethodDef methods[] = {{"run", (PyCFunction)(void (*)(void))py_run, METH_FASTCALL, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "native_call", NULL, -1, methods, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit_native_call(void) { return PyModule_Create(&module); }
