#define _GNU_SOURCE
#include "request.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "file.h"
#include "json.h"

/* Inclavare Containers: docs/design/terminology.md and rune's annotations; enclavize/rune/inclavare.py reads them. */
static const char *const variables[] = {"ENCLAVE_TYPE=", "ENCLAVE_RUNTIME_PATH=", "RUNE_CARRIER="};
#define ANNOTATION_PREFIX "enclave."

/* containerd, pkg/cri/annotations; CRI-O, pkg/annotations. */
static const char *const container_types[] = {"io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"};
#define SANDBOX "sandbox"

static enum json_result is_sandbox(struct json annotations, bool *sandbox)
{
    for (size_t i = 0; i < sizeof(container_types) / sizeof(*container_types); i++) {
        struct json value;
        char text[sizeof(SANDBOX)];
        enum json_result found = json_key(annotations, container_types[i], &value);
        if (found == JSON_INVALID)
            return JSON_INVALID;
        if (found == JSON_FOUND && json_string(value, text, sizeof(text)) && strcmp(text, SANDBOX) == 0)
            *sandbox = true;
    }
    return JSON_FOUND;
}

static bool begins_with(struct json value, const char *prefix, char name[REQUEST_SIZE])
{
    return json_string_start(value, name, REQUEST_SIZE) && strncmp(name, prefix, strlen(prefix)) == 0;
}

/* "" asks for nothing. */
static bool is_empty(struct json value)
{
    return value.end - value.at <= 2;
}

static enum json_result annotation_asks(struct json annotations, char name[REQUEST_SIZE])
{
    enum json_result found;
    struct json key, value;
    while ((found = json_entry(&annotations, &key, &value)) == JSON_FOUND) {
        if (begins_with(key, ANNOTATION_PREFIX, name) && !is_empty(value))
            return JSON_FOUND;
    }
    return found;
}

static enum json_result variable_asks(struct json process, char name[REQUEST_SIZE])
{
    struct json list, item;
    enum json_result found = json_member(process, "env", &list);
    if (found != JSON_FOUND || *list.at != '[')
        return found == JSON_FOUND ? JSON_ABSENT : found;
    while ((found = json_element(&list, &item)) == JSON_FOUND) {
        for (size_t i = 0; i < sizeof(variables) / sizeof(*variables); i++) {
            if (begins_with(item, variables[i], name) && name[strlen(variables[i])]) {
                *strchr(name, '=') = 0;
                return JSON_FOUND;
            }
        }
    }
    return found;
}

static enum request request_of(struct json config, char name[REQUEST_SIZE])
{
    struct json annotations, process;
    bool sandbox = false;
    enum json_result found = json_member(config, "annotations", &annotations);
    if (found == JSON_FOUND && *annotations.at == '{') {
        if (is_sandbox(annotations, &sandbox) == JSON_INVALID)
            return REQUEST_UNKNOWN;
        if (sandbox)
            return REQUEST_SANDBOX;
        found = annotation_asks(annotations, name);
        if (found == JSON_FOUND)
            return REQUEST_ENCLAVE;
    }
    if (found == JSON_INVALID)
        return REQUEST_UNKNOWN;
    found = json_member(config, "process", &process);
    if (found == JSON_FOUND && *process.at == '{')
        found = variable_asks(process, name);
    else if (found == JSON_FOUND)
        found = JSON_ABSENT;
    return found == JSON_FOUND ? REQUEST_ENCLAVE : found == JSON_ABSENT ? REQUEST_NONE : REQUEST_UNKNOWN;
}

enum request bundle_request(const char *bundle, char name[REQUEST_SIZE])
{
    struct json config;
    int directory = open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return REQUEST_NONE; /* runc says what is wrong with it */
    bool mapped = map_file(directory, "config.json", &config);
    int error = errno;
    close(directory);
    if (!mapped)
        return error == 0 ? REQUEST_NONE : REQUEST_UNKNOWN;
    enum request request = request_of(config, name);
    munmap((void *)config.at, (size_t)(config.end - config.at));
    return request;
}
