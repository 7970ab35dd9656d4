/*
 * AF_NETLINK, of which NETLINK_ROUTE answers what getifaddrs(3) and its like ask: links and addresses. It is made here, of what interfaces.c says;
 * nothing is ever told that was not asked for, and nothing can be changed.
 */
#include "net/families.h"
#include "net/interfaces.h"
#include "net/socket.h"

/* Linux, include/uapi/linux/netlink.h and rtnetlink.h. */
#define NETLINK_ROUTE 0U
#define SOCKADDR_NL_SIZE 12U
enum message_type { NLMSG_NOOP = 1, NLMSG_ERROR = 2, NLMSG_DONE = 3, RTM_NEWLINK = 16, RTM_GETLINK = 18, RTM_NEWADDR = 20, RTM_GETADDR = 22, RTM_GETROUTE = 26, RTM_GETNEIGH = 30, RTM_GETRULE = 34 };
enum message_flag { NLM_F_REQUEST = 1, NLM_F_MULTI = 2, NLM_F_ACK = 4, NLM_F_DUMP = 0x300 };
enum link_attribute { IFLA_ADDRESS = 1, IFLA_BROADCAST = 2, IFLA_IFNAME = 3, IFLA_MTU = 4, IFLA_TXQLEN = 13, IFLA_OPERSTATE = 16 };
enum address_attribute { IFA_ADDRESS = 1, IFA_LOCAL = 2, IFA_LABEL = 3, IFA_BROADCAST = 4, IFA_FLAGS = 8 };
#define IFA_F_PERMANENT 0x80U
#define IF_OPER_UP 6U
#define IFF_RUNNING 0x40U
#define HARDWARE_SIZE 6U
#define TXQLEN 1000U

#define REPLY_SIZE 4096U /* a datagram; readers have at least a page */
#define REPLIES_MAX 64U

struct nlmsghdr {
    uint32_t length;
    uint16_t type;
    uint16_t flags;
    uint32_t sequence;
    uint32_t port;
};

struct sockaddr_nl {
    uint16_t family;
    uint16_t padding;
    uint32_t port;
    uint32_t groups;
};
_Static_assert(sizeof(struct sockaddr_nl) == SOCKADDR_NL_SIZE, "struct sockaddr_nl");

struct reply {
    struct reply *next;
    size_t used;
    uint8_t bytes[REPLY_SIZE];
};

struct netlink {
    struct event_source source;
    struct socket socket;
    struct mutex lock; /* guards all below */
    struct reply *first, *last;
    uint32_t count;
    uint32_t port, groups; /* 0: not bound yet */
};

static struct netlink *netlink_of(struct socket *socket)
{
    return CONTAINER_OF(socket, struct netlink, socket);
}

/* Replies are written message by message; one that does not fit begins a new datagram. */
struct writer {
    struct netlink *netlink;
    const struct nlmsghdr *request;
    bool failed;
};

static struct reply *new_reply(struct netlink *netlink)
{
    struct reply *reply = netlink->count < REPLIES_MAX ? allocate(sizeof(struct reply)) : NULL;
    if (reply) {
        *(netlink->last ? &netlink->last->next : &netlink->first) = reply;
        netlink->last = reply;
        netlink->count++;
    }
    return reply;
}

/* A message is made here first: no more than a few attributes. */
struct draft {
    size_t used;
    uint8_t bytes[512];
};

static void add_bytes(struct draft *draft, const void *bytes, size_t size)
{
    memcpy(draft->bytes + draft->used, bytes, size);
    draft->used = (draft->used + size + 3) & ~(size_t)3;
}

static void add_attribute(struct draft *draft, uint16_t type, const void *value, size_t size)
{
    const uint16_t header[2] = {(uint16_t)(sizeof(header) + size), type};
    memcpy(draft->bytes + draft->used, header, sizeof(header));
    draft->used += sizeof(header);
    add_bytes(draft, value, size);
}

static void write_message(struct writer *writer, uint16_t type, uint16_t flags, const struct draft *draft)
{
    struct netlink *netlink = writer->netlink;
    const struct nlmsghdr header = {
        .length = (uint32_t)(sizeof(header) + draft->used), .type = type, .flags = flags, .sequence = writer->request->sequence, .port = netlink->port};
    struct reply *reply = netlink->last;
    if (!reply || sizeof(reply->bytes) - reply->used < header.length) {
        reply = new_reply(netlink);
    }
    if (!reply) {
        writer->failed = true;
        return;
    }
    memcpy(reply->bytes + reply->used, &header, sizeof(header));
    memcpy(reply->bytes + reply->used + sizeof(header), draft->bytes, draft->used);
    reply->used += header.length;
}

static void write_link(struct writer *writer, const struct host_interface *record, uint16_t flags)
{
    struct draft draft = {0};
    const struct {
        uint8_t family, padding;
        uint16_t type;
        uint32_t index, flags, change;
    } link = {.type = record->hardware_type, .index = record->index, .flags = record->flags};
    const uint8_t broadcast[HARDWARE_SIZE] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, none[HARDWARE_SIZE] = {0};
    const uint32_t queue = TXQLEN;
    const uint8_t state = record->flags & IFF_RUNNING ? IF_OPER_UP : 0;
    bool has_hardware = memcmp(record->hardware, none, sizeof(none)) != 0;
    add_bytes(&draft, &link, sizeof(link));
    add_attribute(&draft, IFLA_IFNAME, record->name, strlen(record->name) + 1);
    add_attribute(&draft, IFLA_TXQLEN, &queue, sizeof(queue));
    add_attribute(&draft, IFLA_OPERSTATE, &state, sizeof(state));
    add_attribute(&draft, IFLA_MTU, &record->mtu, sizeof(record->mtu));
    add_attribute(&draft, IFLA_ADDRESS, record->hardware, HARDWARE_SIZE);
    add_attribute(&draft, IFLA_BROADCAST, has_hardware ? broadcast : none, HARDWARE_SIZE);
    write_message(writer, RTM_NEWLINK, flags, &draft);
}

static void write_address(struct writer *writer, const struct host_interface *record, uint16_t flags)
{
    struct draft draft = {0};
    const struct {
        uint8_t family, prefix, flags, scope;
        uint32_t index;
    } address = {.family = (uint8_t)record->family, .prefix = (uint8_t)record->prefix, .flags = IFA_F_PERMANENT, .scope = (uint8_t)record->scope, .index = record->index};
    const uint32_t permanent = IFA_F_PERMANENT;
    static const uint8_t none[4];
    size_t size = record->family == AF_INET ? 4 : 16;
    add_bytes(&draft, &address, sizeof(address));
    add_attribute(&draft, IFA_ADDRESS, record->address, size);
    if (record->family == AF_INET) {
        add_attribute(&draft, IFA_LOCAL, record->address, size);
        if (memcmp(record->broadcast, none, sizeof(none)) != 0) {
            add_attribute(&draft, IFA_BROADCAST, record->broadcast, size);
        }
        add_attribute(&draft, IFA_LABEL, record->name, strlen(record->name) + 1);
    }
    add_attribute(&draft, IFA_FLAGS, &permanent, sizeof(permanent));
    write_message(writer, RTM_NEWADDR, flags, &draft);
}

/* The first record of each interface stands for the link. */
static bool is_first(const struct interfaces *interfaces, size_t index)
{
    for (size_t at = 0; at < index; at++) {
        if (interfaces->list[at].index == interfaces->list[index].index) {
            return false;
        }
    }
    return true;
}

static void write_error(struct writer *writer, int32_t error)
{
    struct draft draft = {0};
    add_bytes(&draft, &error, sizeof(error));
    add_bytes(&draft, writer->request, sizeof(*writer->request));
    write_message(writer, NLMSG_ERROR, 0, &draft);
}

static int64_t write_all(struct writer *writer, uint16_t type, uint8_t family)
{
    struct interfaces interfaces;
    int64_t result = interfaces_read(&interfaces);
    if (result < 0) {
        return result;
    }
    for (size_t at = 0; at < interfaces.count; at++) {
        const struct host_interface *record = &interfaces.list[at];
        if (type == RTM_GETLINK && is_first(&interfaces, at)) {
            write_link(writer, record, NLM_F_MULTI);
        } else if (type == RTM_GETADDR && record->family != 0 && (family == AF_UNSPEC || family == record->family)) {
            write_address(writer, record, NLM_F_MULTI);
        }
    }
    interfaces_free(&interfaces);
    return 0;
}

/* One link, by its number. */
static int64_t write_one(struct writer *writer, uint32_t index)
{
    struct interfaces interfaces;
    int64_t result = interfaces_read(&interfaces);
    if (result < 0) {
        return result;
    }
    result = -ENODEV;
    for (size_t at = 0; at < interfaces.count && result < 0; at++) {
        if (interfaces.list[at].index == index) {
            write_link(writer, &interfaces.list[at], 0);
            result = 0;
        }
    }
    interfaces_free(&interfaces);
    return result;
}

/* What stands behind the header begins with a family; for one link, its number is four bytes on. */
static int64_t serve(struct writer *writer, const uint8_t *payload, size_t size)
{
    const struct nlmsghdr *request = writer->request;
    bool is_dump = (request->flags & NLM_F_DUMP) != 0;
    uint8_t family = size > 0 ? payload[0] : AF_UNSPEC;
    bool has_all = request->type == RTM_GETLINK || request->type == RTM_GETADDR;
    bool has_none = request->type == RTM_GETROUTE || request->type == RTM_GETNEIGH || request->type == RTM_GETRULE;
    if (is_dump && (has_all || has_none)) {
        struct draft done = {0};
        int32_t status = has_all ? (int32_t)write_all(writer, request->type, family) : 0;
        add_bytes(&done, &status, sizeof(status));
        write_message(writer, NLMSG_DONE, NLM_F_MULTI, &done);
        return 0;
    }
    if (request->type == RTM_GETLINK && size >= 8) {
        uint32_t index;
        memcpy(&index, payload + 4, sizeof(index));
        return write_one(writer, index);
    }
    return request->type >= RTM_NEWLINK && !has_all && !has_none ? -EPERM : -EOPNOTSUPP;
}

static void bind_locked(struct netlink *netlink, uint32_t port)
{
    static uint32_t taken; /* numbers of sockets, as Linux gives them: the process's, then negative ones */
    if (port == 0) {
        uint32_t number = __atomic_fetch_add(&taken, 1, __ATOMIC_RELAXED);
        port = number == 0 ? (uint32_t)current_process()->id : (uint32_t)-4096 - number;
    }
    netlink->port = port;
}

/* Every message of a datagram is served; none is left half done. */
static int64_t netlink_send(struct socket *socket, struct message *message, struct poller *poller)
{
    struct netlink *netlink = netlink_of(socket);
    struct writer writer = {.netlink = netlink};
    (void)poller;
    if ((message->flags & MSG_OOB) != 0) {
        return -EOPNOTSUPP;
    }
    if (message->address.length > 0) {
        struct sockaddr_nl to;
        if (message->address.length < sizeof(to) || address_family(&message->address) != AF_NETLINK) {
            return -EINVAL;
        }
        memcpy(&to, message->address.bytes, sizeof(to));
        if (to.port != 0) {
            return -ECONNREFUSED; /* nobody but the kernel is there */
        }
    }
    mutex_lock(&netlink->lock);
    if (netlink->port == 0) {
        bind_locked(netlink, 0);
    }
    for (size_t at = 0; message->length - at >= sizeof(struct nlmsghdr);) {
        struct nlmsghdr header;
        memcpy(&header, message->data + at, sizeof(header));
        if (header.length < sizeof(header) || header.length > message->length - at) {
            break;
        }
        writer.request = &header;
        if ((header.flags & NLM_F_REQUEST) != 0 && header.type >= RTM_NEWLINK) {
            int64_t error = serve(&writer, message->data + at + sizeof(header), header.length - sizeof(header));
            if (error < 0 || ((header.flags & NLM_F_ACK) != 0 && (header.flags & NLM_F_DUMP) == 0)) {
                write_error(&writer, (int32_t)error);
            }
        }
        size_t step = (header.length + 3) & ~(size_t)3;
        at = step < message->length - at ? at + step : message->length;
    }
    mutex_unlock(&netlink->lock);
    event_source_has_data(&netlink->source);
    return writer.failed ? -ENOBUFS : (int64_t)message->length;
}

static int64_t check_netlink(const struct file *file)
{
    const struct socket *socket = socket_of(file);
    return !socket ? -ENOTSOCK : socket->domain != AF_NETLINK ? -EINVAL : 0;
}

/* A datagram of its own. Without memory it is lost, as when the socket's buffer is full. */
static void tell_by_netlink(const struct file *file, const void *bytes, size_t size)
{
    struct netlink *netlink = netlink_of(socket_of(file));
    mutex_lock(&netlink->lock);
    struct reply *reply = size <= REPLY_SIZE ? new_reply(netlink) : NULL;
    if (reply) {
        memcpy(reply->bytes, bytes, size);
        reply->used = size;
    }
    mutex_unlock(&netlink->lock);
    event_source_has_data(&netlink->source);
}

void netlink_start(void)
{
    fs_upcalls.check_netlink = check_netlink;
    fs_upcalls.tell_by_netlink = tell_by_netlink;
}

static int64_t netlink_receive(struct socket *socket, struct message *message, struct poller *poller)
{
    struct netlink *netlink = netlink_of(socket);
    const struct sockaddr_nl kernel = {.family = AF_NETLINK};
    poller_watch(poller, &netlink->source);
    mutex_lock(&netlink->lock);
    struct reply *reply = netlink->first;
    int64_t result = -EAGAIN;
    if (reply) {
        size_t size = reply->used < message->length ? reply->used : message->length;
        memcpy(message->data, reply->bytes, size);
        memcpy(message->address.bytes, &kernel, sizeof(kernel));
        message->address.length = sizeof(kernel);
        message->full_length = reply->used;
        message->received_flags |= size < reply->used ? MSG_TRUNC : 0;
        result = (int64_t)size;
        if ((message->flags & MSG_PEEK) == 0) {
            netlink->first = reply->next;
            netlink->last = !netlink->first ? NULL : netlink->last;
            netlink->count--;
            release(reply, sizeof(struct reply));
        }
    }
    mutex_unlock(&netlink->lock);
    return result;
}

static int64_t take_name(const struct address *address, struct sockaddr_nl *name)
{
    if (address->length < sizeof(*name) || address_family(address) != AF_NETLINK) {
        return -EINVAL;
    }
    memcpy(name, address->bytes, sizeof(*name));
    return 0;
}

static int64_t netlink_bind(struct socket *socket, const struct address *address)
{
    struct netlink *netlink = netlink_of(socket);
    struct sockaddr_nl name;
    int64_t result = take_name(address, &name);
    if (result < 0) {
        return result;
    }
    mutex_lock(&netlink->lock);
    if (netlink->port != 0 && name.port != 0 && name.port != netlink->port) {
        result = -EINVAL;
    } else if (netlink->port == 0) {
        bind_locked(netlink, name.port);
    }
    netlink->groups = result == 0 ? name.groups : netlink->groups; /* nothing is ever told to a group */
    mutex_unlock(&netlink->lock);
    return result;
}

/* Only the kernel can be a peer. */
static int64_t netlink_connect(struct socket *socket, const struct address *address, struct poller *poller)
{
    struct sockaddr_nl name;
    (void)poller;
    int64_t result = take_name(address, &name);
    if (result == 0 && name.port != 0) {
        result = -ECONNREFUSED;
    }
    if (result == 0) {
        struct netlink *netlink = netlink_of(socket);
        mutex_lock(&netlink->lock);
        if (netlink->port == 0) {
            bind_locked(netlink, 0);
        }
        mutex_unlock(&netlink->lock);
    }
    return result;
}

static int64_t netlink_name(struct socket *socket, bool is_peer, struct address *address)
{
    struct netlink *netlink = netlink_of(socket);
    struct sockaddr_nl name = {.family = AF_NETLINK};
    mutex_lock(&netlink->lock);
    if (!is_peer) {
        name.port = netlink->port;
        name.groups = netlink->groups;
    }
    mutex_unlock(&netlink->lock);
    memcpy(address->bytes, &name, sizeof(name));
    address->length = sizeof(name);
    return 0;
}

static uint32_t netlink_poll(struct socket *socket, struct poller *poller)
{
    struct netlink *netlink = netlink_of(socket);
    poller_watch(poller, &netlink->source);
    mutex_lock(&netlink->lock);
    uint32_t events = POLLOUT | POLLWRNORM | POLLWRBAND | (netlink->first ? POLLIN | POLLRDNORM : 0);
    mutex_unlock(&netlink->lock);
    return events;
}

#define SOL_NETLINK 270U
#define BUFFER_SIZE 212992

static int64_t netlink_get_option(struct socket *socket, uint32_t level, uint32_t name, void *value, uint32_t *size)
{
    int32_t number = name == SO_SNDBUF || name == SO_RCVBUF ? BUFFER_SIZE : 0;
    bool is_known = name == SO_SNDBUF || name == SO_RCVBUF || name == SO_ERROR || name == SO_ACCEPTCONN;
    (void)socket;
    if (level != SOL_SOCKET || !is_known) {
        return -ENOPROTOOPT;
    }
    memcpy(value, &number, *size = sizeof(number));
    return 0;
}

/* Buffers' sizes are a wish. How errors are told, and what groups hear, changes nothing here. */
static int64_t netlink_set_option(struct socket *socket, uint32_t level, uint32_t name, const void *value, uint32_t size)
{
    bool is_wish = level == SOL_SOCKET && (name == SO_SNDBUF || name == SO_RCVBUF || name == SO_PASSCRED);
    (void)socket;
    (void)value;
    (void)size;
    return is_wish || level == SOL_NETLINK ? 0 : -ENOPROTOOPT;
}

static void netlink_unused(struct event_source *source)
{
    struct netlink *netlink = CONTAINER_OF(source, struct netlink, source);
    while (netlink->first) {
        struct reply *reply = netlink->first;
        netlink->first = reply->next;
        release(reply, sizeof(struct reply));
    }
    release(netlink, sizeof(struct netlink));
}

static void netlink_close(struct socket *socket)
{
    event_source_put(&netlink_of(socket)->source);
}

static const struct socket_operations operations = {
    .bind = netlink_bind,
    .connect = netlink_connect,
    .name = netlink_name,
    .send = netlink_send,
    .receive = netlink_receive,
    .get_option = netlink_get_option,
    .set_option = netlink_set_option,
    .poll = netlink_poll,
    .close = netlink_close,
};

static int64_t netlink_create(enum socket_type type, uint32_t protocol, struct socket **created)
{
    if (type != SOCK_RAW && type != SOCK_DGRAM) {
        return -ESOCKTNOSUPPORT;
    }
    if (protocol != NETLINK_ROUTE) {
        return -EPROTONOSUPPORT;
    }
    struct netlink *netlink = allocate(sizeof(struct netlink));
    if (!netlink) {
        return -ENOMEM;
    }
    netlink->source.references = 1;
    netlink->source.changes = 1;
    netlink->source.unused = netlink_unused;
    socket_initialise(&netlink->socket, &operations, AF_NETLINK, type, protocol);
    *created = &netlink->socket;
    return 0;
}

const struct socket_family netlink_family = {.domain = AF_NETLINK, .create = netlink_create};
