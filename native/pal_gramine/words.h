/* The loader's arguments and environment: what the host gives, and the image's defaults of what it does not. */
#ifndef ENCLAVIZE_PAL_GRAMINE_WORDS_H
#define ENCLAVIZE_PAL_GRAMINE_WORDS_H

#include "instance.h"

struct words {
    char **arguments;   /* both end with NULL; one allocation each */
    char **environment;
    char *defaults;     /* the file's content, into which the others point */
};

/* The strings of `arguments` and `environment` are not copied: they must live as long as the words. 0, or a negative errno. */
int words_make(struct words *words, const struct instance *instance, char **arguments, char **environment);
void words_free(struct words *words);

#endif
