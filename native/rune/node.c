#define _GNU_SOURCE
#include "node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "report.h"
#include "text.h"

#define DEFAULT_SOCKET "/run/enclavize-node/socket" /* enclavize/node/places.py */
#define SOCKET_VARIABLE "ENCLAVIZE_NODE_SOCKET"
#define ANSWER_LIMIT (64 << 10)

static bool fail(const struct command_line *line, const char *path, const char *what, int error)
{
    char message[PATH_MAX + 256];
    snprintf(message, sizeof(message),
             "this node makes enclaves of ordinary images (ordinary = 'convert'), and its daemon at %s %s%s%s; see: enclavize node serve, "
             "systemctl status enclavize-node", path, what, error ? ": " : "", error ? strerror(error) : "");
    report_error(line, message);
    return false;
}

static const char *socket_path(const struct command_line *line)
{
    const char *chosen = line->node ? line->node : getenv(SOCKET_VARIABLE);
    return chosen && *chosen ? chosen : DEFAULT_SOCKET;
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection >= 0 && connect(connection, (struct sockaddr *)&address, sizeof(address)) == 0)
        return connection;
    int error = errno;
    if (connection >= 0)
        close(connection);
    errno = error;
    return -1;
}

static bool write_request(const struct command_line *line, struct text *request)
{
    char *bundle = realpath(line->bundle, NULL);
    text_add_word(request, "{\"version\":1,\"operation\":\"convert\",\"id\":");
    text_add_string(request, line->id ? line->id : "");
    text_add_word(request, ",\"bundle\":");
    text_add_string(request, bundle ? bundle : "");
    text_add_word(request, "}\n");
    free(bundle);
    return !request->failed;
}

static bool send_all(int connection, struct json request)
{
    while (request.at < request.end) {
        ssize_t sent = send(connection, request.at, (size_t)(request.end - request.at), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        request.at += sent;
    }
    return true;
}

/* Everything until the daemon ends the connection, which it does once there is an answer. */
static bool receive(int connection, struct json *answer)
{
    char *bytes = malloc(ANSWER_LIMIT);
    size_t used = 0;
    ssize_t size = bytes ? 1 : -1;
    while (size > 0 && used < ANSWER_LIMIT) {
        do
            size = recv(connection, bytes + used, ANSWER_LIMIT - used, 0);
        while (size < 0 && errno == EINTR);
        used += size > 0 ? (size_t)size : 0;
    }
    *answer = (struct json){bytes, bytes + used};
    return size == 0 && used > 0;
}

static void report_refusal(const struct command_line *line, struct json answer, struct json error)
{
    struct json value;
    char message[4096], *text = json_text(error), *hint = NULL;
    if (json_key(answer, "hint", &value) == JSON_FOUND && !json_is_null(value))
        hint = json_text(value);
    snprintf(message, sizeof(message), "%s%s%s", text ? text : "the node's daemon refuses", hint ? "; " : "", hint ? hint : "");
    report_error(line, message);
}

static bool read_answer(const struct command_line *line, const char *path, struct json answer, char tree[PATH_MAX])
{
    struct json value;
    if (json_key(answer, "error", &value) == JSON_FOUND) {
        report_refusal(line, answer, value);
        return false;
    }
    if (json_key(answer, "tree", &value) == JSON_FOUND && json_string(value, tree, PATH_MAX) && *tree == '/')
        return true;
    return fail(line, path, "is not of the version of rune", 0);
}

bool ask_node(const struct command_line *line, char tree[PATH_MAX])
{
    const char *path = socket_path(line);
    struct text request = {0};
    struct json answer;
    int connection = connect_to(path);
    if (connection < 0)
        return fail(line, path, "does not answer", errno);
    bool sent = write_request(line, &request) && send_all(connection, text_json(&request));
    bool received = receive(connection, &answer); /* it may have said why it reads no more */
    close(connection);
    if (!received)
        return fail(line, path, sent ? "ended before it had answered" : "took no request", 0);
    return read_answer(line, path, answer, tree);
}
