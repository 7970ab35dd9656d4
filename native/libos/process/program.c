#include "process/program.h"

#include "process/elf_file.h"

#define PROGRAM_BASE 0x400000000ULL /* of position-independent programs: their heap grows up from there */
#define SCRIPT_DEPTH_MAX 4
#define SCRIPT_LINE_MAX 256
#define INITIAL_RFLAGS 0x202 /* IF and the bit that is always 1 */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define PATH_SIZE 4096

/* include/uapi/linux/auxvec.h */
enum auxiliary_type {
    AT_NULL = 0, AT_PHDR = 3, AT_PHENT = 4, AT_PHNUM = 5, AT_PAGESZ = 6, AT_BASE = 7, AT_FLAGS = 8,
    AT_ENTRY = 9, AT_UID = 11, AT_EUID = 12, AT_GID = 13, AT_EGID = 14, AT_PLATFORM = 15, AT_HWCAP = 16,
    AT_CLKTCK = 17, AT_SECURE = 23, AT_RANDOM = 25, AT_EXECFN = 31, AT_SYSINFO_EHDR = 33, AT_MINSIGSTKSZ = 51,
};

struct loaded {
    struct elf_file elf;
    user_address bias;
};

static int64_t read_exactly(struct file *file, void *to, uint64_t size, uint64_t offset)
{
    int64_t got = file_upcalls.read_at(file, to, size, offset);
    return got < 0 ? got : (uint64_t)got == size ? 0 : -EIO;
}

static int64_t map_segment(struct file *file, const struct elf_segment *segment, user_address bias, uint32_t flags)
{
    user_address start = bias + PAGE_DOWN(segment->address);
    user_address file_end = bias + segment->address + segment->file_size;
    user_address end = PAGE_UP(bias + segment->address + segment->memory_size);
    if (segment->file_size) {
        uint64_t before = segment->address % PAGE_SIZE;
        int64_t result = memory_map(start, file_end - start, segment->protection, MAP_PRIVATE | MAP_FIXED | flags,
                                    file, segment->offset - before);
        if (result < 0) {
            return result;
        }
        if (segment->memory_size > segment->file_size && (segment->protection & PROT_WRITE) &&
            clear_user(file_end, PAGE_UP(file_end) - file_end)) {
            return -EIO;
        }
        start = PAGE_UP(file_end);
    }
    if (start < end) {
        int64_t result = memory_map(start, end - start, segment->protection,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, NULL, 0);
        return result < 0 ? result : 0;
    }
    return 0;
}

/* Reserve the whole span, so that nothing else comes between the segments, then map them. */
static int64_t map_image(struct file *file, struct loaded *image, user_address hint)
{
    const struct elf_file *elf = &image->elf;
    uint32_t fixed = elf->is_position_independent ? 0 : MAP_FIXED_NOREPLACE;
    user_address wanted = elf->is_position_independent ? hint : elf->low;
    int64_t start = memory_map(wanted, elf->high - elf->low, PROT_NONE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, NULL, 0);
    if (start < 0) {
        return start;
    }
    image->bias = (user_address)start - elf->low;
    uint32_t flags = elf->interpreter_size ? 0 : MAP_PATCHED_WHOLE; /* without libraries it makes its system calls itself */
    for (uint32_t i = 0; i < elf->segment_count; i++) {
        int64_t error = map_segment(file, &elf->segments[i], image->bias, flags);
        if (error) {
            return error;
        }
    }
    return 0;
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

static int64_t load_interpreter(struct file *program, const struct elf_file *elf, struct loaded *interpreter,
                                const char **problem)
{
    char *path = pages_allocate(1);
    if (!path) {
        return -ENOMEM;
    }
    int64_t error = read_exactly(program, path, elf->interpreter_size, elf->interpreter_offset);
    struct file *file = NULL;
    if (!error) {
        path[elf->interpreter_size - 1] = 0;
        error = process_upcalls.open_executable(path, &file);
        if (error) {
            *problem = "its interpreter (PT_INTERP) cannot be opened";
        }
    }
    if (!error) {
        error = parse_file(file, &interpreter->elf, problem);
    }
    if (!error && interpreter->elf.interpreter_size) {
        *problem = "its interpreter wants an interpreter";
        error = -ENOEXEC;
    }
    if (!error) {
        error = map_image(file, interpreter, 0);
    }
    if (file) {
        file_upcalls.put(file);
    }
    pages_release(path, 1);
    return error;
}

struct stack {
    user_address top; /* next byte pushed lies below */
    bool failed;
};

static user_address push(struct stack *stack, const void *bytes, size_t size)
{
    stack->top -= size;
    stack->failed |= copy_to_user(stack->top, bytes, size) != 0;
    return stack->top;
}

static void write_word(struct stack *stack, user_address *at, uint64_t value)
{
    stack->failed |= copy_to_user(*at, &value, sizeof value) != 0;
    *at += sizeof value;
}

static void write_pointers(struct stack *stack, user_address *at, const struct strings *strings,
                           user_address base)
{
    for (const char *text = strings_first(strings); text; text = strings_next(strings, text)) {
        write_word(stack, at, base + (uint64_t)(text - strings->bytes));
    }
    write_word(stack, at, 0);
}

/* System V ABI for x86-64, 3.4.1: argc, argv, envp, auxv from RSP up; the strings above them. */
static int64_t build_stack(const struct loaded *program, const struct loaded *interpreter,
                           const struct strings *arguments, const struct strings *environment,
                           const char *name, user_address *rsp)
{
    uint32_t protection = PROT_READ | PROT_WRITE | (program->elf.wants_executable_stack ? PROT_EXEC : 0);
    int64_t mapped = memory_map(
        STACK_TOP - STACK_SIZE, STACK_SIZE, protection,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, NULL, 0);
    if (mapped < 0) {
        return mapped;
    }
    if (arguments->size + environment->size > STACK_SIZE / 4) {
        return -E2BIG;
    }
    struct stack stack = {.top = STACK_TOP};
    push(&stack, &(uint64_t){0}, sizeof(uint64_t));
    user_address file_name = push(&stack, name, strlen(name) + 1);
    user_address variables = push(&stack, environment->bytes, environment->size);
    user_address words = push(&stack, arguments->bytes, arguments->size);
    current_process()->arguments_start = words;
    current_process()->arguments_end = words + arguments->size;
    current_process()->environment_start = variables;
    current_process()->environment_end = variables + environment->size;
    user_address platform = push(&stack, "x86_64", sizeof "x86_64");
    uint8_t seed[16];
    random_bytes(seed, sizeof seed);
    user_address random = push(&stack, seed, sizeof seed);

    const struct elf_file *elf = &program->elf;
    const uint64_t auxiliary[][2] = {
        {AT_PHDR, elf->program_headers_address ? program->bias + elf->program_headers_address : 0},
        {AT_PHENT, ELF_PROGRAM_HEADER_SIZE},
        {AT_PHNUM, elf->program_header_count},
        {AT_PAGESZ, PAGE_SIZE},
        {AT_BASE, interpreter ? interpreter->bias : 0},
        {AT_FLAGS, 0},
        {AT_ENTRY, program->bias + elf->entry},
        {AT_UID, credentials()->user.real},
        {AT_EUID, credentials()->user.effective},
        {AT_GID, credentials()->group.real},
        {AT_EGID, credentials()->group.effective},
        {AT_SECURE, 0},
        {AT_RANDOM, random},
        {AT_HWCAP, CPUID_BASELINE_EDX},
        {AT_CLKTCK, 100},
        {AT_PLATFORM, platform},
        {AT_EXECFN, file_name},
        {AT_SYSINFO_EHDR, current_process()->vdso},
        {AT_MINSIGSTKSZ, SIGNAL_FRAME_MAX},
        {AT_NULL, 0},
    };
    uint64_t count = 1 + (arguments->count + 1ULL) + (environment->count + 1ULL) +
                     2 * ARRAY_LENGTH(auxiliary);
    user_address at = (stack.top - count * sizeof(uint64_t)) & ~15ULL;
    *rsp = at;
    write_word(&stack, &at, arguments->count);
    write_pointers(&stack, &at, arguments, words);
    write_pointers(&stack, &at, environment, variables);
    for (size_t i = 0; i < ARRAY_LENGTH(auxiliary); i++) {
        write_word(&stack, &at, auxiliary[i][0]);
        write_word(&stack, &at, auxiliary[i][1]);
    }
    return stack.failed ? -ENOMEM : 0;
}

static int64_t map_vdso(void)
{
    int64_t address = memory_map(0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0);
    if (address < 0) {
        return address;
    }
    current_process()->vdso = (user_address)address;
    if (copy_to_user(current_process()->vdso, vdso_image, PAGE_SIZE)) {
        return -ENOMEM;
    }
    return memory_protect(current_process()->vdso, PAGE_SIZE, PROT_READ | PROT_EXEC);
}

static void set_name(const char *path)
{
    const char *base = path;
    for (const char *at = path; *at; at++) {
        base = *at == '/' ? at + 1 : base;
    }
    format_text(current_process()->name, sizeof current_process()->name, "%s", base);
}

/* `name` is what the caller asked for: a script's name, too. */
static int64_t load_elf(struct file *file, const char *name, const struct strings *arguments, const struct strings *environment,
                        struct context *context, const char **problem)
{
    /* one program is loaded in an enclave's life; they are large for a stack */
    static struct loaded program, interpreter;
    int64_t error = parse_file(file, &program.elf, problem);
    if (!error) {
        error = map_image(file, &program, PROGRAM_BASE);
    }
    bool is_dynamic = program.elf.interpreter_size != 0;
    if (!error && is_dynamic) {
        error = load_interpreter(file, &program.elf, &interpreter, problem);
    }
    if (error) {
        return error;
    }
    heap_start(PAGE_UP(program.bias + program.elf.high));
    set_name(name);
    error = process_upcalls.execute_files(file);
    error = error ? error : map_vdso();
    if (error) {
        return error;
    }
    const struct loaded *first = is_dynamic ? &interpreter : &program;
    *context = (struct context){.rip = first->bias + first->elf.entry, .rflags = INITIAL_RFLAGS};
    return build_stack(&program, is_dynamic ? &interpreter : NULL, arguments, environment, name, &context->rsp);
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
        return process_upcalls.open_executable(path, file);
    }
    int64_t worst = -ENOENT;
    for (const char *directory = search_path(environment);;) {
        const char *colon = memchr(directory, ':', strlen(directory));
        int length = (int)(colon ? (size_t)(colon - directory) : strlen(directory));
        if (length && format_text(path, PATH_SIZE, "%.*s/%s", length, directory, name) < PATH_SIZE) {
            int64_t error = process_upcalls.open_executable(path, file);
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

static int64_t load_or_expand(struct strings *arguments, const struct strings *environment,
                              struct context *context, const char **problem, char path[PATH_SIZE],
                              char name[PATH_SIZE], bool *again)
{
    struct file *file;
    int64_t error = open_program(strings_first(arguments), environment, path, &file);
    if (error) {
        return error;
    }
    if (!name[0]) {
        format_text(name, PATH_SIZE, "%s", path);
    }
    char line[SCRIPT_LINE_MAX];
    int64_t got = file_upcalls.read_at(file, line, sizeof line, 0);
    if (got < 0) {
        error = got;
    } else if (got >= 2 && line[0] == '#' && line[1] == '!') {
        *again = true;
        error = expand_script(line, (size_t)got, path, arguments);
    } else {
        error = load_elf(file, name, arguments, environment, context, problem);
    }
    file_upcalls.put(file);
    return error;
}

int64_t program_load(struct strings *arguments, const struct strings *environment, struct context *context,
                     const char **problem)
{
    char *path = pages_allocate(2), *name = path + PATH_SIZE;
    if (!path) {
        return -ENOMEM;
    }
    int64_t error = -ELOOP;
    bool again = true;
    for (int depth = 0; again && depth <= SCRIPT_DEPTH_MAX; depth++) {
        again = false;
        error = load_or_expand(arguments, environment, context, problem, path, name, &again);
        again = again && !error;
    }
    pages_release(path, 2);
    return again ? -ELOOP : error;
}
