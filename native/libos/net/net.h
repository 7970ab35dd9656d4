/*
 * The net room: sockets. What every family has in common stands here once: the system calls, addresses and messages
 * of the application, waiting, timeouts, the options that mean the same everywhere. A family knows nothing of the
 * application's memory, of descriptors' flags or of sleeping.
 *
 * A family offers a row of `socket_families` (families.c): how its sockets are made, and a table of operations for them.
 * Its own state has `struct socket` as its first member. What holds for the operations:
 * - None sleeps. What cannot be done now is -EAGAIN (for connect also -EINPROGRESS and -EALREADY). If `poller` is not
 *   NULL, the operation has registered before it looked what it waits for (poller_watch(), poller_watch_host_events()),
 *   and is tried again after that has changed.
 * - Buffers are LibOS memory. Addresses are copies, their length is at most that of `bytes`; a family checks its form.
 * - Several threads may be in operations of one socket at once; `close` comes when the last of them has left.
 * - NULL stands for -EOPNOTSUPP.
 */
#ifndef ENCLAVIZE_NET_H
#define ENCLAVIZE_NET_H

#include "fs/fs.h"

/* Linux, include/linux/socket.h and include/linux/net.h. */
#define AF_UNSPEC 0U
#define AF_UNIX 1U
#define AF_INET 2U
#define AF_INET6 10U
#define AF_NETLINK 16U
#define AF_MAX 46U

enum socket_type { SOCK_STREAM = 1, SOCK_DGRAM = 2, SOCK_RAW = 3, SOCK_RDM = 4, SOCK_SEQPACKET = 5, SOCK_TYPE_MAX = 11 };
#define SOCK_TYPE_MASK 0xFU
#define SOCK_CLOEXEC O_CLOEXEC
#define SOCK_NONBLOCK O_NONBLOCK

enum shutdown_how { SHUT_RD = 0, SHUT_WR = 1, SHUT_RDWR = 2 };

#define MSG_OOB 0x1U
#define MSG_PEEK 0x2U
#define MSG_DONTROUTE 0x4U
#define MSG_CTRUNC 0x8U
#define MSG_TRUNC 0x20U
#define MSG_DONTWAIT 0x40U
#define MSG_EOR 0x80U
#define MSG_WAITALL 0x100U
#define MSG_CONFIRM 0x800U
#define MSG_ERRQUEUE 0x2000U
#define MSG_NOSIGNAL 0x4000U
#define MSG_MORE 0x8000U
#define MSG_WAITFORONE 0x10000U
#define MSG_FASTOPEN 0x20000000U
#define MSG_CMSG_CLOEXEC 0x40000000U

#define SOL_SOCKET 1U
#define SCM_RIGHTS 1U /* types of its control messages, for Unix sockets */
#define SCM_CREDENTIALS 2U
enum socket_option {
    SO_DEBUG = 1, SO_REUSEADDR = 2, SO_TYPE = 3, SO_ERROR = 4, SO_DONTROUTE = 5, SO_BROADCAST = 6, SO_SNDBUF = 7,
    SO_RCVBUF = 8, SO_KEEPALIVE = 9, SO_OOBINLINE = 10, SO_PRIORITY = 12, SO_LINGER = 13, SO_REUSEPORT = 15,
    SO_PASSCRED = 16, SO_PEERCRED = 17, SO_RCVLOWAT = 18, SO_SNDLOWAT = 19, SO_RCVTIMEO = 20, SO_SNDTIMEO = 21,
    SO_BINDTODEVICE = 25, SO_PEERNAME = 28, SO_TIMESTAMP = 29, SO_ACCEPTCONN = 30, SO_PEERSEC = 31,
    SO_SNDBUFFORCE = 32, SO_RCVBUFFORCE = 33, SO_PASSSEC = 34, SO_TIMESTAMPNS = 35, SO_MARK = 36, SO_PROTOCOL = 38,
    SO_DOMAIN = 39, SO_RXQ_OVFL = 40, SO_PEEK_OFF = 42, SO_INCOMING_CPU = 49, SO_COOKIE = 57, SO_PEERGROUPS = 59,
    SO_ZEROCOPY = 60, SO_RCVTIMEO_NEW = 66, SO_SNDTIMEO_NEW = 67,
};

/* struct sockaddr_storage: the family, then what it means to that. Length 0: none was given, or there is none. */
struct address {
    uint32_t length;
    uint8_t bytes[128];
};
/* AF_UNSPEC for one that is too short to say. */
uint16_t address_family(const struct address *address);

/* Control messages, one after the other as in cmsg(3). To send: `length` bytes, each header checked. To receive: control_put() adds them. */
struct control {
    uint8_t *bytes;
    uint32_t length, room;
};
struct control_message {
    uint32_t level, type;
    const uint8_t *data;
    size_t size;
};
/* The message at *position, which moves on; false: there is none left. */
bool control_next(const struct control *control, uint32_t *position, struct control_message *message);

struct cargo; /* what a family has made of control messages that are sent */

struct message {
    uint8_t *data;           /* to send, or room for what comes */
    size_t length;           /* bytes there */
    uint32_t flags;          /* MSG_* of the call. MSG_DONTWAIT, MSG_WAITALL, MSG_NOSIGNAL and MSG_WAITFORONE are served before */
    struct address address;  /* to send: to whom; received: from whom */
    struct control control;
    struct cargo *cargo;     /* to send: what the first attempt has taken in, for the next ones; NULL: nothing yet */
    size_t full_length;      /* received: of the datagram or record, if that is longer than what is returned */
    uint32_t received_flags; /* MSG_TRUNC, MSG_CTRUNC, MSG_EOR, MSG_OOB */
};
/* Adds a control message to one that is being received; what does not fit is cut (data) or left out, with MSG_CTRUNC (put_cmsg() of Linux). */
void control_put(struct message *message, uint32_t level, uint32_t type, const void *data, size_t size);
/* How many bytes of data a control message could still have. */
size_t control_room(const struct message *message);

struct socket;

struct socket_operations {
    int64_t (*bind)(struct socket *socket, const struct address *address);
    int64_t (*connect)(struct socket *socket, const struct address *address, struct poller *poller);
    int64_t (*listen)(struct socket *socket, int32_t backlog);
    int64_t (*accept)(struct socket *socket, struct socket **connected, struct address *peer, struct poller *poller);
    int64_t (*name)(struct socket *socket, bool peer, struct address *address);
    /* The bytes that were taken; a stream may take fewer. -EPIPE: the caller raises SIGPIPE (stream sockets, without MSG_NOSIGNAL). */
    int64_t (*send)(struct socket *socket, struct message *message, struct poller *poller);
    void (*discard_cargo)(struct cargo *cargo); /* a message was sent, or never will be; NULL: `send` keeps none */
    /* The bytes put into `data`; 0: the end, or an empty message. */
    int64_t (*receive)(struct socket *socket, struct message *message, struct poller *poller);
    int64_t (*shutdown)(struct socket *socket, enum shutdown_how how);
    /* *size in: room (OPTION_SIZE_MAX at most), out: the value's size, which may be more than the room that was asked for: it is
     * cut for the application. Levels and names that mean the same in all families never come here (option.c). */
    int64_t (*get_option)(struct socket *socket, uint32_t level, uint32_t name, void *value, uint32_t *size);
    int64_t (*set_option)(struct socket *socket, uint32_t level, uint32_t name, const void *value, uint32_t size);
    uint32_t (*poll)(struct socket *socket, struct poller *poller);
    /* What of the host's stands behind it, if its readiness is that alone (file_operations); NULL: nothing. */
    int (*host_descriptor)(const struct socket *socket);
    bool (*is_read_up)(struct socket *socket); /* file_operations */
    bool (*has_ahead)(struct socket *socket); /* file_operations */
    int64_t (*ioctl)(struct socket *socket, uint32_t request, user_address argument); /* -ENOTTY: the interfaces are asked (netdevice(7)) */
    void (*close)(struct socket *socket); /* gives the memory back as well */
};
#define OPTION_SIZE_MAX 512U

/* What is kept for every socket; the rest is the family's. */
struct socket {
    const struct socket_operations *operations;
    uint16_t domain;
    uint16_t type; /* enum socket_type */
    uint32_t protocol;
    uint64_t receive_timeout_ns, send_timeout_ns; /* NO_TIMEOUT: none */
    struct file *file; /* not counted; NULL: it has none yet */
    uint64_t inode; /* for /proc/net: the number and the owner of its file */
    uint32_t owner;
};

struct socket_family {
    uint16_t domain;
    /* Fills in `operations` and its own; `protocol` may be 0. -ESOCKTNOSUPPORT, -EPROTONOSUPPORT, ... */
    int64_t (*create)(enum socket_type type, uint32_t protocol, struct socket **created);
    int64_t (*pair)(enum socket_type type, uint32_t protocol, struct socket *ends[2]); /* NULL: -EOPNOTSUPP */
};
/* The family's row, or NULL. */
const struct socket_family *family_of(uint32_t domain);

/* For families: what a fresh socket starts with. */
void socket_initialise(
    struct socket *socket, const struct socket_operations *operations, uint32_t domain, uint32_t type, uint32_t protocol);

/* Call once, when the file system has started. */
void net_start(void);

/* The socket of an open file; NULL: it is none. */
struct socket *socket_of(const struct file *file);
/* An open file of the socket, which is closed with it. Negative: the socket is still the caller's. */
int64_t socket_open(struct socket *socket, uint32_t flags, struct file **file);

#endif
