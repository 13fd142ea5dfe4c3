/* TCP request and response: one byte there, one byte back, on one connection, over and over.
 *
 *   pingpong serve PORT             answers every connection, one process each, until killed
 *   pingpong ask ADDRESS PORT COUNT  ->   {"count": …, "p50_ns": …, "p99_ns": …, "mean_ns": …}
 *
 * netperf and redis-benchmark measure the same, but tell percentiles in whole microseconds, of which a round trip
 * over a veth has about thirty. The first tenth of the round trips is not counted (connection, ARP, caches).
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int fail(const char *what) {
  perror(what);
  return 1;
}

static long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000l + t.tv_nsec;
}

static void no_delay(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static int serve(int port) {
  int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port)};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&here, sizeof here)) return fail("bind");
  if (listen(listener, 16)) return fail("listen");
  signal(SIGCHLD, SIG_IGN);
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) continue;
    if (fork()) {
      close(fd);
      continue;
    }
    char byte;
    no_delay(fd);
    while (read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1) {
    }
    _exit(0);
  }
}

static int ascending(const void *a, const void *b) {
  long x = *(const long *)a, y = *(const long *)b;
  return (x > y) - (x < y);
}

static int ask(const char *address, int port, long count) {
  struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct timeval patience = {.tv_sec = 10};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (inet_pton(AF_INET, address, &there.sin_addr) != 1) {
    fprintf(stderr, "pingpong: %s is no IPv4 address\n", address);
    return 2;
  }
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (connect(fd, (struct sockaddr *)&there, sizeof there)) return fail("connect");
  no_delay(fd);
  long *taken = calloc(count, sizeof *taken), total = 0;
  if (!taken) return fail("calloc");
  char byte = '1';
  for (long i = -count / 9; i < count; i++) {
    long start = now();
    if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1) return fail("round trip");
    long end = now();
    if (i < 0) continue;
    taken[i] = end - start;
    total += end - start;
  }
  qsort(taken, count, sizeof *taken, ascending);
  printf("{\"count\": %ld, \"p50_ns\": %ld, \"p99_ns\": %ld, \"mean_ns\": %.1f}\n", count, taken[count / 2],
         taken[count * 99 / 100], (double)total / count);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "serve")) return serve(atoi(argv[2]));
  if (argc == 5 && !strcmp(argv[1], "ask") && atol(argv[4]) > 0) return ask(argv[2], atoi(argv[3]), atol(argv[4]));
  fprintf(stderr, "usage: pingpong serve PORT | pingpong ask ADDRESS PORT COUNT\n");
  return 2;
}
