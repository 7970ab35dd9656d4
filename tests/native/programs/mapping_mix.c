/*
 * Random calls and accesses to one file that is mapped several times, against a model of its content.
 *
 *     mapping_mix SEED COUNT memfd|PATH
 *
 * Prints one line, which must be the same wherever it runs. The file keeps what it had at the end.
 */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096UL
#define FILE_MAX (48 * PAGE)
#define VIEWS 6

struct view {
    char *at;
    size_t length;
    size_t offset;
    int protection;
    int may_write;
};

static uint64_t state;
static const char *path;
static int files[3]; /* read-write, read-only, appending */
static struct view views[VIEWS];
static unsigned char model[FILE_MAX];
static size_t size;
static uint64_t sum = 14695981039346656037ULL;
static unsigned long step;
static sigjmp_buf back;

static uint64_t draw(uint64_t limit)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * 2685821657736338717ULL >> 33) % limit;
}

static void note(const void *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        sum = (sum ^ ((const unsigned char *)data)[i]) * 1099511628211ULL;
    }
}

static void need(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "step %lu: %s (errno %d, size %zu)\n", step, what, errno, size);
        exit(1);
    }
}

static void on_signal(int signal)
{
    siglongjmp(back, signal);
}

static void fill(unsigned char *to, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        to[i] = (unsigned char)draw(256);
    }
}

static void open_files(void)
{
    if (path) {
        files[0] = open(path, O_RDWR | O_CREAT, 0600);
        files[1] = open(path, O_RDONLY);
        files[2] = open(path, O_RDWR | O_APPEND);
    } else if (!files[0]) {
        files[0] = files[1] = files[2] = memfd_create("mix", 0);
    }
    need(files[0] > 0 && files[1] > 0 && files[2] > 0, "open");
}

static void do_write(void)
{
    unsigned char data[3 * PAGE];
    size_t offset = draw(FILE_MAX - sizeof data), length = draw(4) ? draw(64) + 1 : draw(sizeof data) + 1;
    fill(data, length);
    if (path && draw(4) == 0 && size + length <= FILE_MAX) {
        offset = size;
        need(write(files[2], data, length) == (ssize_t)length, "append");
    } else {
        need(pwrite(files[0], data, length, (off_t)offset) == (ssize_t)length, "pwrite");
    }
    memcpy(model + offset, data, length);
    size = offset + length > size ? offset + length : size;
}

static void do_read(void)
{
    static unsigned char data[FILE_MAX];
    size_t offset = draw(FILE_MAX), length = draw(3) ? draw(200) : draw(FILE_MAX);
    size_t expected = offset >= size ? 0 : length < size - offset ? length : size - offset;
    need(pread(files[draw(2)], data, length, (off_t)offset) == (ssize_t)expected, "pread's length");
    need(memcmp(data, model + offset, expected) == 0, "pread's content");
    note(data, expected);
}

static struct view *any_view(void)
{
    struct view *view = &views[draw(VIEWS)];
    return view->at ? view : NULL;
}

static void do_map(void)
{
    struct view *view = &views[draw(VIEWS)];
    if (view->at) {
        return;
    }
    int read_only = draw(4) == 0;
    view->length = (1 + draw(12)) * PAGE;
    view->offset = draw((FILE_MAX - view->length) / PAGE + 1) * PAGE;
    view->may_write = !read_only || files[1] == files[0];
    view->protection = view->may_write && draw(2) ? PROT_READ | PROT_WRITE : PROT_READ;
    view->at = mmap(NULL, view->length, view->protection, MAP_SHARED, files[read_only], (off_t)view->offset);
    need(view->at != MAP_FAILED, "mmap");
}

static void do_unmap(void)
{
    struct view *view = any_view();
    if (!view) {
        return;
    }
    size_t cut = draw(3) ? view->length : draw(view->length / PAGE) * PAGE;
    if (draw(2) || cut == view->length) { /* from the front */
        need(munmap(view->at, cut ? cut : PAGE) == 0, "munmap");
        cut = cut ? cut : PAGE;
        view->at += cut;
        view->offset += cut;
    } else if (cut) {
        need(munmap(view->at + view->length - cut, cut) == 0, "munmap of the end");
    }
    view->length -= cut;
    view->at = view->length ? view->at : NULL;
}

static void do_protect(void)
{
    static const int protections[] = {PROT_READ, PROT_READ | PROT_WRITE, PROT_NONE, PROT_READ | PROT_WRITE};
    struct view *view = any_view();
    if (!view) {
        return;
    }
    int protection = protections[draw(4)];
    int result = mprotect(view->at, view->length, protection);
    if ((protection & PROT_WRITE) && !view->may_write) {
        need(result == -1 && errno == EACCES, "mprotect of a file that is read-only");
    } else {
        need(result == 0, "mprotect");
        view->protection = protection;
    }
}

static void do_remap(void)
{
    struct view *view = any_view();
    size_t length = (1 + draw(12)) * PAGE;
    if (!view || view->offset + length > FILE_MAX) {
        return;
    }
    char *to = mremap(view->at, view->length, length, MREMAP_MAYMOVE);
    need(to != MAP_FAILED, "mremap");
    view->at = to;
    view->length = length;
}

static void do_store(void)
{
    struct view *view = any_view();
    if (!view || !(view->protection & PROT_WRITE) || view->offset >= size) {
        return;
    }
    size_t room = size - view->offset < view->length ? size - view->offset : view->length;
    size_t at = draw(room), length = 1 + draw(draw(8) ? 40 : 2 * PAGE);
    unsigned char data[2 * PAGE + 1];
    length = length < room - at ? length : room - at;
    fill(data, length);
    memcpy(view->at + at, data, length);
    memcpy(model + view->offset + at, data, length);
}

/* 0, or the signal that the load raises. */
static int load(const char *from, size_t length, unsigned char *to)
{
    int signal = sigsetjmp(back, 1);
    if (signal) {
        return signal;
    }
    for (size_t i = 0; i < length; i++) {
        to[i] = ((const volatile unsigned char *)from)[i];
    }
    return 0;
}

static void do_load(void)
{
    static const unsigned char zeros[PAGE];
    static unsigned char data[FILE_MAX];
    struct view *view = any_view();
    if (!view) {
        return;
    }
    size_t at = draw(view->length), length = 1 + draw(draw(4) ? 100 : view->length);
    length = length < view->length - at ? length : view->length - at;
    size_t start = view->offset + at, last = (size + PAGE - 1) / PAGE * PAGE;
    int expected = view->protection == PROT_NONE ? SIGSEGV : start + length > last ? SIGBUS : 0;
    int signal = load(view->at + at, length, data);
    need(signal == expected, signal ? "a load faulted" : "a load did not fault");
    note(&signal, sizeof signal);
    if (!signal) {
        size_t there = start >= size ? 0 : length < size - start ? length : size - start;
        need(memcmp(data, model + start, there) == 0, "a load's content");
        need(memcmp(data + there, zeros, length - there) == 0, "bytes behind the end");
        note(data, there);
    }
}

static void do_store_fault(void)
{
    struct view *view = any_view();
    if (!view || view->protection != PROT_READ || view->offset >= size) {
        return;
    }
    int signal = sigsetjmp(back, 1);
    if (!signal) {
        *(volatile char *)view->at = 1;
    }
    need(signal == SIGSEGV, "a store to what is read-only");
}

static void do_truncate(void)
{
    size_t wanted = draw(5) ? draw(FILE_MAX) : size + draw(PAGE);
    wanted = wanted < FILE_MAX ? wanted : FILE_MAX;
    need((path && draw(2) ? truncate(path, (off_t)wanted) : ftruncate(files[0], (off_t)wanted)) == 0, "truncate");
    if (wanted < size) {
        memset(model + wanted, 0, size - wanted);
    }
    size = wanted;
}

static void do_sync(void)
{
    struct view *view = any_view();
    if (view && draw(2)) {
        static const int flags[] = {MS_SYNC, MS_ASYNC, MS_SYNC | MS_INVALIDATE};
        need(msync(view->at, view->length, flags[draw(3)]) == 0, "msync");
    } else {
        need(fsync(files[0]) == 0, "fsync");
    }
}

/* A call whose buffer is a view of the file that it reads or writes. */
static void do_call_on_view(void)
{
    struct view *view = any_view();
    if (!view || view->offset + view->length > size || !(view->protection & PROT_WRITE)) {
        return;
    }
    size_t length = 1 + draw(view->length < 5000 ? view->length : 5000);
    size_t offset = draw(size - length + 1), at = draw(view->length - length + 1);
    size_t start = view->offset + at;
    if (offset < start + length && start < offset + length) {
        return; /* what that does is nobody's promise */
    }
    if (draw(2)) {
        need(pwrite(files[0], view->at + at, length, (off_t)offset) == (ssize_t)length, "pwrite from a view");
        memcpy(model + offset, model + start, length);
    } else {
        need(pread(files[0], view->at + at, length, (off_t)offset) == (ssize_t)length, "pread to a view");
        memcpy(model + start, model + offset, length);
    }
}

static void do_copy_between_views(void)
{
    struct view *from = any_view(), *to = any_view();
    if (!from || !to || from == to || from->protection == PROT_NONE || !(to->protection & PROT_WRITE)) {
        return;
    }
    size_t length = 1 + draw(PAGE);
    if (length > from->length || length > to->length || from->offset + length > size || to->offset + length > size) {
        return;
    }
    if (from->offset < to->offset + length && to->offset < from->offset + length) {
        return;
    }
    memcpy(to->at, from->at, length);
    memcpy(model + to->offset, model + from->offset, length);
}

static void do_reopen(void)
{
    if (path) {
        for (int i = 0; i < 3; i++) {
            close(files[i]);
        }
        open_files();
    }
    struct stat status;
    need(fstat(files[1], &status) == 0 && status.st_size == (off_t)size, "fstat's size");
}

static void (*const steps[])(void) = {
    do_write, do_write, do_read, do_read, do_map, do_map, do_unmap, do_protect, do_remap, do_store, do_store, do_store,
    do_load, do_load, do_load, do_store_fault, do_truncate, do_sync, do_call_on_view, do_copy_between_views, do_reopen,
};

int main(int count, char **arguments)
{
    static unsigned char data[FILE_MAX];
    CHECK(count == 4);
    state = strtoull(arguments[1], NULL, 10) * 0x9E3779B97F4A7C15ULL + 1;
    path = strcmp(arguments[3], "memfd") ? arguments[3] : NULL;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    if (path) {
        unlink(path);
    }
    open_files();
    for (unsigned long steps_left = strtoul(arguments[2], NULL, 10); steps_left; steps_left--, step++) {
        steps[draw(sizeof steps / sizeof steps[0])]();
    }
    need(pread(files[0], data, sizeof data, 0) == (ssize_t)size && memcmp(data, model, size) == 0, "the end");
    note(data, size);
    printf("%016llx %zu\n", (unsigned long long)sum, size);
    return 0; /* with all of its mappings: nothing that was stored may be lost */
}
