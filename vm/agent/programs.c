/* Programs for the host: spawn, feed, relay, signal, reap. Each has a channel with its own flow control. */
#include "agent.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

struct channel {
    int used;
    uint32_t id;
    pid_t pid;                          /* 0 once reaped */
    int status;
    int64_t started, ended;
    int in, out[2];                     /* our ends of stdin, stdout and stderr; -1 when closed */
    uint32_t credit[2];                 /* bytes of stdout and stderr that the host accepts */
    size_t left[2];                     /* once the program ended: bytes of its output still in the pipe */
    int in_end;                         /* close stdin when `pending` has been written */
    uint32_t pending;
    char *input;                        /* WINDOW bytes, allocated with the first stdin byte */
};

static struct channel channels[CHANNELS];
static struct channel *polled[3 * CHANNELS];        /* the channel of each entry of the last watch_programs() */

static void send_failed(uint32_t id, int error) {
    int32_t body = error;
    send_frame(T_FAILED, id, &body, 4);
}

static struct channel *find(uint32_t id) {
    for (int i = 0; i < CHANNELS; i++)
        if (channels[i].used && channels[i].id == id) return &channels[i];
    return NULL;
}

static struct channel *take_slot(uint32_t id) {
    for (int i = 0; i < CHANNELS; i++) {
        if (channels[i].used) continue;
        memset(&channels[i], 0, sizeof channels[i]);
        channels[i] = (struct channel){.used = 1, .id = id, .in = -1, .out = {-1, -1},
                                       .credit = {WINDOW, WINDOW}};
        return &channels[i];
    }
    return NULL;
}

static void shut(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static void free_slot(struct channel *c) {
    shut(&c->in);
    shut(&c->out[0]);
    shut(&c->out[1]);
    free(c->input);
    c->used = 0;
}

static int make_pipes(int pipes[3][2]) {
    for (int i = 0; i < 3; i++)
        if (pipe2(pipes[i], O_CLOEXEC)) {
            for (int j = 0; j < i; j++) close(pipes[j][0]), close(pipes[j][1]);
            return -1;
        }
    return 0;
}

static void become(char **argv, char **env, const char *cwd, int pipes[3][2], volatile int *error) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);    /* execve keeps ignored signals */
    setsid();
    if (dup2(pipes[0][0], 0) < 0 || dup2(pipes[1][1], 1) < 0 || dup2(pipes[2][1], 2) < 0 || chdir(cwd)) {
        *error = errno;
        _exit(127);
    }
    environ = env;
    execvp(argv[0], argv);
    *error = errno;
    _exit(127);
}

static void start_program(struct channel *c, char **argv, char **env, const char *cwd) {
    int pipes[3][2];
    volatile int error = 0;
    if (make_pipes(pipes)) {
        send_failed(c->id, errno);
        free_slot(c);
        return;
    }
    char **before = environ;
    c->started = clock_ns(CLOCK_BOOTTIME);
    c->pid = vfork();
    if (!c->pid) become(argv, env, cwd, pipes, &error);
    environ = before;                   /* vfork: the child shares our memory */
    int cause = c->pid < 0 ? errno : error;
    close(pipes[0][0]);
    close(pipes[1][1]);
    close(pipes[2][1]);
    c->in = pipes[0][1];
    c->out[0] = pipes[1][0];
    c->out[1] = pipes[2][0];
    if (cause) {
        if (c->pid > 0) waitpid(c->pid, NULL, 0);
        send_failed(c->id, cause);
        free_slot(c);
        return;
    }
    fcntl(c->in, F_SETFL, O_NONBLOCK);
    fcntl(c->out[0], F_SETFL, O_NONBLOCK);
    fcntl(c->out[1], F_SETFL, O_NONBLOCK);
}

/* Body of SPAWN: u16 argc, u16 envc, then NUL-ended cwd, arguments, environment. */
void spawn(uint32_t id, char *body, size_t length) {
    static char *strings[MAX_PAYLOAD + 4];
    static char *const default_env[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", NULL};
    uint16_t counts[2];
    struct channel *c = find(id) ? NULL : take_slot(id);
    if (!c) {
        send_failed(id, EAGAIN);
        return;
    }
    char *p = body + 4, *end = body + length;
    memcpy(counts, body, length < 4 ? 0 : 4);
    size_t n = 0, wanted = 1 + (size_t)counts[0] + counts[1];
    while (length >= 4 && n < wanted && p < end && memchr(p, 0, end - p)) {
        strings[n + (n > counts[0])] = p;       /* leaves one free place after argv, for its NULL */
        p += strlen(p) + 1;
        n++;
    }
    if (length < 4 || n != wanted || !counts[0]) {
        send_failed(id, EINVAL);
        free_slot(c);
        return;
    }
    strings[1 + counts[0]] = NULL;
    strings[2 + counts[0] + counts[1]] = NULL;
    char **env = counts[1] ? strings + 2 + counts[0] : (char **)default_env;
    start_program(c, strings + 1, env, strings[0]);
}

static void finish(struct channel *c) {
    struct { int32_t code; int32_t zero; int64_t started, ended; } body = {
        .code = WIFEXITED(c->status) ? WEXITSTATUS(c->status) : 128 + WTERMSIG(c->status),
        .started = c->started, .ended = c->ended};
    send_frame(T_EXIT, c->id, &body, sizeof body);
    free_slot(c);
}

/* A program has ended when its first process has, and what it had printed by then was sent. It does not wait for
 * the end of file: a child in the background may hold the pipe open for ever. */
static void mark_ended(struct channel *c, int status) {
    c->pid = 0;
    c->status = status;
    c->ended = clock_ns(CLOCK_BOOTTIME);
    shut(&c->in);
    for (int i = 0; i < 2; i++) {
        int bytes = 0;
        if (c->out[i] >= 0) ioctl(c->out[i], FIONREAD, &bytes);
        c->left[i] = bytes;
        if (!bytes) shut(&c->out[i]);
    }
    if (c->out[0] < 0 && c->out[1] < 0) finish(c);
}

void reap(int signals) {
    struct signalfd_siginfo info;
    int status;
    pid_t pid;
    while (read(signals, &info, sizeof info) == sizeof info);
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)       /* as PID 1: orphans too */
        for (int i = 0; i < CHANNELS; i++)
            if (channels[i].used && channels[i].pid == pid) mark_ended(&channels[i], status);
}

static void relay_output(struct channel *c, int which) {
    size_t room;
    char *at = stream_space(&room);
    if (!at) return;
    if (room > c->credit[which]) room = c->credit[which];
    if (!c->pid && room > c->left[which]) room = c->left[which];
    ssize_t n = read(c->out[which], at, room);
    if (n < 0) return;
    if (n > 0) {
        c->credit[which] -= n;
        if (!c->pid) c->left[which] -= n;
        send_stream(which ? T_STDERR : T_STDOUT, c->id, n);
    }
    if (n == 0 || (!c->pid && !c->left[which])) shut(&c->out[which]);
    if (!c->pid && c->out[0] < 0 && c->out[1] < 0) finish(c);
}

static void feed_input(struct channel *c) {
    ssize_t n = c->pending ? write(c->in, c->input, c->pending) : 0;
    if (n < 0 && errno == EPIPE) {      /* it reads no more: drop its input */
        n = c->pending;
        c->in_end = 1;
    }
    if (n > 0) {
        uint32_t granted = n;
        c->pending -= n;
        memmove(c->input, c->input + n, c->pending);
        send_frame(T_GRANTED, c->id, &granted, 4);
    }
    if (!c->pending && c->in_end) shut(&c->in);
}

void take_input(uint32_t id, const char *body, uint32_t length) {
    struct channel *c = find(id);
    if (!c) return;
    if (c->in < 0) {
        send_frame(T_GRANTED, c->id, &length, 4);
        return;
    }
    if (!c->input) c->input = malloc(WINDOW);
    if (!c->input || c->pending + length > WINDOW) {        /* the host exceeds the window */
        kill(-c->pid, SIGKILL);
        return;
    }
    memcpy(c->input + c->pending, body, length);
    c->pending += length;
    feed_input(c);
}

void end_input(uint32_t id) {
    struct channel *c = find(id);
    if (!c) return;
    c->in_end = 1;
    if (c->in >= 0) feed_input(c);
}

void kill_program(uint32_t id, int signal_number) {
    struct channel *c = find(id);
    if (c && c->pid && kill(-c->pid, signal_number)) kill(c->pid, signal_number);
}

void grant(uint32_t id, int which, uint32_t bytes) {
    struct channel *c = find(id);
    if (c) c->credit[which] += bytes;
}

static nfds_t watch(struct channel *c, struct pollfd *polls, nfds_t n, int may_read) {
    if (c->in >= 0 && c->pending) {
        polled[n] = c;
        polls[n++] = (struct pollfd){.fd = c->in, .events = POLLOUT};
    }
    for (int i = 0; i < 2; i++)
        if (may_read && c->out[i] >= 0 && c->credit[i]) {
            polled[n] = c;
            polls[n++] = (struct pollfd){.fd = c->out[i], .events = POLLIN};
        }
    return n;
}

nfds_t watch_programs(struct pollfd *polls) {
    size_t room;
    int may_read = stream_space(&room) != NULL;
    nfds_t n = 0;
    for (int i = 0; i < CHANNELS; i++)
        if (channels[i].used) n = watch(&channels[i], polls, n, may_read);
    return n;
}

void serve_programs(const struct pollfd *polls, nfds_t count) {
    for (nfds_t i = 0; i < count; i++) {
        struct channel *c = polled[i];
        if (!polls[i].revents || !c->used) continue;
        if (c->in == polls[i].fd) feed_input(c);
        else if (c->out[0] == polls[i].fd) relay_output(c, 0);
        else if (c->out[1] == polls[i].fd) relay_output(c, 1);
    }
}
