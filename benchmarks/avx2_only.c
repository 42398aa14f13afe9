/* Hides AVX-512 and everything newer than AVX2 from one process, so that its libraries choose their AVX2 kernels.
 *
 *     cc -O2 -shared -fPIC -o avx2_only.so benchmarks/avx2_only.c
 *     LD_PRELOAD=./avx2_only.so python ...
 *
 * Linux on x86-64 whose processor can fault on the instruction CPUID (`cpuid_fault` in /proc/cpuinfo; arch_prctl(2), ARCH_SET_CPUID).
 * Each CPUID of the process then raises SIGSEGV, and the handler answers with what the processor says, less the hidden bits. Threads inherit
 * it, other programs do not: they load this library anew. Not for a program that takes SIGSEGV for itself, as Python's faulthandler does.
 * What runs is the real processor; its clock and caches stay its own. /proc/cpuinfo is not changed: docs/devices.md says how to. */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef ARCH_SET_CPUID
#define ARCH_SET_CPUID 0x1012
#endif

/* Leaf 7, subleaf 0: AVX-512 F, DQ, IFMA, PF, ER, CD, BW and VL. */
#define EBX_7 ((1u << 16) | (1u << 17) | (1u << 21) | (1u << 26) | (1u << 27) | (1u << 28) | (1u << 30) | (1u << 31))
/* VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ. */
#define ECX_7 ((1u << 1) | (1u << 6) | (1u << 11) | (1u << 12) | (1u << 14))
/* 4VNNIW, 4FMAPS, VP2INTERSECT, AMX-BF16, AVX512-FP16, AMX-TILE, AMX-INT8. */
#define EDX_7 ((1u << 2) | (1u << 3) | (1u << 8) | (1u << 22) | (1u << 23) | (1u << 24) | (1u << 25))
/* Subleaf 1: AVX-VNNI, AVX512-BF16, AMX-FP16, AVX-IFMA; AVX-VNNI-INT8, AVX-NE-CONVERT, AVX-VNNI-INT16, AVX10. */
#define EAX_7_1 ((1u << 4) | (1u << 5) | (1u << 21) | (1u << 23))
#define EDX_7_1 ((1u << 4) | (1u << 5) | (1u << 10) | (1u << 19))

static void answer(unsigned leaf, unsigned subleaf, unsigned out[4]) {
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
    __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
    if (leaf == 7 && subleaf == 0) {
        out[1] &= ~EBX_7;
        out[2] &= ~ECX_7;
        out[3] &= ~EDX_7;
    } else if (leaf == 7 && subleaf == 1) {
        out[0] &= ~EAX_7_1;
        out[3] &= ~EDX_7_1;
    }
}

static struct sigaction before;

static void on_fault(int number, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *code = (const unsigned char *)registers[REG_RIP];
    /* A refused instruction comes from the kernel; any other fault may have left RIP where nothing can be read. */
    if (info->si_code != SI_KERNEL || code[0] != 0x0f || code[1] != 0xa2) {
        /* A real fault: whoever was here first has it, on the instruction's next try. */
        sigaction(number, &before, NULL);
        return;
    }
    unsigned out[4];
    answer((unsigned)registers[REG_RAX], (unsigned)registers[REG_RCX], out);
    registers[REG_RAX] = out[0];
    registers[REG_RBX] = out[1];
    registers[REG_RCX] = out[2];
    registers[REG_RDX] = out[3];
    registers[REG_RIP] += 2;
}

__attribute__((constructor)) static void hide(void) {
    struct sigaction action = {0};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    if (sigaction(SIGSEGV, &action, &before) != 0 || syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0) != 0) {
        fputs("avx2_only: this processor or kernel cannot fault on CPUID (cpuid_fault in /proc/cpuinfo)\n", stderr);
        _exit(1);
    }
}
