/* The clock of the place it runs in: answers every byte on its standard input with CLOCK_MONOTONIC and a newline.
 *
 *   clock   ->   a line of nanoseconds for each byte, until end of file
 *
 * The host stamps question and answer, so that a guest's clock can be compared with the host's; date and /proc/uptime
 * tell another clock, or hundredths of a second, and take a process for each reading.
 */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(void) {
  char question;
  while (read(0, &question, 1) == 1) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    if (printf("%lld\n", t.tv_sec * 1000000000ll + t.tv_nsec) < 0 || fflush(stdout)) return 1;
  }
  return 0;
}
