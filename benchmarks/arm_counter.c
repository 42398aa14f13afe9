/* A plugin of qemu's user emulator: counts what a process executes, and what it would miss in caches of two levels.
 *
 *   cc -O2 -shared -fPIC -I QEMU/include/qemu $(pkg-config --cflags glib-2.0) -o arm_counter.so benchmarks/arm_counter.c
 *   qemu-aarch64 -plugin ./arm_counter.so,l1=32768,ways1=2,l2=1048576,ways2=16 ...        (docs/devices.md)
 *
 * At the end of each process, forks too, one line each: instructions, and reads and writes that the caches lack. A cache has lines of
 * 64 bytes, drops the line that was not used for longest, takes in what is written, and fetches nothing ahead: a real core's
 * prefetcher hides many of these misses. Code is not cached, and addresses are the process's own.
 */

#include <glib.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qemu-plugin.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

enum { LINE = 64, LEVELS = 2 };

typedef struct {
    uint64_t sets, ways, misses;
    uint64_t *lines; /* sets x ways, each set from the last used to the one used longest ago; 0 is none */
} Cache;

static Cache caches[LEVELS];
static qemu_plugin_u64 instructions;

static bool has(Cache *cache, uint64_t line)
{
    uint64_t *set = cache->lines + (line % cache->sets) * cache->ways;
    uint64_t place = 0;
    while (place < cache->ways - 1 && set[place] != line) {
        place++;
    }
    bool found = set[place] == line;
    memmove(set + 1, set, place * sizeof *set);
    set[0] = line;
    cache->misses += !found;
    return found;
}

static void touched(unsigned int processor, qemu_plugin_meminfo_t access, uint64_t address, void *unused)
{
    uint64_t last = (address + (UINT64_C(1) << qemu_plugin_mem_size_shift(access)) - 1) / LINE;
    for (uint64_t line = address / LINE; line <= last; line++) {
        for (int level = 0; level < LEVELS && !has(&caches[level], line + 1); level++) {
        }
    }
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    for (size_t place = 0; place < qemu_plugin_tb_n_insns(block); place++) {
        struct qemu_plugin_insn *one = qemu_plugin_tb_get_insn(block, place);
        qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(one, QEMU_PLUGIN_INLINE_ADD_U64, instructions, 1);
        qemu_plugin_register_vcpu_mem_cb(one, touched, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, NULL);
    }
}

static void ended(qemu_plugin_id_t id, void *unused)
{
    g_autofree char *line = g_strdup_printf("total insns: %" PRIu64 "\nmisses: %" PRIu64 " %" PRIu64 "\n",
                                            qemu_plugin_u64_sum(instructions), caches[0].misses, caches[1].misses);
    qemu_plugin_outs(line);
}

static uint64_t option(int count, char **given, const char *name, uint64_t otherwise)
{
    size_t length = strlen(name);
    for (int place = 0; place < count; place++) {
        if (!strncmp(given[place], name, length) && given[place][length] == '=') {
            return strtoull(given[place] + length + 1, NULL, 10);
        }
    }
    return otherwise;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int count, char **given)
{
    const char *sizes[LEVELS] = {"l1", "l2"}, *ways[LEVELS] = {"ways1", "ways2"};
    const uint64_t size[LEVELS] = {32768, 1048576}, by[LEVELS] = {4, 16};
    for (int level = 0; level < LEVELS; level++) {
        Cache *cache = &caches[level];
        cache->ways = option(count, given, ways[level], by[level]);
        cache->sets = cache->ways ? option(count, given, sizes[level], size[level]) / LINE / cache->ways : 0;
        if (!cache->sets) {
            fprintf(stderr, "arm_counter: a cache of level %d holds no line; give %s and %s\n", level + 1, sizes[level], ways[level]);
            return 1;
        }
        cache->lines = g_new0(uint64_t, cache->sets * cache->ways);
    }
    instructions = qemu_plugin_scoreboard_u64(qemu_plugin_scoreboard_new(sizeof(uint64_t)));
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
