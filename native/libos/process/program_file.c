/* What is to run: the file, through `#!` lines, its headers, and its interpreter. Nothing is mapped here. */
#include "process/program.h"

#define SCRIPT_DEPTH_MAX 4
#define SCRIPT_LINE_MAX 256
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define AT_FDCWD (-100)

static int64_t read_exactly(struct file *file, void *to, uint64_t size, uint64_t offset)
{
    int64_t got = file_upcalls.read_at(file, to, size, offset);
    return got < 0 ? got : (uint64_t)got == size ? 0 : -EIO;
}

static int64_t parse_file(struct file *file, struct elf_file *elf, const char **problem)
{
    struct file_facts facts;
    file_upcalls.describe(file, &facts);
    char *head = pages_allocate(1);
    if (!head) {
        return -ENOMEM;
    }
    int64_t got = file_upcalls.read_at(file, head, ELF_HEAD_SIZE, 0);
    if (got >= 0) {
        *problem = elf_parse(elf, head, (size_t)got, facts.size);
    }
    pages_release(head, 1);
    return got < 0 ? got : *problem ? -ENOEXEC : 0;
}

static int64_t open_interpreter(struct program *program, const char **problem)
{
    const struct elf_file *elf = &program->elf;
    char *path = pages_allocate(1);
    if (!path) {
        return -ENOMEM;
    }
    int64_t error = read_exactly(program->file, path, elf->interpreter_size, elf->interpreter_offset);
    if (!error) {
        path[elf->interpreter_size - 1] = 0;
        error = process_upcalls.open_executable(AT_FDCWD, path, 0, &program->interpreter);
        if (error) {
            *problem = "its interpreter (PT_INTERP) cannot be opened";
        }
    }
    pages_release(path, 1);
    if (!error) {
        error = parse_file(program->interpreter, &program->interpreter_elf, problem);
    }
    if (!error && program->interpreter_elf.interpreter_size) {
        *problem = "its interpreter wants an interpreter";
        error = -ENOEXEC;
    }
    return error;
}

/* "#!interpreter argument\n": the new start of the argument list, or -ENOEXEC (execve(2)). */
static int64_t expand_script(const char *line, size_t size, const char *script, struct strings *arguments)
{
    const char *end = memchr(line, '\n', size);
    size_t length = end ? (size_t)(end - line) : size;
    size_t start = 2;
    while (start < length && (line[start] == ' ' || line[start] == '\t')) {
        start++;
    }
    size_t stop = start;
    while (stop < length && line[stop] != ' ' && line[stop] != '\t') {
        stop++;
    }
    if (start == stop || memchr(line, 0, length) || (!end && size == SCRIPT_LINE_MAX)) {
        return -ENOEXEC;
    }
    size_t extra = stop;
    while (extra < length && (line[extra] == ' ' || line[extra] == '\t')) {
        extra++;
    }
    while (length > extra && (line[length - 1] == ' ' || line[length - 1] == '\t')) {
        length--;
    }
    struct strings expanded = {0};
    bool done = strings_add(&expanded, line + start, stop - start) &&
                (extra >= length || strings_add(&expanded, line + extra, length - extra)) &&
                strings_add(&expanded, script, strlen(script)) && strings_add_all(&expanded, arguments, 1);
    if (!done) {
        strings_free(&expanded);
        return -ENOMEM;
    }
    strings_free(arguments);
    *arguments = expanded;
    return 0;
}

static const char *search_path(const struct strings *environment)
{
    for (const char *variable = strings_first(environment); variable;
         variable = strings_next(environment, variable)) {
        if (strncmp(variable, "PATH=", 5) == 0) {
            return variable + 5;
        }
    }
    return DEFAULT_PATH;
}

/* Opens `name` as execvp(3) would; the path that worked is left in `path`. */
static int64_t open_program(const char *name, const struct strings *environment, char path[PATH_SIZE],
                            struct file **file)
{
    if (!name[0] || strlen(name) >= PATH_SIZE) {
        return name[0] ? -ENAMETOOLONG : -ENOENT;
    }
    if (memchr(name, '/', strlen(name))) {
        format_text(path, PATH_SIZE, "%s", name);
        return process_upcalls.open_executable(AT_FDCWD, path, 0, file);
    }
    int64_t worst = -ENOENT;
    for (const char *directory = search_path(environment);;) {
        const char *colon = memchr(directory, ':', strlen(directory));
        int length = (int)(colon ? (size_t)(colon - directory) : strlen(directory));
        if (length && format_text(path, PATH_SIZE, "%.*s/%s", length, directory, name) < PATH_SIZE) {
            int64_t error = process_upcalls.open_executable(AT_FDCWD, path, 0, file);
            if (!error) {
                return 0;
            }
            worst = error == -EACCES ? error : worst;
        }
        if (!colon) {
            return worst;
        }
        directory = colon + 1;
    }
}

/* One step: `program->file` is a script that names another, or what shall be mapped. */
static int64_t look(struct program *program, struct strings *arguments, const char *path, const char **problem, bool *again)
{
    char line[SCRIPT_LINE_MAX];
    int64_t got = file_upcalls.read_at(program->file, line, sizeof line, 0);
    *again = got >= 2 && line[0] == '#' && line[1] == '!';
    if (*again) {
        return expand_script(line, (size_t)got, path, arguments);
    }
    int64_t error = got < 0 ? got : parse_file(program->file, &program->elf, problem);
    return error || !program->elf.interpreter_size ? error : open_interpreter(program, problem);
}

/* Follows the interpreters of scripts, from `path`, which is open. */
static int64_t follow(struct program *program, struct strings *arguments, char path[PATH_SIZE], const char **problem)
{
    bool again;
    int64_t error = look(program, arguments, path, problem, &again);
    for (int depth = 0; again && !error && depth <= SCRIPT_DEPTH_MAX; depth++) {
        file_upcalls.put(program->file);
        program->file = NULL;
        const char *name = strings_first(arguments);
        if (depth == SCRIPT_DEPTH_MAX || strlen(name) >= PATH_SIZE) {
            return depth == SCRIPT_DEPTH_MAX ? -ELOOP : -ENAMETOOLONG;
        }
        format_text(path, PATH_SIZE, "%s", name);
        error = process_upcalls.open_executable(AT_FDCWD, path, 0, &program->file);
        error = error ? error : look(program, arguments, path, problem, &again);
    }
    return error;
}

int64_t program_search(struct program *program, struct strings *arguments, const struct strings *environment,
                       const char **problem)
{
    char *path = pages_allocate(1);
    if (!path) {
        return -ENOMEM;
    }
    int64_t error = open_program(strings_first(arguments), environment, path, &program->file);
    if (!error) {
        format_text(program->name, PATH_SIZE, "%s", path);
        error = follow(program, arguments, path, problem);
    }
    pages_release(path, 1);
    return error;
}

int64_t program_open(struct program *program, int descriptor, const char *path, uint32_t flags, struct strings *arguments)
{
    const char *problem = NULL;
    int64_t error = process_upcalls.open_executable(descriptor, path, flags, &program->file);
    if (error) {
        return error;
    }
    if (descriptor == AT_FDCWD || path[0] == '/') {
        format_text(program->name, PATH_SIZE, "%s", path);
    } else {
        format_text(program->name, PATH_SIZE, "/dev/fd/%d%s%s", descriptor, path[0] ? "/" : "", path);
    }
    char *copy = pages_allocate(1);
    if (!copy) {
        return -ENOMEM;
    }
    format_text(copy, PATH_SIZE, "%s", program->name);
    error = follow(program, arguments, copy, &problem);
    pages_release(copy, 1);
    if (problem) {
        log_line(LOG_DEBUG, "%s: %s", program->name, problem);
    }
    return error;
}

struct program *program_create(void)
{
    return pages_allocate(PAGE_UP(sizeof(struct program)) / PAGE_SIZE);
}

void program_close(struct program *program)
{
    if (program->file) {
        file_upcalls.put(program->file);
    }
    if (program->interpreter) {
        file_upcalls.put(program->interpreter);
    }
    pages_release(program, PAGE_UP(sizeof(struct program)) / PAGE_SIZE);
}
