"""Clocks of a server that are wrong: a library that is loaded before it.

libfaketime moves the environment, after which a Swift program does not find its arguments, so this is one of our own. What it does
besides, for negative controls, is chosen when it is compiled; no server has such a switch.
"""

import struct
import subprocess

from mounts import need

SHIM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Seconds that the wall clock is wrong by, in a file that the test writes. */
static volatile long *wrong;
static struct timespec start;

__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("WRONG_CLOCK"), O_RDONLY);
    void *memory = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
    if (memory != MAP_FAILED) wrong = memory;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &start);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (result != 0 || !wrong) return result;
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
        now->tv_sec += *wrong;
#ifdef JUMPS_TWICE
        now->tv_sec += *wrong;
#endif
    } else if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE) {
#ifdef JUMPS_ALL
        now->tv_sec += *wrong;
#endif
#ifdef RUNS_FAST
        long long passed = (now->tv_sec - start.tv_sec) * 1000000000LL + now->tv_nsec - start.tv_nsec;
        passed = passed * 4 + start.tv_nsec;
        now->tv_sec = start.tv_sec + passed / 1000000000;
        now->tv_nsec = passed % 1000000000;
#endif
    }
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    now->tv_sec = time.tv_sec;
    now->tv_usec = time.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result) *result = now.tv_sec;
    return now.tv_sec;
}
"""


class Clock:
    """The wall clock of a server; its monotonic clock stays as it is, unless a negative control says otherwise.

    - control: JUMPS_TWICE, the wall clock jumps by twice what is said; JUMPS_ALL, the monotonic clock jumps with it; RUNS_FAST, the
      monotonic clock goes four times as fast.
    """

    def __init__(self, folder, control="NONE"):
        need("gcc")
        (folder / "clock.c").write_text(SHIM)
        subprocess.run(
            ["gcc", "-shared", "-fPIC", f"-D{control}", "-o", str(folder / "clock.so"), str(folder / "clock.c")], check=True)
        self.file = folder / "clock"
        self.file.write_bytes(bytes(8))
        self.environment = {"LD_PRELOAD": str(folder / "clock.so"), "WRONG_CLOCK": str(self.file)}

    def set(self, seconds):
        """Seconds before or after the true time."""
        with open(self.file, "r+b") as file:
            file.write(struct.pack("=q", seconds))
