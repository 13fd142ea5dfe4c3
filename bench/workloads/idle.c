/* The main program of an idle instance, the same for every backend: sleeps until SIGTERM or SIGINT, then exits with 0. */
#include <signal.h>
#include <unistd.h>

static void leave(int number) {
  (void)number;
  _exit(0);
}

int main(void) {
  /* As pid 1 of a container it has no default action for signals: without handlers it would only die by SIGKILL. */
  signal(SIGTERM, leave);
  signal(SIGINT, leave);
  signal(SIGCHLD, SIG_IGN); /* orphans of a container come to pid 1: let the kernel reap them */
  for (;;) pause();
}
