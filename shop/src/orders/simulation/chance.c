/* What a process that runs one seed of the simulation gets of the kernel in place of chance: preloaded, this makes random
 * bytes that follow from the seed, a stream for each thread, and clocks that stand still in all threads but the first,
 * which waits for the others. Time in the simulation is its own. */

#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* When every simulation begins, in seconds since 1970. */
static const time_t beginning = 1800000000;

static __thread uint64_t state;
static __thread int begun;

/* SplitMix64. */
static uint64_t next(void) {
    if (!begun) {
        const char *seed = getenv("SIMULATION_CHILD");
        state = seed ? strtoull(seed, NULL, 10) : 0;
        begun = 1;
    }
    uint64_t mixed = (state += 0x9e3779b97f4a7c15u);
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

ssize_t getrandom(void *buffer, size_t length, unsigned int flags) {
    (void)flags;
    for (size_t at = 0; at < length; at++) {
        ((uint8_t *)buffer)[at] = (uint8_t)next();
    }
    return (ssize_t)length;
}

int getentropy(void *buffer, size_t length) {
    getrandom(buffer, length, 0);
    return 0;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    if (getpid() == gettid()) {
        return (int)syscall(SYS_clock_gettime, clock, time);
    }
    time->tv_sec = beginning;
    time->tv_nsec = 0;
    return 0;
}
