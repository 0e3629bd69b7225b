// Counts what a program allocates: preload it, send SIGUSR2, read the count on standard error (and again at the end).
// docs/performance/README.md says how the figure per message is taken. Not part of the build.
//
//     cc -O2 -shared -fPIC Scripts/allocations.c -o allocations.so -ldl
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_long count;
static void *(*real_malloc)(size_t);
static void *(*real_realloc)(void *, size_t);
static int (*real_posix_memalign)(void **, size_t, size_t);
static void *(*real_aligned_alloc)(size_t, size_t);

// Only what a signal handler may call: no printf.
static void report(int signal) {
    (void)signal;
    char text[64] = "allocations ";
    char digits[24];
    int length = 0;
    long rest = count;
    do digits[length++] = '0' + rest % 10; while ((rest /= 10) > 0);
    size_t end = strlen(text);
    while (length > 0) text[end++] = digits[--length];
    text[end++] = '\n';
    (void)!write(STDERR_FILENO, text, end);
}

__attribute__((constructor)) static void start(void) { signal(SIGUSR2, report); }
__attribute__((destructor)) static void stop(void) { report(0); }

#define REAL(name) (real_##name ? real_##name : (real_##name = dlsym(RTLD_NEXT, #name)))

void *malloc(size_t size) {
    atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
    return REAL(malloc)(size);
}
void *realloc(void *memory, size_t size) {
    atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
    return REAL(realloc)(memory, size);
}
int posix_memalign(void **memory, size_t alignment, size_t size) {
    atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
    return REAL(posix_memalign)(memory, alignment, size);
}
void *aligned_alloc(size_t alignment, size_t size) {
    atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
    return REAL(aligned_alloc)(alignment, size);
}
