#include "net/unix_queue.h"

#include "net/unix_control.h"

struct sender sender_current(void)
{
    const struct credentials *own = credentials();
    return (struct sender){.process = current_process()->id, .user = own->user.real, .group = own->group.real};
}

static void inbox_unused(struct event_source *source)
{
    struct inbox *inbox = CONTAINER_OF(source, struct inbox, source);
    packets_release(inbox->first);
    release(inbox, sizeof(struct inbox));
}

struct inbox *inbox_create(enum socket_type type)
{
    struct inbox *inbox = allocate(sizeof(struct inbox));
    if (inbox) {
        inbox->source.references = 1;
        inbox->source.unused = inbox_unused;
        inbox->type = (uint16_t)type;
    }
    return inbox;
}

struct packet *packet_create(const struct message *message, size_t length, struct inbox *sender, struct rights *rights)
{
    struct packet *packet = allocate(sizeof(struct packet) + length);
    if (!packet) {
        return NULL;
    }
    packet->length = length;
    packet->sender = inbox_get(sender);
    packet->rights = *rights;
    *rights = (struct rights){0};
    memcpy(packet->data, message->data, length);
    return packet;
}

/* Files that are closed may be sockets with packets, which hold files: a list and no recursion, so that no chain of them
 * is longer than the stack. Who comes while somebody works on it leaves the work to him. */
static struct {
    struct spinlock lock;
    struct packet *first;
    bool is_worked_on;
} discarded;

static struct packet *next_discarded(void)
{
    spin_lock(&discarded.lock);
    struct packet *packet = discarded.first;
    if (packet) {
        discarded.first = packet->next;
    } else {
        discarded.is_worked_on = false;
    }
    spin_unlock(&discarded.lock);
    return packet;
}

void packets_release(struct packet *packets)
{
    if (!packets) {
        return;
    }
    struct packet *last = packets;
    while (last->next) {
        last = last->next;
    }
    spin_lock(&discarded.lock);
    bool works = !discarded.is_worked_on;
    discarded.is_worked_on = true;
    last->next = discarded.first;
    discarded.first = packets;
    spin_unlock(&discarded.lock);
    for (struct packet *packet; works && (packet = next_discarded());) {
        rights_release(&packet->rights);
        inbox_put(packet->sender);
        release(packet, sizeof(struct packet) + packet->length);
    }
}

void inbox_append(struct inbox *inbox, struct packet *packet)
{
    if (inbox->last) {
        inbox->last->next = packet;
    } else {
        inbox->first = packet;
    }
    inbox->last = packet;
    inbox->packets++;
    inbox->bytes += packet->length;
}

struct packet *inbox_take_first(struct inbox *inbox)
{
    struct packet *packet = inbox->first;
    inbox->first = packet->next;
    if (!inbox->first) {
        inbox->last = NULL;
    }
    packet->next = NULL;
    inbox->packets--;
    inbox->bytes -= packet->length - packet->taken;
    return packet;
}

struct packet *inbox_take_all(struct inbox *inbox)
{
    struct packet *packets = inbox->first;
    inbox->first = inbox->last = NULL;
    inbox->packets = 0;
    inbox->bytes = 0;
    return packets;
}
