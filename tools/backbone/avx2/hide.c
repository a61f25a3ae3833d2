// Hides AVX-512 from the program that it is loaded into, so that a processor that has it shows how fast one without it is.
//
// CPUID is made to fault (arch_prctl(2), ARCH_SET_CPUID; the kernel lists it as cpuid_fault in /proc/cpuinfo), and the handler
// answers what the processor answers, less the bits of AVX-512, AMX and AVX-VNNI.

#define _GNU_SOURCE
#include <asm/prctl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define BIT(n) (1u << (n))

static long allow(int yes) { return syscall(SYS_arch_prctl, ARCH_SET_CPUID, yes); }

static void answer(int number, siginfo_t *info, void *context) {
	(void)info;
	greg_t *reg = ((ucontext_t *)context)->uc_mcontext.gregs;
	const unsigned char *code = (const unsigned char *)reg[REG_RIP];
	if (code[0] != 0x0f || code[1] != 0xa2) { // a fault of its own
		signal(number, SIG_DFL);
		return;
	}
	unsigned leaf = reg[REG_RAX], sub = reg[REG_RCX], a, b, c, d;
	allow(1);
	__asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(leaf), "c"(sub));
	allow(0);
	if (leaf == 7 && sub == 0) {
		b &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31)); // F, DQ, IFMA, PF, ER, CD, BW, VL
		c &= ~(BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14));                                 // VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ
		d &= ~(BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25));              // 4VNNIW, 4FMAPS, VP2INTERSECT, AMX, FP16
	}
	if (leaf == 7 && sub == 1)
		a &= ~(BIT(4) | BIT(5)); // AVX-VNNI, AVX512-BF16
	reg[REG_RAX] = a, reg[REG_RBX] = b, reg[REG_RCX] = c, reg[REG_RDX] = d;
	reg[REG_RIP] += 2;
}

__attribute__((constructor)) static void hide(void) {
	struct sigaction act = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_NODEFER};
	if (sigaction(SIGSEGV, &act, NULL) != 0 || allow(0) != 0) {
		perror("hide: this processor or kernel cannot hide AVX-512 (no cpuid_fault)");
		exit(1);
	}
}
