/* A program's place in memory: its segments, those of its interpreter, its stack. */
#include "process/program.h"

#define INITIAL_RFLAGS 0x202 /* IF and the bit that is always 1 */

/* include/uapi/linux/auxvec.h */
enum auxiliary_type {
    AT_NULL = 0, AT_PHDR = 3, AT_PHENT = 4, AT_PHNUM = 5, AT_PAGESZ = 6, AT_BASE = 7, AT_FLAGS = 8,
    AT_ENTRY = 9, AT_UID = 11, AT_EUID = 12, AT_GID = 13, AT_EGID = 14, AT_PLATFORM = 15, AT_HWCAP = 16,
    AT_CLKTCK = 17, AT_SECURE = 23, AT_RANDOM = 25, AT_EXECFN = 31, AT_SYSINFO_EHDR = 33, AT_MINSIGSTKSZ = 51,
};

/* What is added to addresses of the file. */
struct bias {
    user_address program, interpreter; /* interpreter 0: there is none */
};

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
static int64_t map_image(struct file *file, const struct elf_file *elf, enum loaded_kind kind, user_address *bias)
{
    int64_t start = memory_reserve(file, elf->is_position_independent ? 0 : elf->low, elf->high - elf->low, kind);
    if (start < 0) {
        return start == -EEXIST ? -ENOMEM : start;
    }
    *bias = (user_address)start - elf->low;
    uint32_t flags = elf->interpreter_size ? 0 : MAP_PATCHED_WHOLE; /* without libraries it makes its system calls itself */
    for (uint32_t i = 0; i < elf->segment_count; i++) {
        int64_t error = map_segment(file, &elf->segments[i], *bias, flags);
        if (error) {
            return error;
        }
    }
    return 0;
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

#define STACK_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_GROWSDOWN | MAP_WHOLE_STACK)

/* At the top of the range, or in a gap with a guard below it. */
static int64_t map_stack(user_address *top, bool is_executable)
{
    uint32_t protection = PROT_READ | PROT_WRITE | (is_executable ? PROT_EXEC : 0);
    int64_t mapped = memory_map(STACK_TOP - STACK_SIZE, STACK_SIZE, protection, STACK_FLAGS | MAP_FIXED_NOREPLACE, NULL, 0);
    if (mapped == -EEXIST) {
        int64_t guard = memory_map(0, STACK_GUARD + STACK_SIZE, PROT_NONE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, NULL, 0);
        mapped = guard < 0 ? guard
                           : memory_map((user_address)guard + STACK_GUARD, STACK_SIZE, protection,
                                        STACK_FLAGS | MAP_FIXED, NULL, 0);
    }
    *top = current_process()->stack_top = (user_address)mapped + STACK_SIZE;
    return mapped < 0 ? mapped : 0;
}

/* System V ABI for x86-64, 3.4.1: argc, argv, envp, auxv from RSP up; the strings above them. */
static int64_t build_stack(const struct program *program, const struct bias *bias, const struct strings *arguments,
                           const struct strings *environment, user_address *rsp)
{
    struct stack stack = {0};
    int64_t error = map_stack(&stack.top, program->elf.wants_executable_stack);
    if (error) {
        return error;
    }
    struct process *process = current_process();
    push(&stack, &(uint64_t){0}, sizeof(uint64_t));
    user_address file_name = push(&stack, program->name, strlen(program->name) + 1);
    user_address variables = push(&stack, environment->bytes, environment->size);
    user_address words = push(&stack, arguments->bytes, arguments->size);
    process->arguments_start = words;
    process->arguments_end = words + arguments->size;
    process->environment_start = variables;
    process->environment_end = variables + environment->size;
    user_address platform = push(&stack, "x86_64", sizeof "x86_64");
    uint8_t seed[16];
    random_bytes(seed, sizeof seed);
    user_address random = push(&stack, seed, sizeof seed);

    const struct elf_file *elf = &program->elf;
    const uint64_t auxiliary[][2] = {
        {AT_PHDR, elf->program_headers_address ? bias->program + elf->program_headers_address : 0},
        {AT_PHENT, ELF_PROGRAM_HEADER_SIZE},
        {AT_PHNUM, elf->program_header_count},
        {AT_PAGESZ, PAGE_SIZE},
        {AT_BASE, bias->interpreter},
        {AT_FLAGS, 0},
        {AT_ENTRY, bias->program + elf->entry},
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
        {AT_SYSINFO_EHDR, process->vdso},
        {AT_MINSIGSTKSZ, SIGNAL_FRAME_MAX},
        {AT_NULL, 0},
    };
    _Static_assert(sizeof auxiliary <= sizeof process->auxiliary, "/proc/self/auxv");
    memset(process->auxiliary, 0, sizeof process->auxiliary);
    memcpy(process->auxiliary, auxiliary, sizeof auxiliary);
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

void program_set_name(const char *path)
{
    const char *base = path;
    for (const char *at = path; *at; at++) {
        base = *at == '/' ? at + 1 : base;
    }
    format_text(current_process()->name, sizeof current_process()->name, "%s", base);
    memcpy(current_task()->name, current_process()->name, sizeof current_task()->name);
}

const char program_has_no_place[] = "it is linked for a fixed address, where several other processes lie: link it position independent";

/* Programs that were linked for the same addresses take turns there, but not with several at once that do not. */
int64_t program_check_place(const struct program *program)
{
    const struct elf_file *elf = &program->elf;
    return elf->is_position_independent ? 0 : space_check_place(current_space(), elf->low, elf->high);
}

int64_t program_make_room(const struct program *program, struct space *space)
{
    const struct elf_file *elf = &program->elf;
    if (!elf->is_position_independent) {
        return space_clear_for(space, elf->low, elf->high);
    }
    space_clear(space);
    return 0;
}

int64_t program_map(const struct program *program, const struct strings *arguments, const struct strings *environment,
                    struct context *context)
{
    struct bias bias = {0};
    int64_t error = map_image(program->file, &program->elf, LOADED_PROGRAM, &bias.program);
    if (!error && program->interpreter) {
        error = map_image(program->interpreter, &program->interpreter_elf, LOADED_INTERPRETER, &bias.interpreter);
    }
    if (error) {
        return error;
    }
    user_address behind = PAGE_UP(bias.program + program->elf.high);
    program->elf.is_position_independent ? heap_start(behind) : heap_start_apart(behind);
    error = map_vdso();
    if (error) {
        return error;
    }
    *context = (struct context){
        .rip = program->interpreter ? bias.interpreter + program->interpreter_elf.entry : bias.program + program->elf.entry,
        .rflags = INITIAL_RFLAGS,
    };
    return build_stack(program, &bias, arguments, environment, &context->rsp);
}
