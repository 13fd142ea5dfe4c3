/* The program `nn`: it does `nn run --rm` with the flags of FLAGS itself and leaves everything else to Python.
 *
 * Python takes longer to start than a container. So this program sends the request (POST /nn/run, described in
 * run_exchange.py) and shows the answer. It leaves a command to Python, from the beginning, when anything is
 * unusual: other flags or forms of them, a terminal, standard input, an address other than a unix socket,
 * contexts, texts that are not ASCII, and a refusal, after which Python pulls the image or prints the error. A
 * refused request has run nothing and with --rm leaves nothing, so Python can send it again.
 *
 * tests/runtime/cli/start/test_nn_without_python.py holds requests, output and statuses to those of the Python
 * client.
 * setup.py writes launcher.h: LAUNCHER, a program for Python, and PYTHON, the interpreter of the build. That one
 * is used only when none is beside this program: a build's interpreter may be gone after the build. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "launcher.h"

#define DEFAULT_SOCKET "/run/ninetynine/nnd.sock"
#define OUR_FAILURE 125
#define READER_LEFT 141
enum { MOST_GIVEN = 256, MOST_REQUEST = 1 << 16, MOST_HEAD = 256, PIECE = 1 << 16, HEAD = 8 };

/* ---- flags whose value is copied unchanged into the body of POST /containers/create --------------------- */

enum kind { BOOL, TEXT, MANY, NUMBER };
enum place { ASKED, CONFIG, HOST };
struct flag { const char *name; char letter; enum kind kind; enum place place; const char *key; };
static const struct flag FLAGS[] = {
    {"rm", 0, BOOL, HOST, "AutoRemove"},
    {"init", 0, BOOL, HOST, "Init"},
    {"privileged", 0, BOOL, HOST, "Privileged"},
    {"read-only", 0, BOOL, HOST, "ReadonlyRootfs"},
    {"name", 0, TEXT, ASKED, "Name"},
    {"hostname", 'h', TEXT, CONFIG, "Hostname"},
    {"user", 'u', TEXT, CONFIG, "User"},
    {"workdir", 'w', TEXT, CONFIG, "WorkingDir"},
    {"env", 'e', MANY, CONFIG, "Env"},
    {"network", 0, TEXT, HOST, "NetworkMode"},
    {"cpuset-cpus", 0, TEXT, HOST, "CpusetCpus"},
    {"cpu-shares", 'c', NUMBER, HOST, "CpuShares"},
    {"pids-limit", 0, NUMBER, HOST, "PidsLimit"},
    {"cap-add", 0, MANY, HOST, "CapAdd"},
    {"cap-drop", 0, MANY, HOST, "CapDrop"},
};
enum { FLAG_COUNT = sizeof FLAGS / sizeof *FLAGS };

static struct { const struct flag *flag; const char *value; } given[MOST_GIVEN];
static int given_count;
static char **words; /* image, command */
static const char *asked_host;

static const struct flag *find_flag(const char *word, size_t length)
{
    for (int i = 0; i < FLAG_COUNT; i++) {
        if (word[1] != '-' && length == 2 && FLAGS[i].letter == word[1])
            return &FLAGS[i];
        if (word[1] == '-' && strlen(FLAGS[i].name) == length - 2 &&
            !strncmp(FLAGS[i].name, word + 2, length - 2))
            return &FLAGS[i];
    }
    return NULL;
}

static int was_given(const struct flag *flag)
{
    int times = 0;
    for (int i = 0; i < given_count; i++)
        times += given[i].flag == flag;
    return times;
}

/* Whether the value means the same here as in Python. */
static int is_plain(const struct flag *flag, const char *value)
{
    size_t length = strlen(value);
    if (flag->kind != MANY && was_given(flag))
        return 0;
    if (flag->kind == NUMBER)
        return length && length < 10 && strspn(value, "0123456789") == length && (*value != '0' || length == 1);
    if (!strcmp(flag->name, "network"))
        return length && !strchr(value, '=');
    if (!strcmp(flag->name, "env"))
        return strchr(value, '=') > value;
    return length > 0;
}

/* Parse all words; false leaves them to Python. */
static int understand(char **argv)
{
    if (*argv && argv[1] && (!strcmp(*argv, "-H") || !strcmp(*argv, "--host"))) {
        asked_host = argv[1];
        argv += 2;
    }
    if (!*argv || strcmp(*argv++, "run"))
        return 0;
    for (; *argv && **argv == '-'; argv++) {
        size_t length = strcspn(*argv, "=");
        const struct flag *flag = find_flag(*argv, length);
        const char *value = "";
        if (!flag || given_count == MOST_GIVEN)
            return 0;
        if (flag->kind == BOOL ? (*argv)[length] != 0 : (*argv)[length] && (*argv)[1] != '-')
            return 0;
        if (flag->kind != BOOL) {
            value = (*argv)[length] ? *argv + length + 1 : argv[1];
            if (!value || !is_plain(flag, value))
                return 0;
            argv += !(*argv)[length];
        }
        given[given_count].flag = flag;
        given[given_count++].value = value;
    }
    words = argv;
    return *argv && was_given(&FLAGS[0]);
}

/* ---- the request ------------------------------------------------------------------------------------- */

static char request[MOST_REQUEST + MOST_HEAD];
static size_t size;
static int strange; /* too long, or has a character that is left to Python */

static void put(const char *text)
{
    size_t length = strlen(text);
    if (size + length >= MOST_REQUEST) {
        strange = 1;
        return;
    }
    memcpy(request + size, text, length + 1);
    size += length;
}

static void put_quoted(const char *text)
{
    put("\"");
    for (; *text; text++) {
        char letter[3] = {*text == '"' || *text == '\\' ? '\\' : *text, *text, 0};
        if (*text < ' ' || *text > '~')
            strange = 1;
        put(letter + (letter[0] != '\\'));
    }
    put("\"");
}

static void put_values(const struct flag *flag)
{
    int count = 0;
    put_quoted(flag->key);
    put(flag->kind == MANY ? ":[" : ":");
    for (int i = 0; i < given_count; i++) {
        if (given[i].flag != flag)
            continue;
        put(count++ && flag->kind == MANY ? "," : "");
        if (flag->kind == NUMBER)
            put(given[i].value);
        else if (flag->kind != BOOL)
            put_quoted(given[i].value);
        else if (count == 1)
            put("true");
    }
    put(flag->kind == MANY ? "]" : "");
}

/* The flags of one place, each followed by a comma. */
static void put_flags(enum place place)
{
    for (int i = 0; i < FLAG_COUNT; i++)
        if (FLAGS[i].place == place && was_given(&FLAGS[i])) {
            put_values(&FLAGS[i]);
            put(",");
        }
}

/* Write the body; false leaves the command to Python. */
static int compose(void)
{
    put("{");
    put_flags(ASKED);
    put("\"Create\":{\"Image\":");
    put_quoted(words[0]);
    for (int i = 1; words[i]; i++) {
        put(i == 1 ? ",\"Cmd\":[" : ",");
        put_quoted(words[i]);
    }
    put(words[1] ? "]," : ",");
    put("\"AttachStdout\":true,\"AttachStderr\":true,");
    put_flags(CONFIG);
    put("\"HostConfig\":{");
    put_flags(HOST);
    size -= !strange; /* the last comma: --rm was there */
    put("}}}");
    return !strange;
}

/* ---- the daemon ---------------------------------------------------------------------------------------- */

static const char *environment(const char *name, const char *other)
{
    const char *value = getenv(name);
    if (!value || !*value)
        value = getenv(other);
    return value && *value ? value : NULL;
}

/* The daemon's socket; NULL when Python has to find it. */
static const char *find_socket(void)
{
    char current[4096];
    const char *base = environment("NN_CONFIG", "NN_CONFIG"), *host = asked_host;
    if (environment("DOCKER_API_VERSION", "DOCKER_API_VERSION"))
        return NULL;
    if (!host)
        host = environment("NN_HOST", "DOCKER_HOST");
    if (host)
        return strncmp(host, "unix:///", 8) ? NULL : host + 7;
    if (environment("NN_CONTEXT", "DOCKER_CONTEXT"))
        return NULL;
    if (base)
        snprintf(current, sizeof current, "%s/current", base);
    else if ((base = environment("XDG_CONFIG_HOME", "XDG_CONFIG_HOME")))
        snprintf(current, sizeof current, "%s/ninetynine/current", base);
    else
        snprintf(current, sizeof current, "%s/.config/ninetynine/current",
                 (base = environment("HOME", "HOME")) ? base : "/root");
    return access(current, F_OK) && errno == ENOENT ? DEFAULT_SOCKET : NULL;
}

static int reach(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = find_socket();
    if (!path || strlen(path) >= sizeof address.sun_path)
        return -1;
    strcpy(address.sun_path, path);
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return sock >= 0 && connect(sock, (struct sockaddr *)&address, sizeof address) ? -1 : sock;
}

static _Noreturn void fail(int status, const char *text)
{
    dprintf(2, "nn: %s\n", text);
    _exit(status);
}

static int send_all(int sock, const char *data, size_t left)
{
    while (left) {
        ssize_t sent = send(sock, data, left, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            return 0;
        data += sent > 0 ? sent : 0;
        left -= sent > 0 ? (size_t)sent : 0;
    }
    return 1;
}

static char piece[PIECE + 1];
static size_t received; /* of the stream, at the start of `piece` */

/* Send the request; true when the program runs, false when the daemon refused. */
static int ask(int sock)
{
    char head[MOST_HEAD], *end;
    int length = snprintf(head, sizeof head,
                          "POST /nn/run HTTP/1.1\r\nHost: localhost\r\nUser-Agent: nn\r\nConnection: Upgrade\r\n"
                          "Upgrade: nn-run\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", size);
    memmove(request + length, request, size);
    memcpy(request, head, length);
    send_all(sock, request, size + length); /* on failure too: the daemon may have sent the reason before it closed */
    while (!(end = strstr(piece, "\r\n\r\n"))) {
        ssize_t got = received < PIECE ? recv(sock, piece + received, PIECE - received, 0) : 0;
        if (got <= 0 && !(got < 0 && errno == EINTR))
            fail(1, "read the daemon's answer: the connection ended before it; see the daemon's log");
        received += got > 0 ? got : 0;
        piece[received] = 0;
    }
    if (strncmp(piece, "HTTP/1.1 101", 12))
        return 0;
    received -= end + 4 - piece;
    memmove(piece, end + 4, received);
    return 1;
}

/* ---- the program's life ---------------------------------------------------------------------------------- */

/* Take the signals to pass on: all but those about this process and job control. */
static int take_signals(void)
{
    static const int KEPT[] = {SIGKILL, SIGCHLD, SIGPIPE, SIGURG, SIGWINCH, SIGSTOP, SIGTSTP,
                               SIGTTIN, SIGTTOU, SIGCONT, 32, 33};
    uint64_t mask = ~0ULL;
    for (size_t i = 0; i < sizeof KEPT / sizeof *KEPT; i++)
        mask &= ~(1ULL << (KEPT[i] - 1));
    signal(SIGPIPE, SIG_IGN);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask); /* libc's wrapper hides signals 32 and 33 */
    return syscall(SYS_signalfd4, -1, &mask, sizeof mask, SOCK_CLOEXEC);
}

static void pass_signal(int signals, int sock)
{
    char info[128], frame[HEAD + 1] = {5, 0, 0, 0, 0, 0, 0, 1};
    if (read(signals, info, sizeof info) == sizeof info) {
        frame[HEAD] = info[0]; /* ssi_signo, little-endian */
        send_all(sock, frame, sizeof frame);
    }
}

static void show(int fd, const char *data, size_t left)
{
    while (left) {
        ssize_t written = write(fd, data, left);
        if (written < 0 && errno == EPIPE)
            _exit(READER_LEFT);
        if (written < 0 && errno == EAGAIN)
            poll(&(struct pollfd){fd, POLLOUT, 0}, 1, -1);
        else if (written < 0 && errno != EINTR)
            fail(OUR_FAILURE, strerror(errno));
        data += written > 0 ? written : 0;
        left -= written > 0 ? (size_t)written : 0;
    }
}

/* The end: {"StatusCode":N,"Error":"…"}. */
static _Noreturn void end(char *text)
{
    char *code = strstr(text, "\"StatusCode\":"), *error = strstr(text, "\"Error\":"), *to = text;
    int status = code ? atoi(code + 13) : OUR_FAILURE;
    error = error ? strchr(error + 8, '"') : NULL;
    if (!error || error[1] == '"')
        _exit(status);
    for (error++; *error && *error != '"'; error++) /* \uXXXX stays as it is */
        *to++ = *error == '\\' && error[1] && error[1] != 'u' ? (*++error == 'n' ? '\n' : *error) : *error;
    *to = 0;
    fail(status ? status : OUR_FAILURE, text);
}

/* Split the frames as they come; does not return after the end. */
static void take(const char *data, size_t length)
{
    static unsigned char head[HEAD];
    static char last[4096];
    static size_t head_size, left, last_size;
    while (length) {
        if (head_size < HEAD) {
            head[head_size++] = *data++;
            length--;
            if (head_size == HEAD)
                left = (size_t)head[4] << 24 | head[5] << 16 | head[6] << 8 | head[7];
        }
        size_t now = left < length ? left : length;
        if (head_size < HEAD)
            continue;
        if (head[0] == 1 || head[0] == 2)
            show(head[0], data, now);
        for (size_t i = 0; head[0] == 4 && i < now && last_size < sizeof last - 1; i++)
            last[last_size++] = data[i];
        data += now;
        length -= now;
        left -= now;
        if (!left && head[0] == 4)
            end(last);
        if (!left)
            head_size = 0;
    }
}

static _Noreturn void serve(int sock)
{
    int signals = take_signals();
    struct pollfd waits[] = {{sock, POLLIN, 0}, {signals, POLLIN, 0}};
    take(piece, received);
    for (;;) {
        if (poll(waits, 2, -1) < 0)
            continue;
        if (waits[1].revents)
            pass_signal(signals, sock);
        if (!waits[0].revents)
            continue;
        ssize_t got = recv(sock, piece, PIECE, 0);
        if (got <= 0)
            fail(1, "the daemon's connection ended before the program did; see `nn ps -a` and the daemon's log");
        take(piece, got);
    }
}

static char *interpreter(void)
{
    static char beside[4096];
    ssize_t length = readlink("/proc/self/exe", beside, sizeof beside - sizeof "python3");
    while (length > 0 && beside[length - 1] != '/')
        length--;
    if (length <= 0)
        return PYTHON;
    strcpy(beside + length, "python3");
    return access(beside, X_OK) ? PYTHON : beside;
}

static _Noreturn void python(int argc, char **argv)
{
    char **line = calloc(argc + 4, sizeof *line);
    char *start[] = {interpreter(), "-SEI", "-c", LAUNCHER};
    if (line) {
        memcpy(line, start, sizeof start);
        memcpy(line + 4, argv + 1, argc * sizeof *line); /* with the NULL at its end */
        execv(*start, line);
    }
    dprintf(2, "nn: start %s: %s; install ninetynine again\n", *start, strerror(errno));
    _exit(OUR_FAILURE);
}

int main(int argc, char **argv)
{
    int sock;
    while ((sock = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0 && sock <= 2)
        fcntl(sock, F_SETFD, 0); /* standard streams that were closed: no other file may get their numbers */
    close(sock);
    if (argc && understand(argv + 1) && compose() && (sock = reach()) >= 0 && ask(sock))
        serve(sock);
    python(argc, argv);
}
