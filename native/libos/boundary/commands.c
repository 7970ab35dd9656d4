/* Commands from outside: programs that the host wants to run beside the first one. */
#include "boundary/ocall.h"

int host_command_take(struct command *command)
{
    memcpy(command, exchange_data(), sizeof(*command));
    if (command->number == 0 || command->strings_size > EXCHANGE_DATA_SIZE - sizeof(*command)) {
        return -EINVAL;
    }
    for (size_t at = 0; at < sizeof(command->streams) / sizeof(command->streams[0]); at++) {
        if (command->streams[at] < -1 || (command->streams[at] >= 0 && command->streams[at] < 3)) {
            return -EINVAL;
        }
    }
    return 0;
}

void host_command_take_strings(const struct command *command, char *to)
{
    memcpy(to, (const uint8_t *)exchange_data() + sizeof(*command), command->strings_size);
}

int64_t host_command_signals(struct command_signals *signals, size_t count)
{
    size_t room = at_most_data(count * sizeof(*signals));
    int64_t result = ocall_make(signals, OCALL_COMMAND_SIGNALS, room, 0, 0, 0);
    return result < 0 ? result : result / (int64_t)sizeof(*signals);
}

void host_command_end(uint32_t number, uint32_t status, uint32_t signal, const char *line, size_t length)
{
    size_t size = at_most_data(length);
    exchange_put(0, line, size);
    ocall_make(NULL, OCALL_COMMAND_END, number, status, signal, size);
}
