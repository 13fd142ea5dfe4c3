/* Programs that try to hold up whoever started them: `hostile LIFE [ARGUMENT]`. Each says "on" once it is so far.
 *
 * Static, so that it runs in any container; tests/runtime/hostile_program.py builds it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATUS 7 /* that it ends with, where it ends by itself */

static void say(const char *text)
{
    if (write(1, text, strlen(text)) < 0)
        _exit(1);
}

static int fail(const char *what)
{
    perror(what);
    return 1;
}

static int wait_for_ever(void)
{
    say("on\n");
    for (;;)
        pause();
}

static void trace_me(void)
{
    if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
        _exit(fail("PTRACE_TRACEME"));
}

static void *traced_thread(void *unused)
{
    trace_me();
    return unused;
}

static void begin_thread(void *(*work)(void *), pthread_t *thread)
{
    if (pthread_create(thread, NULL, work, NULL))
        _exit(fail("pthread_create"));
}

/* A thread has its parent trace it, and is dead when the program ends. */
static int thread_ends(void)
{
    pthread_t thread;
    begin_thread(traced_thread, &thread);
    pthread_join(thread, NULL);
    say("on\n");
    return STATUS;
}

static int thread_lives(void)
{
    pthread_t thread;
    begin_thread(traced_thread, &thread);
    pthread_join(thread, NULL);
    return wait_for_ever();
}

static void *stopped_thread(void *unused)
{
    trace_me();
    syscall(SYS_tgkill, getpid(), gettid(), SIGWINCH); /* nobody minds it, but a traced thread stops for it */
    return unused;
}

/* A thread stops for its tracer, and the program waits for it. */
static int thread_stops(void)
{
    pthread_t thread;
    begin_thread(stopped_thread, &thread);
    pthread_join(thread, NULL);
    say("on\n");
    return STATUS;
}

/* The program itself stops for its tracer, at a signal and at its execve. */
static int leader_stops(char *program)
{
    trace_me();
    raise(SIGWINCH);
    execl(program, program, "end", NULL);
    return fail(program);
}

static void noted(int number)
{
    (void)number;
    say("term\n");
    _exit(STATUS);
}

/* The program has its parent trace it, and ends at SIGTERM, if that ever arrives. */
static int leader_waits(void)
{
    signal(SIGTERM, noted);
    trace_me();
    return wait_for_ever();
}

/* Not for a pid 1, which may not: the child is its parent's, who does not expect it. */
static int leave_sibling(void)
{
    long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
    if (pid < 0)
        return fail("CLONE_PARENT");
    if (pid == 0)
        _exit(0);
    say("on\n");
    return STATUS;
}

/* A child traces the program, which therefore stops where it would exit. */
static int traced_at_exit(void)
{
    pid_t program = getpid();
    int ready[2];
    if (pipe(ready) < 0)
        return fail("pipe");
    if (fork() == 0) {
        long traced = ptrace(PTRACE_SEIZE, program, 0, PTRACE_O_TRACEEXIT);
        if (write(ready[1], traced < 0 ? "n" : "y", 1) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    char answer;
    if (read(ready[0], &answer, 1) != 1 || answer != 'y')
        return fail("PTRACE_SEIZE");
    return wait_for_ever();
}

/* A tracer that never waits for what it traces: `trace PID`. */
static int trace(const char *pid)
{
    if (ptrace(PTRACE_SEIZE, atoi(pid), 0, 0) < 0)
        return fail("PTRACE_SEIZE");
    return wait_for_ever();
}

static int vfork_stays(void)
{
    say("on\n");
    if (vfork() == 0)
        for (;;)
            pause();
    return STATUS;
}

static int ignore_all(void)
{
    for (int number = 1; number < 65; number++)
        signal(number, SIG_IGN);
    return wait_for_ever();
}

/* As many zombies as there may be. */
static int leave_zombies(void)
{
    for (int n = 0; n < 4096; n++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        if (pid < 0)
            break;
    }
    return wait_for_ever();
}

static int bomb(void)
{
    say("on\n");
    for (;;)
        if (fork() < 0)
            sched_yield();
}

/* A file system at `place` whose server takes every request, and says so, and answers none after the first. */
static int serve(const char *place)
{
    int fd = open("/dev/fuse", O_RDWR);
    if (fd < 0)
        return fail("/dev/fuse");
    char options[64];
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd);
    if (mount("hostile", place, "fuse", 0, options) < 0)
        return fail(place);
    static char request[1 << 17];
    struct fuse_in_header *in = (struct fuse_in_header *)request;
    while (read(fd, request, sizeof request) >= (ssize_t)sizeof *in) {
        if (in->opcode != FUSE_INIT) {
            say("taken\n");
            continue;
        }
        struct {
            struct fuse_out_header out;
            struct fuse_init_out init;
        } answer = {{sizeof answer, 0, in->unique}, {.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION}};
        answer.init.max_write = 4096;
        if (write(fd, &answer, sizeof answer) < 0)
            return fail("answer");
        say("on\n");
    }
    return fail("read /dev/fuse");
}

/* In the kernel for good: a path whose file system does not answer. */
static int touch(const char *path)
{
    struct stat found;
    say("on\n");
    return stat(path, &found) < 0 ? fail(path) : STATUS;
}

/* The same, with a server of its own. */
static int touch_own(const char *place)
{
    int ready[2];
    char line[3];
    if (pipe(ready) < 0)
        return fail("pipe");
    if (fork() == 0) {
        dup2(ready[1], 1);
        _exit(serve(place));
    }
    if (read(ready[0], line, sizeof line) != sizeof line)
        return fail("serve");
    char path[256];
    snprintf(path, sizeof path, "%s/file", place);
    return touch(path);
}

int main(int count, char **words)
{
    const char *life = count > 1 ? words[1] : "", *argument = count > 2 ? words[2] : "";
    struct {
        const char *name;
        int (*live)(void);
    } lives[] = {
        {"thread", thread_ends},    {"thread-lives", thread_lives}, {"thread-stops", thread_stops},
        {"leader", leader_waits},   {"sibling", leave_sibling},     {"traced-at-exit", traced_at_exit},
        {"vfork", vfork_stays},     {"ignore", ignore_all},         {"zombies", leave_zombies},
        {"bomb", bomb},             {"wait", wait_for_ever},
    };
    for (size_t n = 0; n < sizeof lives / sizeof *lives; n++)
        if (!strcmp(life, lives[n].name))
            return lives[n].live();
    if (!strcmp(life, "leader-execs"))
        return leader_stops(words[0]);
    if (!strcmp(life, "end")) {
        say("on\n");
        return STATUS;
    }
    if (!strcmp(life, "trace"))
        return trace(argument);
    if (!strcmp(life, "serve"))
        return serve(argument);
    if (!strcmp(life, "touch"))
        return touch(argument);
    if (!strcmp(life, "touch-own"))
        return touch_own(argument);
    fprintf(stderr, "hostile: no life %s\n", life);
    return 2;
}
