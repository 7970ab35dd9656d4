/*
 * The channel between a container's runelet and the runelets that ask it for a command (`runelet exec`): a socket in the abstract namespace, so that it
 * needs no file system that can be written, and no capability. Its name holds the mount namespace and is otherwise drawn by lot; who knows it is
 * nothing: each end looks with the kernel's word (unix(7), SO_PEERCRED; namespaces(7)) whether the other one is in the same container.
 *
 * Messages (SOCK_SEQPACKET): struct hello from the server, struct call with the descriptors from the client, then struct notice both ways.
 */
#ifndef RUNELET_CHANNEL_H
#define RUNELET_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define NONCE_SIZE 16
#define CHANNEL_VERSION 2U
#define REQUEST_SIZE_MAX 0x40000U /* more than the enclave takes (abi.h) */
#define STREAM_COUNT 3

struct hello {
    uint32_t version;
    uint8_t nonce[NONCE_SIZE]; /* who tells it was alive after it was looked at */
};

enum call_kind {
    CALL_COMMAND = 1,
    CALL_REPORT = 2, /* the request's file is a TARGETINFO */
};

/* With the request's file, then the standard streams that are open. The file: the strings of the arguments, of the environment, and the working
 * directory, each ended by NUL. */
struct call {
    uint32_t version;
    uint32_t kind;
    uint8_t nonce[NONCE_SIZE];
    uint32_t argument_count; /* 0: the health check */
    uint32_t environment_count;
    uint32_t size;
    uint32_t open_streams; /* bit n: descriptor n */
};

enum notice_type {
    NOTICE_SIGNAL = 1, /* client: value: the signal; with PAL_FROM_TERMINAL, if its terminal has sent it */
    NOTICE_END = 2,    /* server: value: the exit code */
    NOTICE_REFUSAL = 3, /* server: value: the exit code; text says why */
    NOTICE_REPORT = 4,  /* server: text begins with a REPORT */
};
#define NOTICE_TEXT_SIZE 512
struct notice {
    uint32_t type, value;
    char text[NOTICE_TEXT_SIZE];
};

/* The other end of a connection, held by its folder in /proc, so that its number may not come to mean another process. */
struct peer {
    pid_t pid;
    uid_t uid;
    gid_t gid;
    int folder;
};

/* A socket that listens, or -1 with errno. */
int channel_listen(void);
/* A connection to the runelet of this container, looked at already, or -1: there is none, or with errno EACCES one that cannot be looked at. */
int channel_connect(void);

/* False: it is not in this container, or that cannot be told. Otherwise peer_close() it. */
bool peer_look(int connection, struct peer *peer);
/* It has not ended since. */
bool peer_is_alive(const struct peer *peer);
void peer_close(struct peer *peer);

#endif
