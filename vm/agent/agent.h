/* Shared by the parts of the guest's agent. The protocol is described in agent.c. */
#ifndef AGENT_H
#define AGENT_H
#define _GNU_SOURCE
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

enum { MAGIC = 0x99, HEADER = 12, MAX_PAYLOAD = 65536, WINDOW = 262144, CHANNELS = 64 };
enum { ENTROPY = 32 };                  /* bytes of fresh randomness after a restore */
enum { CHUNK = 32768 - HEADER };       /* the port takes at most 32 KiB per write: one frame, one write */

enum type {
    T_PING = 1, T_SPAWN, T_STDIN, T_STDIN_END, T_KILL, T_GRANT, T_POWER_OFF, T_WAKE,
    T_HELLO = 65, T_PONG, T_STDOUT, T_STDERR, T_EXIT, T_FAILED, T_GRANTED,
};

/* system.c: the system around the agent */
void die(const char *what);             /* print it and the errno on the console and, as pid 1, power off */
void prepare_kernel(void);              /* /dev, console, /proc, /sys, command line, modules */
void prepare_system(void);              /* root and data disk, mounts, host name, network; or the root's init */
int64_t clock_ns(clockid_t which);
void freshen(int64_t wall_clock_ns, const char *entropy);            /* ENTROPY bytes */
void power_off(void);

/* port.c: frames to and from the host */
void open_port(void);
short port_events(void);                /* events to poll the port for */
int port_fd(void);
char *stream_space(size_t *room);       /* room for stream data; NULL while the host lags behind */
void send_stream(enum type type, uint32_t id, size_t length);       /* the data in stream_space() */
void send_frame(enum type type, uint32_t id, const void *body, uint32_t length);
void flush_port(void);
void read_port(void (*handle)(enum type type, uint32_t id, char *body, uint32_t length));

/* programs.c: programs that the host runs here */
void spawn(uint32_t id, char *body, size_t length);
void take_input(uint32_t id, const char *body, uint32_t length);
void end_input(uint32_t id);
void kill_program(uint32_t id, int signal_number);
void grant(uint32_t id, int which, uint32_t bytes);
nfds_t watch_programs(struct pollfd *polls);                         /* at most 3 * CHANNELS */
void serve_programs(const struct pollfd *polls, nfds_t count);
void reap(int signals);
#endif
