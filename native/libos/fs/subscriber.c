#include "fs/subscriber.h"

struct subscription {
    struct waiter waiter;
    struct event_source *source;
    struct subscriber *subscriber;
    struct subscription *next;
    uint32_t round;
};

static void tell(struct waiter *waiter)
{
    struct subscriber *subscriber = CONTAINER_OF(waiter, struct subscription, waiter)->subscriber;
    subscriber->changed(subscriber);
}

bool subscriber_name(struct subscriber *subscriber, struct event_source *source)
{
    struct subscription *subscription = subscriber->first;
    while (subscription && subscription->source != source) {
        subscription = subscription->next;
    }
    if (!subscription) {
        subscription = allocate(sizeof(struct subscription));
        if (!subscription) {
            return false;
        }
        *subscription = (struct subscription){
            .waiter.notify = tell, .source = source, .subscriber = subscriber, .next = subscriber->first};
        __atomic_fetch_add(&source->references, 1, __ATOMIC_RELAXED);
        subscriber->first = subscription;
        wait_queue_add(&source->queue, &subscription->waiter);
    }
    subscription->round = subscriber->round;
    return true;
}

static void end(struct subscription *subscription)
{
    wait_queue_remove(&subscription->waiter);
    event_source_put(subscription->source);
    release(subscription, sizeof(struct subscription));
}

void subscriber_begin_round(struct subscriber *subscriber)
{
    subscriber->round++;
    subscriber->changes = 0;
    subscriber->must_be_asked = false;
}

void subscriber_end_round(struct subscriber *subscriber)
{
    for (struct subscription **link = &subscriber->first; *link;) {
        struct subscription *subscription = *link;
        if (subscription->round == subscriber->round) {
            link = &subscription->next;
        } else {
            *link = subscription->next;
            end(subscription);
        }
    }
    subscriber->must_be_asked |= !subscriber->first;
}

void subscriber_leave(struct subscriber *subscriber)
{
    while (subscriber->first) {
        struct subscription *subscription = subscriber->first;
        subscriber->first = subscription->next;
        end(subscription);
    }
}
