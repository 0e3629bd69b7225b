#include <isa-l/crc.h>

// crc32_gzip_refl, and then the upper halves of the vector registers cleared. isa-l's AVX-512 routine (2.30) returns without
// doing so, and from then on every SSE instruction that writes a vector register waits for whoever wrote its upper half last: the
// code that runs next stalls behind the checksum's own loads.
static inline uint32_t apus_crc32(uint32_t seed, const unsigned char *bytes, uint64_t count) {
    uint32_t result = crc32_gzip_refl(seed, bytes, count);
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx")) __asm__ volatile("vzeroupper");
#endif
    return result;
}
