#define _GNU_SOURCE
#include "read_ahead.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "ocall_files.h"

#define ENDS (EPOLLERR | EPOLLHUP | EPOLLRDHUP | EPOLLPRI) /* who receives hears of them in the right order */

/* By the enclave's number of the descriptor. */
static struct stream {
    pthread_mutex_t lock;
    uint64_t socket; /* what the enclave calls it; 0: nobody has asked */
    uint32_t taken;  /* how often something was read ahead */
    bool is_wanted, asks_for_input;
} streams[HANDLES_MAX];

/* A piece is counted before anybody can find that it is gone: who counts waits for those that are just taken from the kernel. */
static pthread_rwlock_t taking = PTHREAD_RWLOCK_INITIALIZER;
static uint32_t pieces;

uint32_t read_ahead_count(void)
{
    pthread_rwlock_wrlock(&taking);
    uint32_t count = pieces;
    pthread_rwlock_unlock(&taking);
    return count;
}

static ssize_t take(int fd, struct host_ahead *ahead)
{
    pthread_rwlock_rdlock(&taking);
    ssize_t got = recv(fd, ahead->bytes, sizeof(ahead->bytes), MSG_DONTWAIT);
    if (got > 0) {
        __atomic_add_fetch(&pieces, 1, __ATOMIC_RELAXED);
    }
    pthread_rwlock_unlock(&taking);
    return got;
}

static struct stream *stream_of(int64_t fd)
{
    return fd >= 0 && fd < (int64_t)HANDLES_MAX ? &streams[fd] : NULL;
}

bool read_ahead_receives(int64_t fd, const struct host_message *message)
{
    struct stream *stream = stream_of(fd);
    if (!stream) {
        return true;
    }
    pthread_mutex_lock(&stream->lock);
    bool is_on_its_way = message->socket != 0 && stream->socket == message->socket && stream->taken != message->aheads;
    if (is_on_its_way) {
        pthread_mutex_unlock(&stream->lock);
    }
    return !is_on_its_way;
}

static void note_wish(struct stream *stream, const struct host_message *message)
{
    if (stream->socket != message->socket) {
        stream->socket = message->socket;
        stream->taken = message->aheads;
    }
    stream->is_wanted = message->wants_ahead && message->socket != 0 && stream->taken == message->aheads;
    stream->asks_for_input = message->input == HOST_INPUT_ASK;
}

void read_ahead_received(int64_t fd, const struct host_message *message)
{
    struct stream *stream = stream_of(fd);
    if (stream) {
        note_wish(stream, message);
        pthread_mutex_unlock(&stream->lock);
    }
}

void read_ahead_looked(int64_t fd)
{
    struct stream *stream = stream_of(fd);
    if (stream) {
        pthread_mutex_unlock(&stream->lock);
    }
}

void read_ahead_sent(int64_t fd, const struct host_message *message)
{
    struct stream *stream = stream_of(fd);
    if (stream) {
        pthread_mutex_lock(&stream->lock);
        note_wish(stream, message);
        pthread_mutex_unlock(&stream->lock);
    }
}

void read_ahead_stop(int64_t fd, bool is_closing)
{
    struct stream *stream = stream_of(fd);
    if (stream) {
        pthread_mutex_lock(&stream->lock);
        stream->is_wanted = false;
        stream->socket = is_closing ? 0 : stream->socket;
        pthread_mutex_unlock(&stream->lock);
    }
}

void read_ahead(int64_t fd, uint32_t events, struct host_ahead *ahead)
{
    struct stream *stream = stream_of(fd);
    bool has_data_alone = (events & (EPOLLIN | ENDS)) == EPOLLIN;
    ahead->length = 0;
    if (!stream || !has_data_alone || !__atomic_load_n(&stream->is_wanted, __ATOMIC_RELAXED) || pthread_mutex_trylock(&stream->lock) != 0) {
        return;
    }
    ssize_t got = stream->is_wanted ? take(host_descriptor(fd), ahead) : 0;
    if (got > 0) {
        stream->is_wanted = false;
        stream->taken++;
        ahead->socket = stream->socket;
        ahead->length = (uint32_t)got;
        ahead->input = stream->asks_for_input ? look_at_input(host_descriptor(fd)) : HOST_INPUT_UNKNOWN;
    }
    pthread_mutex_unlock(&stream->lock);
}
