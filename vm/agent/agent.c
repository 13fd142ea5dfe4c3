/* PID 1 of a guest: /init of the initramfs and then the agent, in one static binary, so that any root
 * file system boots unchanged. It makes the usual mounts, brings the network up, says hello on the
 * virtio-serial port "ninetynine.agent", and runs programs until it gets POWER_OFF.
 * With nn.init it only mounts the root and executes the init there, which is systemd. That starts the agent
 * again, as a unit, to say hello and run programs.
 *
 * Kernel command line: nn.root=/dev/vda  nn.data=/dev/vdb  nn.ip=10.0.0.2/24  nn.gw=10.0.0.1  nn.host=NAME
 *                      nn.init=/sbin/init
 *
 * Protocol (little endian, both ways); vm/framing.py is the other end:
 *   u8 magic 0x99, u8 type, u16 zero, u32 channel, u32 length, then `length` bytes (at most MAX_PAYLOAD)
 * Flow control: either side may send as many bytes of a stream as the other has granted (GRANT); a stream
 * starts with WINDOW. So a program that prints without end or never reads does not block the others.
 *
 * Single-threaded: one poll over the port, SIGCHLD (signalfd) and the programs' pipes.
 * Parts: system.c (the system around it), port.c (frames), programs.c (programs), and here the requests. Only
 * system.c changes the machine, so the rest can be tested on any host.
 * Build: musl-gcc -static -Os *.c (or gcc -static). */
#include "agent.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void pong(uint32_t id) {
    int64_t body[2] = {clock_ns(CLOCK_BOOTTIME), clock_ns(CLOCK_REALTIME)};
    send_frame(T_PONG, id, body, sizeof body);
}

static void wake(uint32_t id, const char *body, size_t length) {
    int64_t now;
    if (length == 8 + ENTROPY) {
        memcpy(&now, body, 8);
        freshen(now, body + 8);
    }
    pong(id);
}

static void handle(enum type type, uint32_t id, char *body, uint32_t length) {
    uint32_t numbers[2] = {0, 0};
    memcpy(numbers, body, length < sizeof numbers ? length : sizeof numbers);
    switch (type) {
    case T_PING: pong(id); break;
    case T_WAKE: wake(id, body, length); break;
    case T_SPAWN: spawn(id, body, length); break;
    case T_STDIN: take_input(id, body, length); break;
    case T_STDIN_END: end_input(id); break;
    case T_KILL: kill_program(id, (int)numbers[0]); break;
    case T_GRANT: grant(id, numbers[0] != 0, numbers[1]); break;
    case T_POWER_OFF: power_off(); break;
    default: dprintf(2, "ninetynine: unknown frame %d\n", type);
    }
}

_Noreturn static void serve(int signals) {
    static struct pollfd polls[2 + 3 * CHANNELS];
    for (;;) {
        polls[0] = (struct pollfd){.fd = port_fd(), .events = port_events()};
        polls[1] = (struct pollfd){.fd = signals, .events = POLLIN};
        nfds_t programs = watch_programs(polls + 2);
        if (poll(polls, 2 + programs, -1) < 0) continue;
        if (polls[0].revents & POLLOUT) flush_port();
        serve_programs(polls + 2, programs);
        if (polls[1].revents) reap(signals);
        if (polls[0].revents & (POLLIN | POLLHUP)) read_port(handle);
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

int main(void) {
    int64_t hello[3] = {0, clock_ns(CLOCK_BOOTTIME), 0};
    int first = getpid() == 1;
    if (first) prepare_kernel();
    open_port();
    if (first) prepare_system();
    int signals = watch_children();
    hello[0] = clock_ns(CLOCK_BOOTTIME);
    hello[2] = clock_ns(CLOCK_REALTIME);
    send_frame(T_HELLO, 0, hello, sizeof hello);
    serve(signals);
}
