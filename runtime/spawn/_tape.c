/* Start a process that walks an array of prepared system calls, from clone3 to execve.
 *
 * All policy (which calls, with which arguments, under which names) is in Python: runtime/spawn/tape.py. This
 * file only starts the process and makes the calls. Between clone3 and execve it uses no Python, no libc, no
 * allocator and no lock, so the child cannot block on a lock that another thread of the parent holds.
 *
 * The child needs its own stack. With CLONE_VM it shares the parent's memory, and on the parent's stack it would
 * overwrite the frame that the parent returns into. That would only work as long as the parent sleeps (vfork)
 * and the compiler spills nothing that the parent reads later. So the tape's buffer has STACK_BYTES more at its
 * end, on which the child enters `child` and never returns. It makes no function calls, gets no signal
 * (CLONE_CLEAR_SIGHAND leaves no handler) and reads no TLS (no stack protector): a few hundred bytes suffice.
 */
#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stddef.h>
#include <stdint.h>

#define STACK_BYTES 4096
#define FAILED_EXIT 127

/* One prepared call: 64 bytes, laid out by tape.py as eight little-endian words. */
struct step {
    int32_t nr;      /* system call number; negative ends the tape */
    uint16_t refs;   /* bit i: arg[i] is the index of an earlier step, whose result is passed */
    uint8_t forgive[2]; /* these errnos count as success with result 0 (EEXIST of a mkdir, say) */
    uint64_t arg[6];
    int64_t ret; /* written by the walker; the parent can read it, as the memory is shared */
};
_Static_assert(sizeof(struct step) == 64, "tape.py packs steps of eight words");

/* The kernel's struct clone_args up to `cgroup` (Linux 5.7); copied, since old headers lack fields. */
struct clone_request {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

#define SYS_CLONE3 435

#if defined(__x86_64__)

#define SYS_EXIT_GROUP 231

static inline __attribute__((always_inline)) long raw_call(long nr, const uint64_t a[6])
{
    long ret;
    register uint64_t r10 __asm__("r10") = a[3];
    register uint64_t r8 __asm__("r8") = a[4];
    register uint64_t r9 __asm__("r9") = a[5];
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}

/* A system call preserves rdx and r8. The child continues behind the same `syscall`, with rax = 0 and its own stack. */
static long clone_into(struct clone_request *request, struct step *tape, void (*child)(struct step *))
{
    long ret;
    register void (*entry)(struct step *) __asm__("r8") = child;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %%rdx, %%rdi\n\t"
                     "call *%%r8\n\t"
                     "ud2\n"
                     "1:"
                     : "=a"(ret)
                     : "a"(SYS_CLONE3), "D"(request), "S"(sizeof *request), "d"(tape), "r"(entry)
                     : "rcx", "r11", "memory", "cc");
    return ret;
}

#elif defined(__aarch64__)

#define SYS_EXIT_GROUP 94

static inline __attribute__((always_inline)) long raw_call(long nr, const uint64_t a[6])
{
    register uint64_t x8 __asm__("x8") = (uint64_t)nr;
    register uint64_t x0 __asm__("x0") = a[0];
    register uint64_t x1 __asm__("x1") = a[1];
    register uint64_t x2 __asm__("x2") = a[2];
    register uint64_t x3 __asm__("x3") = a[3];
    register uint64_t x4 __asm__("x4") = a[4];
    register uint64_t x5 __asm__("x5") = a[5];
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory", "cc");
    return (long)x0;
}

/* A system call changes only x0. The child continues behind the same `svc`, with x0 = 0 and its own stack. */
static long clone_into(struct clone_request *request, struct step *tape, void (*child)(struct step *))
{
    register uint64_t x8 __asm__("x8") = SYS_CLONE3;
    register uint64_t x0 __asm__("x0") = (uint64_t)request;
    register uint64_t x1 __asm__("x1") = sizeof *request;
    register struct step *x2 __asm__("x2") = tape;
    register void (*x3)(struct step *) __asm__("x3") = child;
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, xzr\n\t"
                     "mov x30, xzr\n\t"
                     "mov x0, x2\n\t"
                     "blr x3\n\t"
                     "brk #1\n"
                     "1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3)
                     : "x30", "memory", "cc");
    return (long)x0;
}

#else
#error "runtime.spawn._tape supports x86_64 and aarch64"
#endif

/* Walk until a call fails or the tape ends. Return the index of the step where it stopped. */
static inline __attribute__((always_inline)) long walk(struct step *tape)
{
    struct step *s = tape;
    for (; s->nr >= 0; s++) {
        uint64_t a[6];
        for (int i = 0; i < 6; i++)
            a[i] = (s->refs >> i & 1) ? (uint64_t)tape[s->arg[i]].ret : s->arg[i];
        long ret = raw_call(s->nr, a);
        if (ret < 0 && (ret == -(long)s->forgive[0] || ret == -(long)s->forgive[1]))
            ret = 0;
        s->ret = ret;
        if (ret < 0)
            break;
    }
    return s - tape;
}

/* The child: walks the tape, whose execve does not return; exits if a step fails. Entered on its own stack. */
__attribute__((noinline, noreturn)) static void child(struct step *tape)
{
    static const uint64_t failed[6] = {FAILED_EXIT};
    walk(tape);
    for (;;)
        raw_call(SYS_EXIT_GROUP, failed);
}

/* Return the number of steps in a buffer; -1 with an exception set if it is not a tape. */
static Py_ssize_t steps_of(const Py_buffer *buffer, size_t extra)
{
    size_t size = (size_t)buffer->len;
    if (size < extra + sizeof(struct step) || (size - extra) % sizeof(struct step)
        || (uintptr_t)buffer->buf % sizeof(uint64_t)) {
        PyErr_SetString(PyExc_ValueError, "not a tape: wrong size or alignment");
        return -1;
    }
    Py_ssize_t count = (Py_ssize_t)((size - extra) / sizeof(struct step));
    if (((struct step *)buffer->buf)[count - 1].nr >= 0) {
        PyErr_SetString(PyExc_ValueError, "not a tape: the last step is not an end mark");
        return -1;
    }
    return count;
}

PyDoc_STRVAR(spawn_doc,
             "spawn(tape, flags, cgroup_fd, release_gil) -> (pid or -errno, pidfd)\n\n"
             "clone3 with `flags`; the child walks `tape` (a writable buffer: steps, an end mark, STACK_BYTES).\n"
             "With CLONE_VFORK it returns when the child has exec'ed or died. The buffer and everything it points to\n"
             "must live until then. release_gil: let other threads run meanwhile; if false, the caller need not wait\n"
             "for the GIL behind a busy thread, but a step that hangs stops the whole interpreter.");

static PyObject *tape_spawn(PyObject *module, PyObject *args)
{
    Py_buffer buffer;
    unsigned long long flags;
    int cgroup_fd, release_gil, pidfd = -1;
    (void)module;
    if (!PyArg_ParseTuple(args, "w*Kip:spawn", &buffer, &flags, &cgroup_fd, &release_gil))
        return NULL;
    if (steps_of(&buffer, STACK_BYTES) < 0) {
        PyBuffer_Release(&buffer);
        return NULL;
    }
    uintptr_t stack = (uintptr_t)buffer.buf + (uintptr_t)buffer.len - STACK_BYTES;
    uintptr_t top = (stack + STACK_BYTES) & ~(uintptr_t)15; /* both machines want 16 at a call */
    struct clone_request request = {
        .flags = flags,
        .pidfd = (uintptr_t)&pidfd,
        .exit_signal = 17, /* SIGCHLD */
        .stack = stack,
        .stack_size = top - stack,
        .cgroup = cgroup_fd < 0 ? 0 : (uint64_t)cgroup_fd,
    };
    PyThreadState *saved = release_gil ? PyEval_SaveThread() : NULL;
    long pid = clone_into(&request, buffer.buf, child);
    if (saved)
        PyEval_RestoreThread(saved);
    PyBuffer_Release(&buffer);
    return Py_BuildValue("(li)", pid, pidfd);
}

PyDoc_STRVAR(walk_doc,
             "walk(tape) -> index of the step where it stopped\n\n"
             "Make the calls of `tape` (steps and an end mark) in the calling thread, with the GIL released.");

static PyObject *tape_walk(PyObject *module, PyObject *arg)
{
    Py_buffer buffer;
    (void)module;
    if (PyObject_GetBuffer(arg, &buffer, PyBUF_WRITABLE) < 0)
        return NULL;
    if (steps_of(&buffer, 0) < 0) {
        PyBuffer_Release(&buffer);
        return NULL;
    }
    long index;
    Py_BEGIN_ALLOW_THREADS
    index = walk(buffer.buf);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&buffer);
    return PyLong_FromLong(index);
}

PyDoc_STRVAR(address_doc,
             "address(buffer) -> int\n\n"
             "The address of the bytes of `buffer`, valid while the object lives and is not resized.");

static PyObject *tape_address(PyObject *module, PyObject *arg)
{
    Py_buffer buffer;
    (void)module;
    if (PyObject_GetBuffer(arg, &buffer, PyBUF_SIMPLE) < 0)
        return NULL;
    uintptr_t where = (uintptr_t)buffer.buf;
    PyBuffer_Release(&buffer);
    return PyLong_FromUnsignedLongLong(where);
}

static PyMethodDef methods[] = {
    {"spawn", tape_spawn, METH_VARARGS, spawn_doc},
    {"walk", tape_walk, METH_O, walk_doc},
    {"address", tape_address, METH_O, address_doc},
    {NULL, NULL, 0, NULL},
};

static int module_exec(PyObject *module)
{
    return PyModule_AddIntConstant(module, "STACK_BYTES", STACK_BYTES);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "runtime.spawn._tape",
    .m_doc = "Start a process and walk a tape of system calls in it; see tape.py.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__tape(void)
{
    return PyModuleDef_Init(&definition);
}
