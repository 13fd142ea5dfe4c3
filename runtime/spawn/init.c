/* The container's pid 1: starts the program, forwards signals to it, reaps orphans, and exits with the program's
 * status. Freestanding and static: it runs in any image, from a sealed memfd, so no container can write to it
 * through /proc/1/exe (CVE-2019-5736).
 *
 * argv[1…] is the program. All signals stay blocked and are fetched one by one: no handler, no race. A blocked
 * signal reaches pid 1 although pid 1 has no handler for it.
 */
#include <stddef.h>
#include <stdint.h>

#define SIGCHLD 17
#define SIG_BLOCK 0
#define SIG_SETMASK 2
#define SIGTRAP 5
#define WNOHANG 1
#define WALL 0x40000000
#define STOPPED 0x7f
#define PTRACE_DETACH 17
#define ENOENT 2
#define EACCES 13
#define ENOTDIR 20
#define TIOCSPGRP 0x5410
#define PR_SET_NAME 15

#if defined(__x86_64__)
enum { SYS_write = 1, SYS_rt_sigprocmask = 14, SYS_ioctl = 16, SYS_getpid = 39, SYS_clone = 56, SYS_execve = 59, SYS_wait4 = 61,
       SYS_kill = 62, SYS_ptrace = 101, SYS_setpgid = 109, SYS_rt_sigtimedwait = 128, SYS_prctl = 157, SYS_exit_group = 231 };
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall run\n\tud2\n");

static long call(long nr, long a, long b, long c, long d)
{
    long ret;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = 0;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return ret;
}
#elif defined(__aarch64__)
enum { SYS_ioctl = 29, SYS_write = 64, SYS_exit_group = 94, SYS_ptrace = 117, SYS_kill = 129, SYS_rt_sigprocmask = 135,
       SYS_rt_sigtimedwait = 137, SYS_setpgid = 154, SYS_prctl = 167, SYS_getpid = 172, SYS_clone = 220, SYS_execve = 221,
       SYS_wait4 = 260 };
__asm__(".globl _start\n_start:\n\tmov x29, xzr\n\tmov x30, xzr\n\tmov x0, sp\n\tbl run\n\tbrk #1\n");

static long call(long nr, long a, long b, long c, long d)
{
    register long x8 __asm__("x8") = nr;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = 0;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory", "cc");
    return x0;
}
#else
#error "the init supports x86_64 and aarch64"
#endif

static size_t length(const char *text)
{
    size_t n = 0;
    while (text[n])
        n++;
    return n;
}

static void say(const char *text)
{
    call(SYS_write, 2, (long)text, (long)length(text), 0);
}

static const char *path_of(char **env)
{
    for (; *env; env++)
        if ((*env)[0] == 'P' && (*env)[1] == 'A' && (*env)[2] == 'T' && (*env)[3] == 'H' && (*env)[4] == '=')
            return *env + 5;
    return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/* execvp. Returns the most telling errno: of a file that exists but cannot be run, else ENOENT. */
static long execute(char **argv, char **env)
{
    char file[4096];
    long error = ENOENT;
    for (const char *c = argv[0]; *c; c++)
        if (*c == '/')
            return -call(SYS_execve, (long)argv[0], (long)argv, (long)env, 0);
    const char *from = path_of(env);
    while (1) {
        size_t n = 0;
        for (; *from && *from != ':'; from++)
            if (n < sizeof file - 300)
                file[n++] = *from;
        file[n++] = '/';
        for (const char *c = argv[0]; *c && n < sizeof file - 1; c++)
            file[n++] = *c;
        file[n] = 0;
        long failed = -call(SYS_execve, (long)file, (long)argv, (long)env, 0);
        if (failed != ENOENT && failed != ENOTDIR)
            error = failed;
        if (!*from++)
            return error;
    }
}

static void begin(char **argv, char **env)
{
    static const uint64_t none;
    int group = (int)call(SYS_getpid, 0, 0, 0, 0);
    call(SYS_setpgid, 0, 0, 0, 0);
    /* Become the terminal's foreground group: SIGTTOU is blocked, so this works. It fails without a terminal. */
    call(SYS_ioctl, 0, TIOCSPGRP, (long)&group, 0);
    call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, 8);
    long error = execute(argv, env);
    say("init: cannot execute ");
    say(argv[0]);
    say(error == EACCES ? ": permission denied\n" : error == ENOENT ? ": not found\n" : ": exec failed\n");
    call(SYS_exit_group, error == ENOENT ? 127 : 126, 0, 0, 0);
}

/* Reap all children that have ended. Returns the program's wait status, or -1 while it runs.
 *
 * Threads, too: one that has called PTRACE_TRACEME is traced by us. A dead one keeps its process from ending until
 * it is reaped; a stopped one waits to be detached, with its signal, except for the SIGTRAP of its execve.
 */
static long reap(long program)
{
    long ended = -1;
    while (1) {
        int status = 0;
        long pid = call(SYS_wait4, -1, (long)&status, WNOHANG | WALL, 0);
        if (pid <= 0)
            return ended;
        int number = status >> 8 & 0xff;
        if ((status & 0xff) == STOPPED)
            call(SYS_ptrace, PTRACE_DETACH, pid, 0, number == SIGTRAP ? 0 : number);
        else if (pid == program)
            ended = status;
    }
}

__attribute__((noreturn, used)) void run(long *stack)
{
    static const uint64_t all = ~(uint64_t)0;
    long argc = stack[0];
    char **argv = (char **)(stack + 1);
    char **env = argv + argc + 1;
    if (argc < 2) {
        say("init: no program given\n");
        call(SYS_exit_group, 127, 0, 0, 0);
    }
    call(SYS_prctl, PR_SET_NAME, (long)"init", 0, 0);
    call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, 0, 8);
    long program = call(SYS_clone, SIGCHLD, 0, 0, 0);
    if (program == 0)
        begin(argv + 1, env);
    while (program > 0) {
        long number = call(SYS_rt_sigtimedwait, (long)&all, 0, 0, 8);
        if (number == SIGCHLD) {
            long status = reap(program);
            if (status >= 0)
                call(SYS_exit_group, status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff, 0, 0, 0);
        } else if (number > 0) {
            call(SYS_kill, program, number, 0, 0);
        }
    }
    say("init: cannot start a process\n");
    while (1)
        call(SYS_exit_group, 127, 0, 0, 0);
}
