/* System V message queues: msgget(2), msgop(2), msgctl(2). */
#include "process/process.h"

#define MSGMNI 32000U /* queues */
#define MSGMAX 8192U  /* bytes in a message */
#define MSGMNB 16384U /* bytes in a queue */

#define MSG_NOERROR 010000U
#define MSG_EXCEPT 020000U
#define MSG_COPY 040000U

enum message_command { MSG_STAT = 11, MSG_INFO = 12, MSG_STAT_ANY = 13 };

struct message {
    struct message *next;
    int64_t type;
    size_t size;
    uint8_t bytes[];
};

struct queue {
    struct ipc_object object;
    struct message_queue_status status; /* but for permissions */
    struct message *first, *last;
};

/*
 * A thread that waits for a message. Who sends one hands it over (pipelined_send() of Linux): it is received then, even if
 * the queue is gone before the thread runs.
 */
struct receiver {
    struct ipc_waiting waiting;
    int32_t queue, process;
    uint32_t flags;
    int64_t type;
    uint64_t room;
    struct message *message;
    bool is_served;
    int64_t result; /* once it is served */
};

/* Under the table's lock. */
static struct ipc_waiting *receivers;

static struct ipc_object *make(const void *wanted, int64_t *error)
{
    (void)wanted;
    (void)error;
    struct queue *queue = allocate(sizeof *queue);
    if (!queue) {
        return NULL;
    }
    queue->status = (struct message_queue_status){.change_time = ipc_time(), .bytes_limit = MSGMNB};
    return &queue->object;
}

static struct queue *queue_of(const struct ipc_object *object)
{
    return CONTAINER_OF(object, struct queue, object);
}

struct ipc_table message_queues = {.make = make, .limit = MSGMNI};
static struct ipc_table *const table = &message_queues;

int64_t sys_msgget(const struct arguments *arguments)
{
    return ipc_get(table, (int32_t)arguments->at[0], (uint32_t)arguments->at[1], NULL);
}

static void release_message(struct message *message)
{
    if (message) {
        release(message, sizeof *message + message->size);
    }
}

static struct message *copy_of(const struct message *message)
{
    struct message *copy = allocate(sizeof *copy + message->size);
    return copy ? memcpy(copy, message, sizeof *message + message->size) : NULL;
}

static bool has_room(const struct queue *queue, size_t size)
{
    const struct message_queue_status *status = &queue->status;
    return status->bytes + size <= status->bytes_limit && status->count + 1 <= status->bytes_limit;
}

/* Finds a queue after a sleep, or at first. */
static int64_t find(int32_t id, uint32_t modes, bool has_slept, struct queue **queue)
{
    struct ipc_object *object = ipc_find(table, id);
    if (!object) {
        return has_slept ? -EIDRM : -EINVAL;
    }
    *queue = queue_of(object);
    return ipc_is_allowed(object, modes) ? 0 : -EACCES;
}

/* By its type: this one, another (MSG_EXCEPT), or up to -type. */
static bool is_wanted(const struct message *message, int64_t type, uint32_t flags)
{
    if (type < 0) {
        return (uint64_t)message->type <= (type == INT64_MIN ? INT64_MAX : (uint64_t)-type);
    }
    return type == 0 || (message->type == type) != ((flags & MSG_EXCEPT) != 0);
}

static bool is_too_large(const struct message *message, uint64_t room, uint32_t flags)
{
    return message->size > room && !(flags & MSG_NOERROR);
}

/* To one who waits for it. Who has no room for it learns that. */
static bool hand_over(struct queue *queue, struct message *message)
{
    for (struct ipc_waiting *at = receivers; at; at = at->next) {
        struct receiver *receiver = CONTAINER_OF(at, struct receiver, waiting);
        if (receiver->queue != queue->object.id || receiver->is_served || !is_wanted(message, receiver->type, receiver->flags)) {
            continue;
        }
        receiver->is_served = true;
        if (is_too_large(message, receiver->room, receiver->flags)) {
            receiver->result = -E2BIG;
            continue;
        }
        receiver->message = message;
        queue->status.receive_time = ipc_time();
        queue->status.receiver = receiver->process;
        return true;
    }
    return false;
}

static void append(struct queue *queue, struct message *message)
{
    message->next = NULL;
    *(queue->last ? &queue->last->next : &queue->first) = message;
    queue->last = message;
    queue->status.bytes += message->size;
    queue->status.count++;
}

/* Under the lock. Takes the message over if it returns 0. */
static int64_t send(int32_t id, uint32_t flags, struct message *message)
{
    struct queue *queue;
    int64_t result = find(id, IPC_WRITES, false, &queue);
    while (result == 0 && !has_room(queue, message->size)) {
        if (flags & IPC_NOWAIT) {
            return -EAGAIN;
        }
        int slept = ipc_sleep(table, id, NO_TIMEOUT);
        result = find(id, IPC_WRITES, true, &queue);
        result = result ? result : slept;
    }
    if (result == 0) {
        queue->status.send_time = ipc_time();
        queue->status.sender = current_process()->id;
        if (!hand_over(queue, message)) {
            append(queue, message);
        }
        ipc_wake(table, id);
    }
    return result;
}

int64_t sys_msgsnd(const struct arguments *arguments)
{
    int64_t type;
    uint64_t size = arguments->at[2];
    if (copy_from_user(&type, arguments->at[1], sizeof type)) {
        return -EFAULT;
    }
    if (size > MSGMAX || (int32_t)arguments->at[0] < 0 || type < 1) {
        return -EINVAL;
    }
    struct message *message = allocate(sizeof *message + size);
    if (!message) {
        return -ENOMEM;
    }
    message->type = type;
    message->size = size;
    int64_t result = copy_from_user(message->bytes, arguments->at[1] + sizeof type, size);
    if (!result) {
        mutex_lock(&table->lock);
        result = send((int32_t)arguments->at[0], (uint32_t)arguments->at[3], message);
        mutex_unlock(&table->lock);
    }
    if (result) {
        release_message(message);
    }
    return result;
}

/* The link to the message that is wanted: the first of this type, of another (MSG_EXCEPT), of the lowest up to -type, or by its
 * place (MSG_COPY). *link is NULL if there is none. */
static struct message **choose(struct queue *queue, int64_t type, uint32_t flags)
{
    struct message **best = NULL, **link = &queue->first;
    for (int64_t place = 0; *link; link = &(*link)->next, place++) {
        bool is_first = flags & MSG_COPY ? place == type : type >= 0 && is_wanted(*link, type, flags);
        if (is_first) {
            return link;
        }
        if (type < 0 && is_wanted(*link, type, flags) && (!best || (*link)->type < (*best)->type)) {
            best = link;
        }
    }
    return best ? best : link;
}

static struct message *take(struct queue *queue, struct message **link)
{
    struct message *message = *link;
    *link = message->next;
    if (queue->last == message) {
        queue->last = link == &queue->first ? NULL : CONTAINER_OF(link, struct message, next);
    }
    queue->status.bytes -= message->size;
    queue->status.count--;
    queue->status.receive_time = ipc_time();
    queue->status.receiver = current_process()->id;
    ipc_wake(table, queue->object.id);
    return message;
}

/* Under the lock: 0 and the message, or a negative errno. */
static int64_t receive(struct receiver *self)
{
    struct queue *queue;
    int64_t result = find(self->queue, IPC_READS, false, &queue);
    while (result == 0) {
        struct message **link = choose(queue, self->type, self->flags);
        if (*link) {
            if (is_too_large(*link, self->room, self->flags)) {
                return -E2BIG;
            }
            self->message = self->flags & MSG_COPY ? copy_of(*link) : take(queue, link);
            return self->message ? 0 : -ENOMEM;
        }
        if (self->flags & IPC_NOWAIT) {
            return -ENOMSG;
        }
        ipc_enlist(&receivers, &self->waiting);
        int slept = ipc_sleep(table, self->queue, NO_TIMEOUT);
        if (self->is_served) {
            return self->result;
        }
        result = find(self->queue, IPC_READS, true, &queue);
        result = result ? result : slept;
    }
    return result;
}

int64_t sys_msgrcv(const struct arguments *arguments)
{
    uint32_t flags = (uint32_t)arguments->at[4];
    uint64_t room = arguments->at[2];
    bool copies_badly = (flags & MSG_COPY) && ((flags & MSG_EXCEPT) || !(flags & IPC_NOWAIT));
    if ((int32_t)arguments->at[0] < 0 || room > INT64_MAX || copies_badly) {
        return -EINVAL;
    }
    struct receiver self = {
        .queue = (int32_t)arguments->at[0], .process = current_process()->id, .flags = flags, .type = (int64_t)arguments->at[3], .room = room,
    };
    mutex_lock(&table->lock);
    int64_t result = receive(&self);
    ipc_delist(&receivers, &self.waiting);
    mutex_unlock(&table->lock);
    if (result) {
        return result;
    }
    struct message *message = self.message;
    size_t size = message->size < room ? message->size : room;
    bool told = !copy_to_user(arguments->at[1], &message->type, sizeof message->type) &&
                !copy_to_user(arguments->at[1] + sizeof message->type, message->bytes, size);
    release_message(message);
    return told ? (int64_t)size : -EFAULT;
}

void message_queue_describe(const struct ipc_object *object, struct message_queue_status *status)
{
    *status = queue_of(object)->status;
    status->permissions = object->permissions;
}

/* struct msginfo */
struct information {
    int32_t pool, map, message, queue, queues, segment_size, headers;
    uint16_t segments;
};

static int64_t inform(user_address to, bool of_use)
{
    struct information information = {
        .pool = (int32_t)(MSGMNI * MSGMNB / 1024), .map = MSGMNB, .message = MSGMAX, .queue = MSGMNB, .queues = MSGMNI,
        .segment_size = 16, .headers = MSGMNB, .segments = 0xFFFF,
    };
    uint32_t highest = ipc_highest(table);
    if (of_use) {
        information.pool = (int32_t)table->count;
        information.map = information.headers = 0;
        for (uint32_t at = 0; at <= highest; at++) {
            const struct ipc_object *object = ipc_at(table, at);
            information.map += object ? (int32_t)queue_of(object)->status.count : 0;
            information.headers += object ? (int32_t)queue_of(object)->status.bytes : 0;
        }
    }
    return copy_to_user(to, &information, sizeof information) ? -EFAULT : (int64_t)highest;
}

static int64_t remove_queue(struct queue *queue)
{
    int32_t id = queue->object.id;
    ipc_remove(table, &queue->object);
    for (struct message *message = queue->first, *next; message; message = next) {
        next = message->next;
        release_message(message);
    }
    release(queue, sizeof *queue);
    ipc_wake(table, id);
    return 0;
}

static int64_t change(struct queue *queue, const struct message_queue_status *wanted)
{
    if (wanted->bytes_limit > MSGMNB) {
        return -EPERM; /* that takes CAP_SYS_RESOURCE */
    }
    int64_t error = ipc_set(&queue->object, &wanted->permissions);
    if (!error) {
        queue->status.bytes_limit = wanted->bytes_limit;
        queue->status.change_time = ipc_time();
        ipc_wake(table, queue->object.id);
    }
    return error;
}

static int64_t control(int32_t id, int32_t command, user_address argument)
{
    struct message_queue_status status;
    if (command == IPC_INFO || command == MSG_INFO) {
        return inform(argument, command == MSG_INFO);
    }
    if (command == IPC_SET && copy_from_user(&status, argument, sizeof status)) {
        return -EFAULT;
    }
    bool by_index = command == MSG_STAT || command == MSG_STAT_ANY;
    if (!by_index && (command < IPC_RMID || command > IPC_STAT)) {
        return -EINVAL;
    }
    struct ipc_object *object = ipc_look(table, id, by_index);
    if (!object) {
        return -EINVAL;
    }
    switch (command) {
    case IPC_RMID:
        return ipc_is_owner(object) ? remove_queue(queue_of(object)) : -EPERM;
    case IPC_SET:
        return ipc_is_owner(object) ? change(queue_of(object), &status) : -EPERM;
    default:
        if (command != MSG_STAT_ANY && !ipc_is_allowed(object, IPC_READS)) {
            return -EACCES;
        }
        message_queue_describe(object, &status);
        if (copy_to_user(argument, &status, sizeof status)) {
            return -EFAULT;
        }
        return by_index ? object->id : 0;
    }
}

int64_t sys_msgctl(const struct arguments *arguments)
{
    int32_t id = (int32_t)arguments->at[0], command = (int32_t)arguments->at[1];
    if (id < 0 || command < 0) {
        return -EINVAL;
    }
    mutex_lock(&table->lock);
    int64_t result = control(id, command, arguments->at[2]);
    mutex_unlock(&table->lock);
    return result;
}
