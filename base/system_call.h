/*
 * System calls without a C library, for crisp-pause and crisp-exec: system_call() returns the result or the
 * negative errno, and START(fn) is the program's entry, which calls fn(argc, argv) and exits with what it
 * returns. Machines not named here use the libc's syscall(2). Calling conventions: syscall(2), "Architecture
 * calling conventions".
 */
#ifndef BASE_SYSTEM_CALL_H
#define BASE_SYSTEM_CALL_H

#include <asm/unistd.h>

#if defined(__x86_64__)

static inline long system_call5(long nr, long a, long b, long c, long d, long e)
{
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return ret;
}

/* The stack holds argc and argv; it is aligned to 16 before the call (System V ABI, 3.4.1). */
#define START(fn)                                          \
	__asm__(".globl _start\n"                          \
		".type _start, @function\n"                \
		"_start:\n"                                \
		"	xor %ebp, %ebp\n"                        \
		"	mov (%rsp), %rdi\n"                      \
		"	lea 8(%rsp), %rsi\n"                     \
		"	and $-16, %rsp\n"                        \
		"	call " #fn "\n"                    \
		"	mov %eax, %edi\n"                        \
		"	mov $231, %eax\n" /* exit_group */ \
		"	syscall\n")

#elif defined(__aarch64__)

static inline long system_call5(long nr, long a, long b, long c, long d, long e)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return x0;
}

#define START(fn)                                       \
	__asm__(".globl _start\n"                       \
		".type _start, %function\n"             \
		"_start:\n"                             \
		"	mov x29, #0\n"                        \
		"	mov x30, #0\n"                        \
		"	ldr x0, [sp]\n"                       \
		"	add x1, sp, #8\n"                     \
		"	bl " #fn "\n"                   \
		"	mov x8, #94\n" /* exit_group */ \
		"	svc 0\n")

#elif defined(__riscv) && __riscv_xlen == 64

static inline long system_call5(long nr, long a, long b, long c, long d, long e)
{
	register long a7 __asm__("a7") = nr;
	register long a0 __asm__("a0") = a;
	register long a1 __asm__("a1") = b;
	register long a2 __asm__("a2") = c;
	register long a3 __asm__("a3") = d;
	register long a4 __asm__("a4") = e;

	__asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4) : "memory");
	return a0;
}

#define START(fn)                                     \
	__asm__(".globl _start\n"                     \
		".type _start, @function\n"           \
		"_start:\n"                           \
		".option push\n"                      \
		".option norelax\n"                   \
		"	lla gp, __global_pointer$\n"        \
		".option pop\n"                       \
		"	ld a0, 0(sp)\n"                     \
		"	addi a1, sp, 8\n"                   \
		"	call " #fn "\n"               \
		"	li a7, 94\n" /* exit_group */ \
		"	ecall\n")

#else

#include <errno.h>
#include <unistd.h>

static inline long system_call5(long nr, long a, long b, long c, long d, long e)
{
	long ret = syscall(nr, a, b, c, d, e);

	return ret < 0 ? -errno : ret;
}

#define START(fn)                       \
	int main(int argc, char **argv) \
	{                               \
		return fn(argc, argv);  \
	}                               \
	_Static_assert(1, "")

#endif

/* Missing arguments are 0; pointers are cast by the caller with PTR(). */
#define PTR(p) ((long)(p))
#define SYSTEM_CALL_PICK(a1, a2, a3, a4, a5, a6, n, ...) n
#define system_call(...)                                                                          \
	SYSTEM_CALL_PICK(__VA_ARGS__, system_call_5, system_call_4, system_call_3, system_call_2, \
			 system_call_1, system_call_0)                                            \
	(__VA_ARGS__)
#define system_call_0(nr) system_call5((nr), 0, 0, 0, 0, 0)
#define system_call_1(nr, a) system_call5((nr), (a), 0, 0, 0, 0)
#define system_call_2(nr, a, b) system_call5((nr), (a), (b), 0, 0, 0)
#define system_call_3(nr, a, b, c) system_call5((nr), (a), (b), (c), 0, 0)
#define system_call_4(nr, a, b, c, d) system_call5((nr), (a), (b), (c), (d), 0)
#define system_call_5(nr, a, b, c, d, e) system_call5((nr), (a), (b), (c), (d), (e))

#endif
