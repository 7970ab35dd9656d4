/*
 * Instructions that need one page of an object at two addresses at once: an access across the border of two views side by side, a copy from view to
 * view, code that uses its own page through another view. Moving the page would go on for ever. A copy is made by the LibOS, which touches one view at
 * a time. Anything else runs elsewhere: in a page of its own, with `ud2` behind it, and an operand that may lie across a border is a copy which the
 * instruction finds next to itself. At `ud2` the bytes that it has changed there go to where they belong.
 */
#include "memory/object.h"
#include "memory/turns.h"

#define JUMP_REACH 0x70000000ULL /* of a 32-bit displacement */
#define SLOT_SIZE (2 * PAGE_SIZE) /* the instruction, its operand */
#define PREFIX_FS 0x64U
#define PREFIX_GS 0x65U
#define RFLAGS_DF (1U << 10)

static bool are_one_page(user_address page, user_address other)
{
    lock_space();
    const struct area_node *first = find_own(current_space(), page), *second = find_own(current_space(), other);
    bool found = first && second && first->area.object && first->area.object == second->area.object &&
                 page_in_object(&first->area, page) == page_in_object(&second->area, other);
    unlock_memory();
    return found;
}

/*
 * The same registers fault at one page, at another, and at the first again: if both are one page nothing has gone on in between. Otherwise the first one
 * has been taken away meanwhile, as by another program of the group that had its turn.
 */
static bool goes_in_circles(struct step *step, const struct context *context, user_address page)
{
    bool is_same = memcmp(&step->last, context, sizeof *context) == 0;
    bool circles = is_same && page == step->pages[0] && page != step->pages[1];
    step->last = *context;
    step->pages[0] = is_same ? step->pages[1] : 0;
    step->pages[1] = page;
    return circles && are_one_page(page, step->pages[0]);
}

/* As many of the bytes as can be read: those of the first page, or all. */
static size_t read_some(user_address from, uint8_t *to, size_t size)
{
    size_t first = PAGE_SIZE - from % PAGE_SIZE;
    first = first < size ? first : size;
    if (copy_from_user(to, from, first)) {
        return 0;
    }
    return first < size && !copy_from_user(to + first, from + first, size - first) ? size : first;
}

/* rep movs. Only the part that lies in one page of the source and one of the destination: the rest faults anew, or does not. */
static int64_t copy_elements(struct context *context, const struct instruction *instruction)
{
    uint8_t buffer[256];
    uint64_t width = instruction->element, count = instruction->repeats ? context->rcx : 1;
    uint64_t distance = (context->rdi - context->rsi) % PAGE_SIZE, room = PAGE_SIZE - context->rsi % PAGE_SIZE;
    if (context->rflags & RFLAGS_DF) {
        return -EIO;
    }
    room = room < PAGE_SIZE - context->rdi % PAGE_SIZE ? room : PAGE_SIZE - context->rdi % PAGE_SIZE;
    room = room < sizeof buffer ? room : sizeof buffer;
    room = distance && distance < room ? distance : room; /* a pattern that copies itself on */
    uint64_t elements = room / width < count ? room / width : count;
    elements = elements || !count ? elements : 1; /* across a border */
    int error = copy_from_user(buffer, context->rsi, elements * width);
    error = error ? error : copy_to_user(context->rdi, buffer, elements * width);
    if (error) {
        return -EIO;
    }
    context->rsi += elements * width;
    context->rdi += elements * width;
    context->rcx -= instruction->repeats ? elements : 0;
    context->rip += instruction->repeats && context->rcx ? 0 : instruction->length;
    return 0;
}

static uint64_t application_fs_base(void)
{
    uint64_t base;
    __asm__ volatile("rdfsbase %0" : "=r"(base));
    return base;
}

/* The address of the operand in memory; false: it cannot be known here. */
static bool find_operand(const struct context *context, const struct instruction *instruction, user_address *address)
{
    const uint64_t registers[16] = {context->rax, context->rcx, context->rdx, context->rbx, context->rsp, context->rbp, context->rsi, context->rdi,
                                    context->r8,  context->r9,  context->r10, context->r11, context->r12, context->r13, context->r14, context->r15};
    if (instruction->is_odd || instruction->segment == PREFIX_GS) {
        return false;
    }
    *address = instruction->segment == PREFIX_FS ? application_fs_base() : 0;
    *address += instruction->is_relative ? context->rip + instruction->length : 0;
    *address += instruction->base < 16 ? registers[instruction->base] : 0;
    *address += instruction->index < 16 ? registers[instruction->index] << instruction->scale : 0;
    *address += (uint64_t)(int64_t)instruction->displacement;
    return true;
}

/* The instruction for another place, with `ud2` behind it. With an operand there, it finds it in the next page. 0: it cannot be moved. */
static size_t compose(uint8_t *to, user_address at, const struct context *context, const uint8_t *code, const struct instruction *instruction,
                      bool has_operand)
{
    size_t length = 0, tail = instruction->length - instruction->operand_end;
    if (!has_operand) {
        length = instruction->length;
        memcpy(to, code, length);
        int32_t displacement = instruction->displacement;
        if (instruction->is_relative) {
            if (__builtin_sub_overflow(displacement, (int64_t)(at - context->rip), &displacement)) {
                return 0;
            }
            memcpy(to + instruction->operand_end - sizeof displacement, &displacement, sizeof displacement);
        }
    } else {
        for (size_t byte = 0; byte < instruction->modrm; byte++) {
            if (byte >= instruction->prefixes || (code[byte] != PREFIX_FS && code[byte] != PREFIX_GS)) {
                to[length++] = code[byte];
            }
        }
        to[length++] = (code[instruction->modrm] & 0x38) | 5; /* a displacement from RIP */
        int32_t displacement = (int32_t)(PAGE_SIZE - length - sizeof displacement - tail);
        memcpy(to + length, &displacement, sizeof displacement);
        length += sizeof displacement;
        memcpy(to + length, code + instruction->operand_end, tail);
        length += tail;
    }
    memcpy(to + length, "\x0F\x0B", 2);
    return length <= INSTRUCTION_MAX ? length : 0;
}

/* Two pages near `rip` that nobody else knows of. 0: no room, no memory. */
static user_address map_slot(struct step *step, const struct context *context, const uint8_t *code, const struct instruction *instruction)
{
    user_address low = context->rip > JUMP_REACH + APPLICATION_START ? context->rip - JUMP_REACH : APPLICATION_START;
    user_address high = PAGE_DOWN(context->rip < MMAP_HIGH ? context->rip : MMAP_HIGH);
    user_address at = reserve_nodes() ? find_gap_within(SLOT_SIZE, low, high) : 0;
    uint8_t *pages = at ? pages_allocate(2) : NULL;
    step->length = pages ? compose(pages, at, context, code, instruction, step->operand_size) : 0;
    if (!step->length || versions_add_pending(current_space(), at, at + SLOT_SIZE)) {
        pages_release(pages, 2);
        return 0;
    }
    memcpy(pages + PAGE_SIZE, step->before, step->operand_size);
    if (enclave_accept_copy(at, pages, PROT_READ | PROT_EXEC) || host_memory_protect(at, PAGE_SIZE, PROT_READ | PROT_EXEC) ||
        enclave_accept_copy(at + PAGE_SIZE, pages + PAGE_SIZE, PROT_READ | PROT_WRITE)) {
        fatal("the host did not change the memory at 0x%lx", at);
    }
    pages_release(pages, 2);
    struct area_node *node = take_node();
    node->area = (struct area){.space = current_space(), .start = at, .end = at + SLOT_SIZE, .protection = PROT_READ | PROT_WRITE | PROT_EXEC,
                               .flags = MAP_PRIVATE | MAP_ANONYMOUS};
    area_insert(&areas, node);
    current_space()->mapped_pages += SLOT_SIZE / PAGE_SIZE;
    return at;
}

/* What is atomic is moved only if it has to be: then it is not atomic. */
static bool may_cross(const struct instruction *instruction, user_address operand)
{
    return operand % PAGE_SIZE > PAGE_SIZE - (instruction->is_locked ? sizeof(uint64_t) : STEP_OPERAND);
}

static int64_t begin(struct step *step, struct context *context)
{
    uint8_t code[INSTRUCTION_MAX];
    struct instruction instruction;
    size_t size = read_some(context->rip, code, sizeof code);
    if (!instruction_decode(code, size, &instruction) || instruction.changes_flow) {
        return -EIO;
    }
    if (instruction.element) {
        return copy_elements(context, &instruction);
    }
    struct step new = {.rip = context->rip, .next = context->rip + instruction.length};
    if (instruction.modrm && find_operand(context, &instruction, &new.operand) && may_cross(&instruction, new.operand)) {
        new.operand_size = read_some(new.operand, new.before, STEP_OPERAND);
    }
    lock_space();
    new.slot = map_slot(&new, context, code, &instruction);
    unlock_memory();
    if (!new.slot) {
        return -EIO;
    }
    *step = new;
    context->rip = step->slot;
    return 0;
}

/* What the instruction has changed. Others may have changed the bytes beside it. */
static int64_t store_operand(const struct step *step)
{
    uint8_t after[STEP_OPERAND];
    int64_t result = copy_from_user(after, step->slot + PAGE_SIZE, step->operand_size);
    for (size_t first = 0, next; first < step->operand_size && !result; first = next) {
        next = first + 1;
        if (after[first] == step->before[first]) {
            continue;
        }
        while (next < step->operand_size && after[next] != step->before[next]) {
            next++;
        }
        result = copy_to_user(step->operand + first, after + first, next - first);
    }
    return result;
}

int64_t step_end(struct context *context)
{
    struct step *step = current_step();
    if (!step->slot) {
        return 0;
    }
    bool is_done = context->rip == step->slot + step->length;
    int64_t result = is_done && step->operand_size ? store_operand(step) : 0;
    context->rip = is_done && !result ? step->next : step->rip;
    lock_space();
    unmap_locked(current_space(), step->slot, step->slot + SLOT_SIZE);
    unlock_memory();
    *step = (struct step){0};
    return result;
}

bool step_is_done(const struct context *context)
{
    const struct step *step = current_step();
    return step->slot && context->rip == step->slot + step->length;
}

int64_t memory_fault_of(struct context *context, user_address address, enum fault_access access)
{
    struct step *step = current_step();
    int64_t result = memory_fault(address, access);
    if (result || !goes_in_circles(step, context, PAGE_DOWN(address))) {
        return result;
    }
    result = step->slot ? -EIO : begin(step, context);
    if (result) {
        log_line(LOG_ERROR, "the instruction at 0x%lx needs a page of a shared mapping at two addresses", step->slot ? step->rip : context->rip);
    }
    return result;
}
