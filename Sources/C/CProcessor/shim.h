// What Swift has no name for and every C compiler has: asks the processor to bring the cache line at `address` nearer, for it is
// going to be written soon. Never faults, whatever the address.
static inline void apus_prefetch(const void *address) { __builtin_prefetch(address, 1, 3); }
