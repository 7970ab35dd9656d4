/* sim.c with a first entry that may lie: in struct boot and its strings, and about where the exchange area is. */
#define sim_enter honest_sim_enter
#include "../../../native/pal/sim.c"
#undef sim_enter

#include "liar.h"

uint64_t honest_sim_enter(struct host_thread *thread, uint64_t ecall);

static void lie_in_boot(uint8_t *data)
{
    struct boot boot;
    uint32_t *words = (uint32_t *)&boot;
    memcpy(&boot, data, sizeof(boot));
    for (size_t index = 0; index < sizeof(boot) / sizeof(*words); index++) {
        const uint32_t values[] = {
            0, 1, UINT32_MAX, INT32_MAX, 1U << 31, EXCHANGE_DATA_SIZE, (uint32_t)random_number(), words[index] + 1, words[index] - 1,
        };
        if (random_below(4) == 0) {
            words[index] = values[random_below(sizeof(values) / sizeof(values[0]))];
            counts->lies++;
        }
    }
    memcpy(data, &boot, sizeof(boot));
    if (random_below(4) == 0) {
        fill(data + sizeof(boot), EXCHANGE_DATA_SIZE - sizeof(boot));
        counts->lies++;
    }
}

static void lie_about_exchange(struct host_thread *thread)
{
    struct hostile_registers registers = random_registers(thread, ECALL_START);
    registers.rsi = hostile_exchange(thread);
    uint64_t code = enter_hostile(thread, &registers);
    if (code != EEXIT_REFUSED) {
        found("a first entry with an exchange area at 0x%lx: 0x%lx", registers.rsi, code);
    }
    counts->lies++;
    _exit(0);
}

static void start(struct host_thread *thread)
{
    if (random_below(4) == 0) {
        lie_about_exchange(thread);
    }
    lie_in_boot(thread->exchange->data);
}

uint64_t sim_enter(struct host_thread *thread, uint64_t ecall)
{
    if (ecall == ECALL_START) {
        for (uint64_t starts = setting("LIAR_STARTS", 0); starts > 0; starts--) {
            if (make_child(thread, "the start")) {
                start(thread);
                break;
            }
        }
    }
    return honest_sim_enter(thread, ecall);
}
