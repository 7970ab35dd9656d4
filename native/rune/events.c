#define _GNU_SOURCE
#include "events.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "epc.h"
#include "json_edit.h"

#define STATISTICS "\"stats\""
#define DATA "[\"data\"]"
#define PLACE "[\"data\",\"sgx_epc\"]"

bool finds_epc(const struct command_line *line, struct container_place *place)
{
    struct epc epc;
    return line->id && container_kind(line).kind == KIND_TEE && find_container(line, place) && read_epc(place->misc_group, &epc);
}

static bool is_statistics(struct json event)
{
    struct json type, data;
    return json_key(event, "type", &type) == JSON_FOUND && json_equal(type, json_literal(STATISTICS)) &&
           json_at(event, json_literal(DATA), &data) == JSON_FOUND && *data.at == '{';
}

static void describe(char *text, size_t size, const struct epc *epc)
{
    char limit[64] = "";
    if (epc->limit != UINT64_MAX)
        snprintf(limit, sizeof(limit), "\"max\":%" PRIu64 ",", epc->limit);
    snprintf(text, size, "{\"usage\":%" PRIu64 ",%s\"failcnt\":%" PRIu64 "}", epc->usage, limit, epc->failures);
}

static void copy_event(const struct container_place *place, struct json event)
{
    struct epc epc;
    struct text changed = {0};
    char value[256];
    if (is_statistics(event) && read_epc(place->misc_group, &epc)) {
        describe(value, sizeof(value), &epc);
        json_write_with(&changed, event, json_literal(PLACE), json_literal(value));
    } else {
        text_add_json(&changed, event);
    }
    fwrite(changed.at, 1, changed.used, stdout);
    fflush(stdout);
    free(changed.at);
}

void copy_events(const struct container_place *place, FILE *in)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t size;
    while ((size = getline(&text, &room, in)) > 0)
        copy_event(place, (struct json){text, text + size});
    free(text);
}
