/* All sockets of the host that there are, by the number that the host knows them by when it reads ahead. */
#include "net/inet.h"

#define BUCKETS 256U

static struct mutex lock;
static struct inet *buckets[BUCKETS];
static uint64_t last;

void inet_each(void (*each)(struct inet *inet, void *context), void *context)
{
    mutex_lock(&lock);
    for (size_t at = 0; at < BUCKETS; at++) {
        for (struct inet *inet = buckets[at]; inet; inet = inet->next) {
            each(inet, context);
        }
    }
    mutex_unlock(&lock);
}

/* Under the lock. It may have stood elsewhere before. */
static void put_in(struct inet *inet)
{
    inet->number = ++last;
    struct inet **bucket = &buckets[inet->number % BUCKETS];
    inet->next = *bucket;
    inet->previous = NULL;
    if (*bucket) {
        (*bucket)->previous = inet;
    }
    *bucket = inet;
}

static void take_out(struct inet *inet)
{
    *(inet->previous ? &inet->previous->next : &buckets[inet->number % BUCKETS]) = inet->next;
    if (inet->next) {
        inet->next->previous = inet->previous;
    }
}

void inet_list(struct inet *inet)
{
    mutex_lock(&lock);
    put_in(inet);
    mutex_unlock(&lock);
}

/* As one step: threads may connect one socket at once. */
void inet_renumber(struct inet *inet)
{
    mutex_lock(&lock);
    take_out(inet);
    put_in(inet);
    mutex_unlock(&lock);
}

void inet_unlist(struct inet *inet)
{
    mutex_lock(&lock);
    take_out(inet);
    mutex_unlock(&lock);
}

void inet_with(uint64_t number, void (*use)(struct inet *inet, void *context), void *context)
{
    mutex_lock(&lock);
    struct inet *inet = buckets[number % BUCKETS];
    while (inet && inet->number != number) {
        inet = inet->next;
    }
    if (inet) {
        use(inet, context);
    }
    mutex_unlock(&lock);
}
