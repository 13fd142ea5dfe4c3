/* PID 1 of a guest: /init of the initramfs and then the agent, in one static binary, so that any root
 * file system boots unchanged. It mounts what a normal system has, brings the network up, says hello on
 * the virtio-serial port "ninetynine.agent", and serves programs until it is told to power off.
 *
 * Kernel command line: nn.root=/dev/vda  nn.data=/dev/vdb  nn.ip=10.0.0.2/24  nn.gw=10.0.0.1  nn.host=NAME
 *
 * Wire (little endian), the same both ways; vm/framing.py is the other end:
 *   u8 magic 0x99, u8 type, u16 zero, u32 channel, u32 length, then `length` bytes (at most MAX_PAYLOAD)
 * Flow control: either side may send so many bytes of a stream as the other has granted (GRANT); a stream
 * starts with WINDOW. So no program, however much it prints or however little it reads, blocks the others.
 *
 * Single-threaded: one poll over the port, SIGCHLD (signalfd) and the programs' pipes.
 * Build: musl-gcc -static -Os (or gcc -static). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAGIC = 0x99, HEADER = 12, MAX_PAYLOAD = 65536, WINDOW = 262144, CHANNELS = 64 };
enum { CHUNK = 32768 - HEADER };       /* the port takes at most 32 KiB a write: one frame, one write */
enum { OUT_SIZE = 8 * 32768, OUT_RESERVE = 65536 };

/* linux/random.h, which musl-gcc does not see */
#define ADD_ENTROPY _IOW('R', 0x03, int[2])
#define RESEED _IO('R', 0x07)

enum type {
    T_PING = 1, T_SPAWN, T_STDIN, T_STDIN_END, T_KILL, T_GRANT, T_POWER_OFF, T_WAKE,
    T_HELLO = 65, T_PONG, T_STDOUT, T_STDERR, T_EXIT, T_FAILED, T_GRANTED,
};

struct channel {
    int used;
    uint32_t id;
    pid_t pid;                          /* 0 once reaped */
    int status;
    int64_t started, ended;
    int in, out[2];                     /* our ends of stdin, stdout and stderr; -1 when closed */
    uint32_t credit[2];                 /* bytes of stdout and stderr that the host still takes */
    size_t left[2];                     /* once the program ended: bytes of its output still in the pipe */
    int in_end;                         /* close stdin when `pending` has been written */
    uint32_t pending;
    char *input;                        /* WINDOW bytes, allocated with the first stdin byte */
};

static char cmdline[4096];
static int port = -1;
static struct channel channels[CHANNELS];
static char out_buffer[OUT_SIZE];
static size_t out_used;
static char in_buffer[HEADER + MAX_PAYLOAD];
static size_t in_used;

/* ---- set-up: modules, root, mounts, network --------------------------------------------------------- */

static int64_t clock_ns(clockid_t which) {
    struct timespec t;
    clock_gettime(which, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what) {
    dprintf(2, "ninetynine: %s: %s\n", what, strerror(errno));
    sync();
    reboot(RB_POWER_OFF);
    _exit(1);
}

static char *option(const char *key, char *value, size_t size) {
    char *at = strstr(cmdline, key);
    if (!at) return NULL;
    snprintf(value, size, "%s", at + strlen(key));
    value[strcspn(value, " \n")] = 0;
    return value;
}

static void load_modules(void) {        /* /modules/00-name.ko ... in name order */
    struct dirent **names;
    int n = scandir("/modules", &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char path[300];
        if (names[i]->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/modules/%s", names[i]->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || syscall(SYS_finit_module, fd, "", 0)) dprintf(2, "ninetynine: %s: %s\n", path, strerror(errno));
        close(fd);
    }
}

static int mount_disk(const char *device, const char *where) {
    for (int i = 0; mount(device, where, "ext4", MS_NOATIME, ""); i++) {
        if (i == 2000) return -1;       /* two seconds: the device never came */
        usleep(1000);
    }
    return 0;
}

static void enter_root(const char *device) {
    static const char *moved[] = {"dev", "proc", "sys"};
    if (mount_disk(device, "/root")) die("mount root disk");
    for (int i = 0; i < 3; i++) {
        char to[16];
        snprintf(to, sizeof to, "/root/%s", moved[i]);
        mkdir(to, 0755);
        if (mount(moved[i], to, NULL, MS_MOVE, NULL)) die(to);
    }
    if (chdir("/root") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".")) die("enter root");
}

static void mount_on(const char *type, const char *where, unsigned long flags, const char *data, mode_t mode) {
    mkdir(where, mode);
    if (mount(type, where, type, flags, data)) dprintf(2, "ninetynine: mount %s: %s\n", where, strerror(errno));
}

static void write_if_missing(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) return;
    if (write(fd, text, strlen(text)) < 0) dprintf(2, "ninetynine: %s: %s\n", path, strerror(errno));
    close(fd);
}

static void furnish_root(void) {
    mount_on("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=620,ptmxmode=666", 0755);
    mount_on("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777", 01777);
    mount_on("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755", 0755);
    mkdir("/tmp", 01777);
    chmod("/tmp", 01777);
    symlink("/proc/self/fd", "/dev/fd");
    symlink("/proc/self/fd/0", "/dev/stdin");
    symlink("/proc/self/fd/1", "/dev/stdout");
    symlink("/proc/self/fd/2", "/dev/stderr");
    write_if_missing("/etc/hosts", "127.0.0.1 localhost\n");
}

static void set_address(struct ifreq *r, int s, unsigned long request, in_addr_t address) {
    struct sockaddr_in *a = (void *)&r->ifr_addr;
    memset(a, 0, sizeof *a);
    a->sin_family = AF_INET;
    a->sin_addr.s_addr = address;
    if (ioctl(s, request, r)) dprintf(2, "ninetynine: address of %s: %s\n", r->ifr_name, strerror(errno));
}

static void link_up(int s, const char *name) {
    struct ifreq r = {0};
    strcpy(r.ifr_name, name);
    if (ioctl(s, SIOCGIFFLAGS, &r)) return;
    r.ifr_flags |= IFF_UP;
    ioctl(s, SIOCSIFFLAGS, &r);
}

static void network_up(void) {
    char cidr[64], gateway[64];
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    link_up(s, "lo");
    if (option("nn.ip=", cidr, sizeof cidr) && strchr(cidr, '/')) {
        struct ifreq r = {.ifr_name = "eth0"};
        char *slash = strchr(cidr, '/');
        int bits = atoi(slash + 1);
        *slash = 0;
        set_address(&r, s, SIOCSIFADDR, inet_addr(cidr));
        set_address(&r, s, SIOCSIFNETMASK, htonl(bits ? ~0u << (32 - bits) : 0));
        link_up(s, "eth0");
    }
    if (option("nn.gw=", gateway, sizeof gateway)) {
        struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
        struct sockaddr_in *to = (void *)&route.rt_dst, *via = (void *)&route.rt_gateway;
        struct sockaddr_in *mask = (void *)&route.rt_genmask;
        to->sin_family = via->sin_family = mask->sin_family = AF_INET;
        via->sin_addr.s_addr = inet_addr(gateway);
        if (ioctl(s, SIOCADDRT, &route)) dprintf(2, "ninetynine: default route: %s\n", strerror(errno));
    }
    close(s);
}

static int find_port(const char *wanted) {
    for (int i = 0; i < 5000; i++, usleep(1000)) {
        DIR *d = opendir("/sys/class/virtio-ports");
        for (struct dirent *e; d && (e = readdir(d));) {
            char path[300], name[64] = "";
            snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", e->d_name);
            int fd = open(path, O_RDONLY | O_CLOEXEC);
            if (fd < 0) continue;
            ssize_t n = read(fd, name, sizeof name - 1);
            close(fd);
            if (n <= 0) continue;
            name[strcspn(name, "\n")] = 0;
            if (strcmp(name, wanted)) continue;
            snprintf(path, sizeof path, "/dev/%s", e->d_name);
            fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
            if (fd >= 0) {
                closedir(d);
                return fd;
            }
        }
        if (d) closedir(d);
    }
    errno = ENODEV;
    die("virtio-serial port");
    return -1;
}

static void console_first(void) {       /* the first byte on the console is the host's stamp of our start */
    int fd = open("/dev/console", O_RDWR);
    for (int i = 0; i < 3; i++) dup2(fd, i);
    if (fd > 2) close(fd);
    dprintf(1, "ninetynine: init\n");
}

/* ---- frames out ------------------------------------------------------------------------------------- */

static void put_u32(char *at, uint32_t v) { memcpy(at, &v, 4); }

static void header_at(char *at, enum type type, uint32_t id, uint32_t length) {
    at[0] = (char)MAGIC;
    at[1] = type;
    at[2] = at[3] = 0;
    put_u32(at + 4, id);
    put_u32(at + 8, length);
}

static void flush_port(void) {
    while (out_used) {
        ssize_t n = write(port, out_buffer, out_used > 32768 ? 32768 : out_used);
        if (n <= 0) return;
        out_used -= n;
        memmove(out_buffer, out_buffer + n, out_used);
    }
}

/* Control frames use the room that stream data leaves free (OUT_RESERVE); with 64 channels of at most a few
 * dozen bytes each they cannot outgrow it between two flushes. */
static void send_frame(enum type type, uint32_t id, const void *body, uint32_t length) {
    while (out_used + HEADER + length > OUT_SIZE) {
        struct pollfd p = {.fd = port, .events = POLLOUT};
        poll(&p, 1, 10);
        flush_port();
    }
    header_at(out_buffer + out_used, type, id, length);
    memcpy(out_buffer + out_used + HEADER, body, length);
    out_used += HEADER + length;
    flush_port();
}

static void send_failed(uint32_t id, int error) {
    int32_t body = error;
    send_frame(T_FAILED, id, &body, 4);
}

/* ---- programs --------------------------------------------------------------------------------------- */

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
    signal(SIGPIPE, SIG_DFL);
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
static void spawn(uint32_t id, char *body, size_t length) {
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
        strings[n + (n > counts[0])] = p;       /* one place is left free after argv, for its NULL */
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

/* A program is over when its first process ended and what it had printed by then was sent: a child it left
 * in the background may hold the pipe open for ever, so the end of file is not waited for. */
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

static void reap(int signals) {
    struct signalfd_siginfo info;
    int status;
    pid_t pid;
    while (read(signals, &info, sizeof info) == sizeof info);
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)       /* as PID 1: orphans too */
        for (int i = 0; i < CHANNELS; i++)
            if (channels[i].used && channels[i].pid == pid) mark_ended(&channels[i], status);
}

static void relay_output(struct channel *c, int which) {
    size_t room = CHUNK;
    if (room > c->credit[which]) room = c->credit[which];
    if (!c->pid && room > c->left[which]) room = c->left[which];
    if (out_used + HEADER + room + OUT_RESERVE > OUT_SIZE) return;
    char *at = out_buffer + out_used;
    ssize_t n = read(c->out[which], at + HEADER, room);
    if (n < 0) return;
    if (n > 0) {
        header_at(at, which ? T_STDERR : T_STDOUT, c->id, n);
        out_used += HEADER + n;
        c->credit[which] -= n;
        if (!c->pid) c->left[which] -= n;
        flush_port();
    }
    if (n == 0 || (!c->pid && !c->left[which])) shut(&c->out[which]);
    if (!c->pid && c->out[0] < 0 && c->out[1] < 0) finish(c);
}

static void feed_input(struct channel *c) {
    ssize_t n = c->pending ? write(c->in, c->input, c->pending) : 0;
    if (n < 0 && errno == EPIPE) {      /* it reads no more: swallow what was meant for it */
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

static void take_input(struct channel *c, const char *body, uint32_t length) {
    if (c->in < 0) {
        send_frame(T_GRANTED, c->id, &length, 4);
        return;
    }
    if (!c->input) c->input = malloc(WINDOW);
    if (!c->input || c->pending + length > WINDOW) {        /* a host that breaks the window's promise */
        kill(-c->pid, SIGKILL);
        return;
    }
    memcpy(c->input + c->pending, body, length);
    c->pending += length;
    feed_input(c);
}

/* ---- frames in -------------------------------------------------------------------------------------- */

static void power_off(void) {
    kill(-1, SIGKILL);
    sync();
    umount2("/volume", MNT_DETACH);
    mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
    sync();
    reboot(RB_POWER_OFF);
}

static void pong(uint32_t id) {
    int64_t body[2] = {clock_ns(CLOCK_BOOTTIME), clock_ns(CLOCK_REALTIME)};
    send_frame(T_PONG, id, body, sizeof body);
}

/* After a restore the clock and the random state are those of the save: i64 wall-clock ns + 32 bytes. */
static void wake(uint32_t id, const char *body, size_t length) {
    int64_t now;
    struct { int entropy, size; char bytes[32]; } seed = {256, 32, {0}};
    if (length == 40) {
        memcpy(&now, body, 8);
        memcpy(seed.bytes, body + 8, 32);
        struct timespec t = {now / 1000000000, now % 1000000000};
        clock_settime(CLOCK_REALTIME, &t);
        int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
        if (fd >= 0) {
            ioctl(fd, ADD_ENTROPY, &seed);
            ioctl(fd, RESEED);
            close(fd);
        }
    }
    pong(id);
}

static void handle(enum type type, uint32_t id, char *body, uint32_t length) {
    struct channel *c = find(id);
    int32_t number = 0;
    if (length >= 4) memcpy(&number, body, 4);
    switch (type) {
    case T_PING: pong(id); break;
    case T_WAKE: wake(id, body, length); break;
    case T_SPAWN: spawn(id, body, length); break;
    case T_POWER_OFF: power_off(); break;
    case T_STDIN: if (c) take_input(c, body, length); break;
    case T_STDIN_END:
        if (!c) break;
        c->in_end = 1;
        if (c->in >= 0) feed_input(c);
        break;
    case T_KILL: if (c && c->pid && kill(-c->pid, number)) kill(c->pid, number); break;
    case T_GRANT: if (c && length >= 8) {
            uint32_t which = number != 0, more;
            memcpy(&more, body + 4, 4);
            c->credit[which] += more;
        }
        break;
    default: dprintf(2, "ninetynine: unknown frame %d\n", type);
    }
}

static void take_frames(void) {
    size_t at = 0;
    while (in_used - at >= HEADER) {
        char *frame = in_buffer + at;
        uint32_t id, length;
        memcpy(&id, frame + 4, 4);
        memcpy(&length, frame + 8, 4);
        if ((uint8_t)frame[0] != MAGIC || length > MAX_PAYLOAD) {
            errno = EPROTO;
            die("broken frame from the host");
        }
        if (in_used - at < HEADER + length) break;
        handle(frame[1], id, frame + HEADER, length);
        at += HEADER + length;
    }
    in_used -= at;
    memmove(in_buffer, in_buffer + at, in_used);
}

static void read_port(void) {
    ssize_t n = read(port, in_buffer + in_used, sizeof in_buffer - in_used);
    if (n > 0) {
        in_used += n;
        take_frames();
    } else if (n == 0) {
        usleep(1000);                   /* no host is connected: POLLHUP stays up, so do not spin */
    }
}

/* ---- the loop --------------------------------------------------------------------------------------- */

static nfds_t watch_channel(struct channel *c, struct pollfd *polls, struct channel **owner, nfds_t n) {
    int room = out_used + HEADER + CHUNK + OUT_RESERVE <= OUT_SIZE;
    if (c->in >= 0 && c->pending) {
        owner[n] = c;
        polls[n++] = (struct pollfd){.fd = c->in, .events = POLLOUT};
    }
    for (int i = 0; i < 2; i++)
        if (c->out[i] >= 0 && c->credit[i] && room) {
            owner[n] = c;
            polls[n++] = (struct pollfd){.fd = c->out[i], .events = POLLIN};
        }
    return n;
}

static void serve(int signals) {
    static struct pollfd polls[2 + 3 * CHANNELS];
    static struct channel *owner[2 + 3 * CHANNELS];
    for (;;) {
        nfds_t n = 2;
        polls[0] = (struct pollfd){.fd = port, .events = POLLIN | (out_used ? POLLOUT : 0)};
        polls[1] = (struct pollfd){.fd = signals, .events = POLLIN};
        for (int i = 0; i < CHANNELS; i++)
            if (channels[i].used) n = watch_channel(&channels[i], polls, owner, n);
        if (poll(polls, n, -1) < 0) continue;
        if (polls[0].revents & POLLOUT) flush_port();
        for (nfds_t i = 2; i < n; i++) {
            struct channel *c = owner[i];
            if (!polls[i].revents || !c->used) continue;
            if (c->in == polls[i].fd) feed_input(c);
            else if (c->out[0] == polls[i].fd) relay_output(c, 0);
            else if (c->out[1] == polls[i].fd) relay_output(c, 1);
        }
        if (polls[1].revents) reap(signals);
        if (polls[0].revents & (POLLIN | POLLHUP)) read_port();
    }
}

static int watch_children(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void read_cmdline(void) {
    int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, cmdline, sizeof cmdline - 1) < 0) die("/proc/cmdline");
    close(fd);
}

int main(void) {
    char value[256];
    int64_t hello[3] = {0, clock_ns(CLOCK_BOOTTIME), 0};
    umask(022);
    mount("dev", "/dev", "devtmpfs", 0, "");
    console_first();
    mount("proc", "/proc", "proc", 0, "");
    mount("sys", "/sys", "sysfs", 0, "");
    read_cmdline();
    load_modules();
    port = find_port("ninetynine.agent");
    if (option("nn.host=", value, sizeof value)) sethostname(value, strlen(value));
    if (option("nn.root=", value, sizeof value)) enter_root(value);
    furnish_root();
    if (option("nn.data=", value, sizeof value)) {
        mkdir("/volume", 0755);
        if (mount_disk(value, "/volume")) die("mount data disk");
    }
    network_up();
    int signals = watch_children();
    hello[0] = clock_ns(CLOCK_BOOTTIME);
    hello[2] = clock_ns(CLOCK_REALTIME);
    send_frame(T_HELLO, 0, hello, sizeof hello);
    serve(signals);
}
