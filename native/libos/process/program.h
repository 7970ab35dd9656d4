/* Programs: ELF or `#!` script, the interpreter, and the place in memory. Between the files of the process room only. */
#ifndef ENCLAVIZE_PROGRAM_H
#define ENCLAVIZE_PROGRAM_H

#include "process/elf_file.h"
#include "process/process.h"

#define PATH_SIZE 4096U

/* What is to run: open, and its headers checked. */
struct program {
    struct file *file;        /* counted */
    struct file *interpreter; /* counted; NULL: none */
    struct elf_file elf, interpreter_elf;
    char name[PATH_SIZE];     /* as the caller asked for it: a script's name, too */
};

/* An empty one; NULL: no memory. */
struct program *program_create(void);
void program_close(struct program *program);
/* -ENOMEM: program_has_no_place. */
int64_t program_check_place(const struct program *program);
extern const char program_has_no_place[];
/* Nothing is in the space afterwards, and the program has its place. 0, -ENOMEM. */
int64_t program_make_room(const struct program *program, struct space *space);
/* What an error of the functions below means to a user. */
const char *program_error(int64_t error);
/* `count` strings of the host's, one after the other from *at on; false: they do not fit the bytes, or there is no memory. */
bool strings_from_host(struct strings *to, uint32_t count, const char **at, const char *end);

/* What arguments[0] names, searched in PATH as execvp(3) does. Scripts put their interpreters before the arguments. 0 or a
 * negative errno; then `problem` says more if there is more to say. */
int64_t program_search(struct program *program, struct strings *arguments, const struct strings *environment,
                       const char **problem);
/* The same for what execveat(2) names. */
int64_t program_open(struct program *program, int descriptor, const char *path, uint32_t flags, struct strings *arguments);

/* What /proc and prctl(2) call the calling process's thread: the last part of the path. */
void program_set_name(const char *path);
/* Maps it into the current space, which is empty, and sets the context to its first instruction. 0 or a negative errno: some
 * of it may be there. */
int64_t program_map(const struct program *program, const struct strings *arguments, const struct strings *environment,
                    struct context *context);

#endif
