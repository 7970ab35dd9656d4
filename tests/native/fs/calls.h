/* What the parts of calls_test have in common: calls by names of their own, and what is checked. */
#ifndef CALLS_H
#define CALLS_H

#include "shim.h"

#include "fs/fs.h"

#define CHECK(actual, expected) check(__LINE__, #actual, (int64_t)(actual), (int64_t)(expected))

extern int failures;
void check(int line, const char *text, int64_t actual, int64_t expected);

#define AT ((uint64_t)AT_FDCWD)

enum { UNIX = 1, INET = 2, STREAM = 1, RELIABLE = 4, PEEK = 2, DONTWAIT = 0x40, NOSIGNAL = 0x4000 };

int64_t open_file(const char *path, uint64_t flags, uint64_t mode);
int64_t close_file(int64_t descriptor);
int64_t write_file(int64_t descriptor, const char *text);
int64_t make_file(const char *path, const char *content);
bool content_is(const char *path, const char *expected);

struct stat_words {
    uint64_t device, inode, links;
    uint32_t mode, uid, gid, padding;
    uint64_t rdev;
    int64_t size, block_size, blocks, atime, atime_ns, mtime, mtime_ns, ctime, ctime_ns, unused[3];
};
extern struct stat_words status; /* of the last stat_file() */
int64_t stat_file(const char *path);

/* Names in a directory, `.` and `..` among them. */
int64_t count_names(const char *path, const char *wanted, bool *found);

/* The calling thread goes on as this user, in one more group; 0 has root's capabilities. */
void become(uint32_t uid, uint32_t gid, uint32_t group);

extern int64_t pipe_ends[2];
void make_pipe(uint64_t flags);
void make_socket_pair(uint64_t flags);
/* For threads, after a while. */
void write_later(void *context); /* to the pipe's end */
void close_later(void *context); /* the descriptor there */
uint16_t polled(int64_t descriptor);

void test_paths(void);
void test_reading(void);
void test_writing_over_the_image(void);
void test_links_and_names(void);
void test_permissions(void);
void test_attributes(void);
void test_changed_lists(void); /* by one thread, while another is judged by them */
void test_descriptors(void);
void test_synthetic_files(void);
void test_pipes(void);
void test_socket_pairs(void);
void test_waiting(void);
void test_standard_input(int host_writer);
void test_volume(void);

#endif
