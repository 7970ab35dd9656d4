/*
 * What rune's reader of JSON finds in documents: root.path, a key of annotations, and labels.
 *
 * Input: documents, each behind one byte for its kind, which is left out, and its size in 4 bytes, little-endian.
 * A line of output has three words: the text in hex behind "=", "absent" or "invalid"; labels end with ";".
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "json.h"

#define TEXT_SIZE 4096

static void show_text(struct json value)
{
    char text[TEXT_SIZE];
    if (!json_string(value, text, sizeof(text))) {
        printf("invalid");
        return;
    }
    printf("=");
    for (const char *at = text; *at; at++)
        printf("%02x", (uint8_t)*at);
}

static void show(enum json_result found, struct json value)
{
    switch (found) {
    case JSON_FOUND:
        show_text(value);
        break;
    case JSON_ABSENT:
        printf("absent");
        break;
    case JSON_INVALID:
        printf("invalid");
        break;
    }
}

static void probe(struct json document)
{
    struct json inner, value = {0};
    enum json_result found = json_member(document, "root", &inner);
    if (found == JSON_FOUND)
        found = json_member(inner, "path", &value);
    show(found, value);
    printf(" ");
    found = json_member(document, "annotations", &inner);
    if (found == JSON_FOUND)
        found = json_key(inner, "k", &value);
    show(found, value);
    printf(" ");
    found = json_member(document, "labels", &inner);
    while (found == JSON_FOUND && (found = json_element(&inner, &value)) == JSON_FOUND) {
        show_text(value);
        printf(";");
    }
    show(found, value);
    printf("\n");
}

int main(void)
{
    for (;;) {
        uint8_t head[5];
        if (fread(head, sizeof(head), 1, stdin) != 1)
            return 0;
        size_t size = (size_t)head[1] | (size_t)head[2] << 8 | (size_t)head[3] << 16 | (size_t)head[4] << 24;
        char *document = malloc(size ? size : 1); /* of its own, so that the sanitizer sees each byte behind it */
        if (!document || fread(document, 1, size, stdin) != size)
            return 1;
        probe((struct json){document, document + size});
        free(document);
    }
}
