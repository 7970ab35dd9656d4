#include "signal/frame.h"

#include "signal/pending.h"

#define RED_ZONE 128U
#define UC_FLAGS 7U /* FP_XSTATE, SIGCONTEXT_SS, STRICT_RESTORE_SS */
#define USER_CODE_SEGMENT 0x33
#define USER_STACK_SEGMENT 0x2B
#define RFLAGS_DIRECTION 0x400U
#define RFLAGS_TRAP 0x100U
#define RFLAGS_RESUME 0x10000U

/* The software bytes of an XSAVE image say how large it is (struct _fpx_sw_bytes). */
#define SOFTWARE_BYTES 464
#define XSTATE_MAGIC1 0x46505853U
#define XSTATE_MAGIC2 0x46505845U

struct signal_context {
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
    uint16_t cs, gs, fs, ss;
    uint64_t error, trap, old_mask, fault_address;
    user_address vector_state;
    uint64_t reserved[8];
};

struct signal_frame {
    user_address return_address;
    uint64_t flags;
    uint64_t link;
    struct signal_stack stack;
    struct signal_context registers;
    uint64_t mask;
    struct signal_info info;
    uint8_t info_rest[128 - sizeof(struct signal_info)];
};

_Static_assert(SIGNAL_FRAME_MAX >= sizeof(struct signal_frame) + VECTOR_STATE_SIZE + sizeof(uint32_t) + 63 + 15 + 8,
               "what AT_MINSIGSTKSZ promises");
_Static_assert(sizeof(struct signal_context) == 256 && sizeof(struct signal_frame) == 440, "as in Linux");

struct vector_image {
    uint8_t bytes[VECTOR_STATE_SIZE];
    uint32_t magic2;
} __attribute__((aligned(64)));

struct software_bytes {
    uint32_t magic1, extended_size;
    uint64_t features;
    uint32_t state_size;
    uint32_t padding[7];
};

bool signal_stack_is_used(const struct task *task, user_address stack_pointer)
{
    const struct signal_stack *stack = &task->signal_stack;
    bool is_left_at_once = (stack->flags & (int32_t)SS_AUTODISARM) != 0; /* on_sig_stack() of Linux */
    return stack->size && !is_left_at_once && stack_pointer > stack->start && stack_pointer - stack->start <= stack->size;
}

int32_t signal_stack_flags(const struct task *task, user_address stack_pointer)
{
    const struct signal_stack *stack = &task->signal_stack;
    int32_t use = stack->size == 0 ? SS_DISABLE : signal_stack_is_used(task, stack_pointer) ? SS_ONSTACK : 0;
    return (stack->flags & (int32_t)SS_AUTODISARM) | use;
}

static int push_vector_state(user_address at)
{
    struct vector_image image;
    vector_save(image.bytes);
    struct software_bytes software = {
        .magic1 = XSTATE_MAGIC1,
        .extended_size = VECTOR_STATE_SIZE + sizeof image.magic2,
        .features = vector_mask(),
        .state_size = VECTOR_STATE_SIZE,
    };
    memcpy(image.bytes + SOFTWARE_BYTES, &software, sizeof software);
    image.magic2 = XSTATE_MAGIC2;
    return copy_to_user(at, &image, VECTOR_STATE_SIZE + sizeof image.magic2);
}

static void save_registers(struct signal_context *to, const struct context *from)
{
    *to = (struct signal_context){
        .r8 = from->r8, .r9 = from->r9, .r10 = from->r10, .r11 = from->r11, .r12 = from->r12,
        .r13 = from->r13, .r14 = from->r14, .r15 = from->r15, .rdi = from->rdi, .rsi = from->rsi,
        .rbp = from->rbp, .rbx = from->rbx, .rdx = from->rdx, .rax = from->rax, .rcx = from->rcx,
        .rsp = from->rsp, .rip = from->rip, .rflags = from->rflags, .cs = USER_CODE_SEGMENT,
        .ss = USER_STACK_SEGMENT,
    };
}

static void load_registers(struct context *to, const struct signal_context *from)
{
    *to = (struct context){
        .r8 = from->r8, .r9 = from->r9, .r10 = from->r10, .r11 = from->r11, .r12 = from->r12,
        .r13 = from->r13, .r14 = from->r14, .r15 = from->r15, .rdi = from->rdi, .rsi = from->rsi,
        .rbp = from->rbp, .rbx = from->rbx, .rdx = from->rdx, .rax = from->rax, .rcx = from->rcx,
        .rsp = from->rsp, .rip = from->rip, .rflags = from->rflags,
    };
}

int signal_frame_push(struct task *task, struct context *context, const struct signal_action *action,
                      const struct signal_info *info, uint64_t old_mask)
{
    bool on_stack = signal_stack_is_used(task, context->rsp);
    user_address top = context->rsp - RED_ZONE;
    struct signal_stack old_stack = task->signal_stack;
    bool switches = (action->flags & SA_ONSTACK) && old_stack.size && !on_stack;
    if (switches) {
        top = old_stack.start + old_stack.size;
    }
    old_stack.flags = signal_stack_flags(task, context->rsp);
    user_address vector_state = (top - VECTOR_STATE_SIZE - sizeof(uint32_t)) & ~63ULL;
    user_address at = ((vector_state - sizeof(struct signal_frame)) & ~15ULL) - 8; /* as after a call */
    if ((switches || on_stack) && at < old_stack.start) {
        return -EFAULT; /* too small: what lies below it is not ours to overwrite */
    }
    struct signal_frame frame = {
        .return_address = action->restorer,
        .flags = UC_FLAGS,
        .stack = old_stack,
        .mask = old_mask,
        .info = *info,
    };
    save_registers(&frame.registers, context);
    frame.registers.vector_state = vector_state;
    frame.registers.fault_address = info->code > 0 ? info->first : 0;
    if (!(action->flags & SA_RESTORER) || push_vector_state(vector_state) ||
        copy_to_user(at, &frame, sizeof frame)) {
        return -EFAULT;
    }
    if (task->signal_stack.flags & (int32_t)SS_AUTODISARM) {
        task->signal_stack = (struct signal_stack){0};
    }
    context->rdi = (uint64_t)info->signal;
    context->rsi = at + offsetof(struct signal_frame, info);
    context->rdx = at + offsetof(struct signal_frame, flags);
    context->rax = 0;
    context->rsp = at;
    context->rip = action->handler;
    context->rflags &= ~(uint64_t)(RFLAGS_DIRECTION | RFLAGS_TRAP | RFLAGS_RESUME);
    return 0;
}

int signal_frame_pop(struct task *task, struct context *context)
{
    struct signal_frame frame;
    struct vector_image image;
    if (copy_from_user(&frame, context->rsp - sizeof frame.return_address, sizeof frame)) {
        return -EFAULT;
    }
    if (frame.registers.rip < APPLICATION_START || frame.registers.rip >= APPLICATION_END) {
        return -EFAULT;
    }
    if (frame.registers.vector_state) {
        if (copy_from_user(image.bytes, frame.registers.vector_state, VECTOR_STATE_SIZE)) {
            return -EFAULT;
        }
        memset(image.bytes + SOFTWARE_BYTES, 0, sizeof(struct software_bytes));
        vector_restore(image.bytes);
    }
    load_registers(context, &frame.registers);
    signal_set_mask(task, frame.mask);
    if (!(frame.stack.flags & SS_DISABLE) && frame.stack.size >= SIGNAL_STACK_MINIMUM) {
        task->signal_stack = frame.stack;
        task->signal_stack.flags &= (int32_t)SS_AUTODISARM;
    }
    return 0;
}
