/* Memory latency: a random walk over a buffer larger than the last cache, STAY steps in one window, then another.
 *
 *   chase MIB STEPS   ->   {"steps": …, "ns_per_step": …, "cpu_ns_per_step": …}
 *
 * Without windows (Intel's MLC and Google's multichase have them) a step is mostly the walk of the page tables, and its
 * time depends on where a process happened to get its pages: processes of one host differed by 1.7 %, with windows
 * by 0.6 %. Where a step goes depends on what the one before loaded, so loads cannot overlap: what is loaded is zero, but
 * the processor cannot know. Preparing the buffer is thus no more than touching its pages, which keeps arms that run
 * by turns together. Pages are 4 KiB on request, since whether huge pages are to be had depends on how fragmented the
 * machine's memory is at that moment; a new page, whose tables are walked (in a VM nested ones), is met every 16 steps
 * or so. Fixed seed: the same walk everywhere. stress-ng's ptr-chase stays in the cache, and sysbench has no latency
 * test.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { LINE = 64, PAGE = 4096, WINDOW = 64 << 10, STAY = 256 };

static double now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static uint64_t next(uint64_t state) { return state * 6364136223846793005ull + 1442695040888963407ull; }

static uint64_t below(uint64_t state, uint64_t limit) { return (uint64_t)(((unsigned __int128)state * limit) >> 64); }

int main(int argc, char **argv) {
  long mib = argc == 3 ? atol(argv[1]) : 0, steps = argc == 3 ? atol(argv[2]) : 0;
  if (mib < 1 || steps < 1) {
    fprintf(stderr, "usage: chase MIB STEPS\n");
    return 2;
  }
  size_t bytes = (size_t)mib << 20;
  char *buffer = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (buffer == MAP_FAILED) {
    perror("mmap");
    return 1;
  }
  madvise(buffer, bytes, MADV_NOHUGEPAGE);
  for (size_t i = 0; i < bytes; i += PAGE) buffer[i] = 0;
  uint64_t state = 88172645463325252ull;
  char *window = buffer;
  double cpu = now(CLOCK_PROCESS_CPUTIME_ID), start = now(CLOCK_MONOTONIC);
  for (long i = 0; i < steps; i++) {
    if (i % STAY == 0) {
      window = buffer + below(state, bytes / WINDOW) * WINDOW;
      state = next(state);
    }
    state = next(state) + *(volatile uint64_t *)(window + below(state, WINDOW / LINE) * LINE);
  }
  double end = now(CLOCK_MONOTONIC), cpu_end = now(CLOCK_PROCESS_CPUTIME_ID);
  printf("{\"steps\": %ld, \"ns_per_step\": %.4f, \"cpu_ns_per_step\": %.4f, \"last\": %llu}\n", steps,
         (end - start) / steps, (cpu_end - cpu) / steps, (unsigned long long)state);
  return 0;
}
