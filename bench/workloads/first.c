/* cc: -nostdlib -static -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables
 *
 * The smallest program that shows it runs: writes one byte, "1", to its standard output and exits with 0.
 * No libc, so that "request to first instruction" holds nothing of a libc's start.
 */

static long call3(long nr, long a, long b, long c) {
#if defined(__x86_64__)
  long ret;
  __asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return ret;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = nr, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
  return x0;
#else
#error "first.c knows the system call convention of x86-64 and aarch64 only"
#endif
}

#if defined(__x86_64__)
enum { NR_WRITE = 1, NR_EXIT_GROUP = 231 };
#else
enum { NR_WRITE = 64, NR_EXIT_GROUP = 94 };
#endif

__attribute__((noreturn)) void _start(void) {
  static const char byte = '1';
  call3(NR_WRITE, 1, (long)&byte, 1);
  for (;;) call3(NR_EXIT_GROUP, 0, 0, 0);
}
