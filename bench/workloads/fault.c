/* Page faults: maps anonymous memory, writes one byte to each 4 KiB page, unmaps, again and again.
 *
 *   fault MIB ROUNDS   ->   {"faults": …, "seconds": …, "faults_per_s": …, "faults_per_cpu_s": …}
 *
 * Timed are the first writes only, not the mapping and unmapping. stress-ng's fault stressor works on files and
 * so measures a file system too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { PAGE = 4096 };

static double now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  long mib = argc == 3 ? atol(argv[1]) : 0, rounds = argc == 3 ? atol(argv[2]) : 0;
  if (mib < 1 || rounds < 1) {
    fprintf(stderr, "usage: fault MIB ROUNDS\n");
    return 2;
  }
  size_t bytes = (size_t)mib << 20;
  double seconds = 0, cpu_seconds = 0;
  for (long i = 0; i < rounds; i++) {
    volatile char *buffer = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED) {
      perror("mmap");
      return 1;
    }
    madvise((void *)buffer, bytes, MADV_NOHUGEPAGE);
    double cpu = now(CLOCK_PROCESS_CPUTIME_ID), start = now(CLOCK_MONOTONIC);
    for (size_t at = 0; at < bytes; at += PAGE) buffer[at] = 1;
    seconds += now(CLOCK_MONOTONIC) - start;
    cpu_seconds += now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    munmap((void *)buffer, bytes);
  }
  long faults = (long)(bytes / PAGE) * rounds;
  printf("{\"faults\": %ld, \"seconds\": %.9f, \"faults_per_s\": %.3f, \"faults_per_cpu_s\": %.3f}\n", faults, seconds,
         faults / seconds, faults / cpu_seconds);
  return 0;
}
