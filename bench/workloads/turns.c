/* turns START SLOT INDEX COUNT PROGRAM ARGUMENT…: lets a program run in every COUNT-th slot of time only.
 *
 * COUNT programs, one in each arm, share one CPU by turns of SLOT nanoseconds from START on (CLOCK_MONOTONIC), each
 * stopped while another runs: in cycle after cycle, each in a random order that all draw alike from START, so that
 * nothing periodic always meets the same one. None has two turns in a row: with its caches still warm it would be
 * faster than the others by 0.4 %. What disturbs the machine for more than some turns then disturbs all of them alike.
 * The program runs on the lowest CPU that it may use and is stopped from the highest, whose timers nobody delays.
 *
 * Prints a line at the end: {"cpu_ns": …, "on_ns": …, "turns": …}: the CPU time that the kernel counted for the
 * program, from its execve to its end; the time that it was allowed to run; and how many turns it took.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
enum { LATE_S = 5, MOST = 10000 };

static long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * SECOND + t.tv_nsec;
}

static struct timespec timespec_of(long long ns) {
  struct timespec t = {ns / SECOND, ns % SECOND};
  return t;
}

static void sleep_until(long long ns) {
  struct timespec t = timespec_of(ns);
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) continue;
}

static void run_on(int highest) {
  cpu_set_t allowed, one;
  CPU_ZERO(&one);
  if (sched_getaffinity(0, sizeof allowed, &allowed)) return;
  for (int i = 0; i < CPU_SETSIZE; i++) {
    int cpu = highest ? CPU_SETSIZE - 1 - i : i;
    if (CPU_ISSET(cpu, &allowed)) {
      CPU_SET(cpu, &one);
      break;
    }
  }
  sched_setaffinity(0, sizeof one, &one);
}

static pid_t start(char **argv, const sigset_t *blocked) {
  pid_t keeper = getpid(), child = fork();
  if (child) return child;
  /* A program that is stopped would outlive a killed keeper for ever. */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != keeper) _exit(1);
  setpgid(0, 0);
  run_on(0);
  sigprocmask(SIG_UNBLOCK, blocked, NULL);
  raise(SIGSTOP);
  execvp(argv[0], argv);
  perror(argv[0]);
  _exit(127);
}

/* A signal to a process goes to its first thread, which would have to wait for the CPU that another one is using:
 * stops came a sixth of a millisecond late, in containers only. The thread that runs takes it at once. */
static void stop(pid_t child) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task", child);
  DIR *tasks = opendir(path);
  for (struct dirent *one; tasks && (one = readdir(tasks));)
    if (atoi(one->d_name) > 0) syscall(SYS_tgkill, child, atoi(one->d_name), SIGSTOP);
  if (tasks) closedir(tasks);
  kill(-child, SIGSTOP);
}

static void swap(int *order, int a, int b) {
  int one = order[a];
  order[a] = order[b];
  order[b] = one;
}

/* Puts the next cycle's order in place of the one before. */
static void shuffle(int *order, int count, uint64_t *state) {
  int last = order[count - 1];
  for (int i = count - 1; i > 0; i--) {
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    swap(order, i, (int)((*state >> 33) % (i + 1)));
  }
  if (count > 1 && order[0] == last) swap(order, 0, count - 1);
}

static int place_of(const int *order, int index) {
  int place = 0;
  while (order[place] != index) place++;
  return place;
}

int main(int argc, char **argv) {
  long long first = argc > 5 ? atoll(argv[1]) : 0, slot = argc > 5 ? atoll(argv[2]) : 0;
  int index = argc > 5 ? atoi(argv[3]) : -1, count = argc > 5 ? atoi(argv[4]) : 0;
  if (slot < 1 || index < 0 || index >= count || count > MOST) {
    fprintf(stderr, "usage: turns START SLOT INDEX COUNT PROGRAM ARGUMENT...\n");
    return 2;
  }
  long long ahead = first - now();
  if (ahead > LATE_S * SECOND || ahead < -LATE_S * SECOND) {
    fprintf(stderr, "turns: START is %lld ms from now, so this clock is not the one it was read from\n", ahead / 1000000);
    return 3;
  }
  sigset_t ended;
  sigemptyset(&ended);
  sigaddset(&ended, SIGCHLD);
  sigprocmask(SIG_BLOCK, &ended, NULL);
  struct sigaction quiet = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP};
  sigaction(SIGCHLD, &quiet, NULL);
  pid_t child = start(argv + 5, &ended);
  int status;
  if (child < 0 || waitpid(child, &status, WUNTRACED) != child || !WIFSTOPPED(status)) {
    perror("turns: cannot start the program");
    return 1;
  }
  run_on(1);
  struct rusage before, after;
  getrusage(RUSAGE_CHILDREN, &before);
  long long on = 0, turns = 0;
  uint64_t state = first;
  int order[MOST];
  for (int i = 0; i < count; i++) order[i] = i;
  for (long long cycle = 0, over = 0; !over; cycle++) {
    shuffle(order, count, &state);
    long long begin = first + (cycle * count + place_of(order, index)) * slot, end = begin + slot;
    if (now() > end) continue;
    sleep_until(begin);
    long long since = now();
    kill(-child, SIGCONT);
    while (!over && now() < end) {
      struct timespec left = timespec_of(end - now());
      over = sigtimedwait(&ended, NULL, &left) == SIGCHLD;
    }
    if (!over) stop(child);
    on += now() - since;
    turns++;
  }
  waitpid(child, &status, 0);
  getrusage(RUSAGE_CHILDREN, &after);
  long long cpu = (after.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_utime.tv_sec - before.ru_stime.tv_sec) * SECOND +
                  (after.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_utime.tv_usec - before.ru_stime.tv_usec) * 1000LL;
  printf("\n{\"cpu_ns\": %lld, \"on_ns\": %lld, \"turns\": %lld}\n", cpu, on, turns);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
