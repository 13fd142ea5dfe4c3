/* Frames to and from the host, over the virtio-serial port "ninetynine.agent". */
#include "agent.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OUT_SIZE = 8 * 32768, OUT_RESERVE = 65536 };

static int port = -1;
static char out_buffer[OUT_SIZE];
static size_t out_used;
static char in_buffer[HEADER + MAX_PAYLOAD];
static size_t in_used;

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

void open_port(void) { port = find_port("ninetynine.agent"); }

int port_fd(void) { return port; }

short port_events(void) { return POLLIN | (out_used ? POLLOUT : 0); }

static void put_u32(char *at, uint32_t v) { memcpy(at, &v, 4); }

static void header_at(char *at, enum type type, uint32_t id, uint32_t length) {
    at[0] = (char)MAGIC;
    at[1] = type;
    at[2] = at[3] = 0;
    put_u32(at + 4, id);
    put_u32(at + 8, length);
}

void flush_port(void) {
    while (out_used) {
        ssize_t n = write(port, out_buffer, out_used > 32768 ? 32768 : out_used);
        if (n <= 0) return;
        out_used -= n;
        memmove(out_buffer, out_buffer + n, out_used);
    }
}

/* Stream data leaves OUT_RESERVE free for control frames: those of 64 channels, a few dozen bytes each, fit in
 * it between two flushes. */
char *stream_space(size_t *room) {
    *room = CHUNK;
    if (out_used + HEADER + CHUNK + OUT_RESERVE > OUT_SIZE) return NULL;
    return out_buffer + out_used + HEADER;
}

void send_stream(enum type type, uint32_t id, size_t length) {
    header_at(out_buffer + out_used, type, id, length);
    out_used += HEADER + length;
    flush_port();
}

void send_frame(enum type type, uint32_t id, const void *body, uint32_t length) {
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

static void take_frames(void (*handle)(enum type, uint32_t, char *, uint32_t)) {
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

void read_port(void (*handle)(enum type, uint32_t, char *, uint32_t)) {
    ssize_t n = read(port, in_buffer + in_used, sizeof in_buffer - in_used);
    if (n > 0) {
        in_used += n;
        take_frames(handle);
    } else if (n == 0) {
        usleep(1000);                   /* no host is connected: POLLHUP persists, so do not spin */
    }
}
