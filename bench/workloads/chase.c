/* Memory latency: a walk through one random cycle over all cache lines of a buffer larger than the last cache.
 *
 *   chase MIB STEPS   ->   {"steps": …, "ns_per_step": …, "cpu_ns_per_step": …}
 *
 * Each load's address is the previous load's value, so loads cannot overlap. Pages are 4 KiB on request, since
 * whether huge pages are to be had depends on how fragmented the machine's memory is at that moment; what is
 * timed thus holds the walk of the page tables too, nested ones in a VM. Fixed seed: the same cycle everywhere.
 * stress-ng's ptr-chase stays in the cache, and sysbench has no latency test.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { LINE = 64 };

static uint64_t state = 88172645463325252ull;

static uint64_t draw(uint64_t below) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint64_t)(((unsigned __int128)state * below) >> 64);
}

static double now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv) {
  long mib = argc == 3 ? atol(argv[1]) : 0, steps = argc == 3 ? atol(argv[2]) : 0;
  if (mib < 1 || steps < 1) {
    fprintf(stderr, "usage: chase MIB STEPS\n");
    return 2;
  }
  size_t bytes = (size_t)mib << 20, lines = bytes / LINE;
  char *buffer = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (buffer == MAP_FAILED) {
    perror("mmap");
    return 1;
  }
  madvise(buffer, bytes, MADV_NOHUGEPAGE);
  /* Sattolo's shuffle of the identity gives a single cycle; each line holds the number of the next. */
  for (size_t i = 0; i < lines; i++) *(uint64_t *)(buffer + i * LINE) = i;
  for (size_t i = lines - 1; i > 0; i--) {
    size_t j = draw(i);
    uint64_t *a = (uint64_t *)(buffer + i * LINE), *b = (uint64_t *)(buffer + j * LINE), kept = *a;
    *a = *b;
    *b = kept;
  }
  uint64_t at = 0;
  double cpu = now(CLOCK_PROCESS_CPUTIME_ID), start = now(CLOCK_MONOTONIC);
  for (long i = 0; i < steps; i++) at = *(volatile uint64_t *)(buffer + at * LINE);
  double end = now(CLOCK_MONOTONIC), cpu_end = now(CLOCK_PROCESS_CPUTIME_ID);
  printf("{\"steps\": %ld, \"ns_per_step\": %.4f, \"cpu_ns_per_step\": %.4f, \"last\": %llu}\n", steps,
         (end - start) / steps, (cpu_end - cpu) / steps, (unsigned long long)at);
  return 0;
}
