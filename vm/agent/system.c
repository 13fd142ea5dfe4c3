/* The system around the agent: modules, root, mounts, network. Failures, except of the root and the port, are
 * only printed on the console. */
#include "agent.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* from linux/random.h, which musl-gcc does not find */
#define ADD_ENTROPY _IOW('R', 0x03, int[2])
#define RESEED _IO('R', 0x07)

#define PROGRAM "/run/ninetynine-agent"
#define UNITS "/run/systemd/system"
#define UNIT "ninetynine-agent.service"

enum { SYSTEMD_POWER_OFF = 38 };        /* systemd(1): SIGRTMIN+4, as glibc counts; musl counts one more */

static char cmdline[4096];

int64_t clock_ns(clockid_t which) {
    struct timespec t;
    clock_gettime(which, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

void die(const char *what) {
    dprintf(2, "ninetynine: %s: %s\n", what, strerror(errno));
    if (getpid() != 1) _exit(1);
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
        if (i == 2000) return -1;       /* two seconds: there is no such device */
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

static void console_first(void) {       /* the host takes the first byte on the console for our start time */
    int fd = open("/dev/console", O_RDWR);
    for (int i = 0; i < 3; i++) dup2(fd, i);
    if (fd > 2) close(fd);
    dprintf(1, "ninetynine: init\n");
}

static void read_cmdline(void) {
    int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, cmdline, sizeof cmdline - 1) < 0) die("/proc/cmdline");
    close(fd);
}

void prepare_kernel(void) {
    umask(022);
    mount("dev", "/dev", "devtmpfs", 0, "");
    console_first();
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
    mount("sys", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
    read_cmdline();
    load_modules();
}

static void copy_self(const char *to) {
    int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int copy = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    ssize_t n;
    while ((n = sendfile(copy, self, NULL, 1 << 20)) > 0);
    if (n) die(to);
    close(self);
    close(copy);
}

static void become_init(const char *init) {        /* systemd keeps /run and starts the units there */
    mount_on("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755", 0755);
    copy_self(PROGRAM);
    mkdir("/run/systemd", 0755);
    mkdir(UNITS, 0755);
    mkdir(UNITS "/multi-user.target.wants", 0755);
    write_if_missing(UNITS "/" UNIT, "[Unit]\nDescription=The host's way in\n\n"
                                     "[Service]\nExecStart=" PROGRAM "\nKillMode=process\nTasksMax=infinity\n");
    symlink(UNITS "/" UNIT, UNITS "/multi-user.target.wants/" UNIT);
    execl(init, init, NULL);
    die(init);
}

void prepare_system(void) {
    char value[256];
    if (option("nn.host=", value, sizeof value)) sethostname(value, strlen(value));
    if (option("nn.root=", value, sizeof value)) enter_root(value);
    if (option("nn.data=", value, sizeof value)) {
        mkdir("/volume", 0755);
        if (mount_disk(value, "/volume")) die("mount data disk");
    }
    if (option("nn.init=", value, sizeof value)) become_init(value);
    furnish_root();
    network_up();
}

/* After a restore the clock and the random state are those of the save. */
void freshen(int64_t wall_clock_ns, const char *entropy) {
    struct { int bits, size; char bytes[ENTROPY]; } seed = {8 * ENTROPY, ENTROPY, {0}};
    struct timespec t = {wall_clock_ns / 1000000000, wall_clock_ns % 1000000000};
    memcpy(seed.bytes, entropy, ENTROPY);
    clock_settime(CLOCK_REALTIME, &t);
    int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    ioctl(fd, ADD_ENTROPY, &seed);
    ioctl(fd, RESEED);
    close(fd);
}

void power_off(void) {
    if (getpid() != 1) {
        kill(1, SYSTEMD_POWER_OFF);
        return;
    }
    kill(-1, SIGKILL);
    sync();
    umount2("/volume", MNT_DETACH);
    mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
    sync();
    reboot(RB_POWER_OFF);
}
