/* The guest's agent on a socket (its argument) of an ordinary process: all but system.c, which would change
 * the machine. */
#define main agent_main
#include "agent.c"
#undef main
#include "port.c"
#include <stdlib.h>

void die(const char *what) {
    perror(what);
    exit(3);
}
void prepare_kernel(void) {}
void prepare_system(void) {}
void freshen(int64_t wall_clock_ns, const char *entropy) { (void)wall_clock_ns, (void)entropy; }
void power_off(void) { exit(0); }
int64_t clock_ns(clockid_t which) {
    struct timespec t;
    clock_gettime(which, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv) {
    int64_t hello[3] = {clock_ns(CLOCK_BOOTTIME), 0, clock_ns(CLOCK_REALTIME)};
    if (argc != 2) return 2;
    port = atoi(argv[1]);
    fcntl(port, F_SETFL, O_NONBLOCK);
    fcntl(port, F_SETFD, FD_CLOEXEC);
    int signals = watch_children();
    send_frame(T_HELLO, 0, hello, sizeof hello);
    serve(signals);
}
