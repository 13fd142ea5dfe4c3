/* pin PROGRAM ARGUMENT…: runs a program on the lowest of the CPUs that it may use.
 *
 * taskset wants the CPU's number, which inside a VM is another one; this is the same command line everywhere. The
 * servers of the remote peer run on the highest CPU of a run, so that a round trip always crosses CPUs (or never,
 * where there is one): left to the scheduler it is either, by chance, and the two differ by a factor of three.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv) {
  cpu_set_t allowed, lowest;
  if (argc < 2) {
    fprintf(stderr, "usage: pin PROGRAM ARGUMENT...\n");
    return 2;
  }
  CPU_ZERO(&lowest);
  if (sched_getaffinity(0, sizeof allowed, &allowed)) {
    perror("pin: sched_getaffinity");
    return 1;
  }
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (CPU_ISSET(cpu, &allowed)) {
      CPU_SET(cpu, &lowest);
      break;
    }
  }
  if (sched_setaffinity(0, sizeof lowest, &lowest)) {
    perror("pin: sched_setaffinity");
    return 1;
  }
  execvp(argv[1], argv + 1);
  perror(argv[1]);
  return 127;
}
