/* Ids and groups of a thread, and how they are given up: setresuid(2), credentials(7). */
#include "process/process.h"

#define LEAVE UINT32_MAX /* -1: this id stays */

/* capabilities(7): what setfsuid() gives and takes, of those that are here. */
#define FILE_CAPABILITIES                                                                                    \
    (CAPABILITY_BIT(CAP_CHOWN) | CAPABILITY_BIT(CAP_DAC_OVERRIDE) | CAPABILITY_BIT(CAP_FOWNER) |             \
     CAPABILITY_BIT(CAP_FSETID))

static struct credentials first; /* measured; what the first thread starts with */

static bool is_listed(const struct credentials *who, uint32_t gid)
{
    bool listed = false;
    for (uint32_t at = 0; at < who->group_count && !listed; at++) {
        listed = who->groups[at] == gid;
    }
    return listed;
}

static void sort_groups(struct credentials *who)
{
    for (uint32_t at = 1; at < who->group_count; at++) {
        uint32_t gid = who->groups[at], to = at;
        for (; to > 0 && who->groups[to - 1] > gid; to--) {
            who->groups[to] = who->groups[to - 1];
        }
        who->groups[to] = gid;
    }
}

void credentials_start(uint32_t uid, uint32_t gid, const void *groups, uint32_t group_count)
{
    uint64_t capabilities = uid == 0 ? CAPABILITIES_OF_ROOT : 0;
    first = (struct credentials){
        .user = {uid, uid, uid, uid},
        .group = {gid, gid, gid, gid},
        .group_count = group_count,
        .permitted = capabilities,
        .effective = capabilities,
        .bounding = CAPABILITIES_OF_ROOT,
    };
    memcpy(first.groups, groups, group_count * sizeof first.groups[0]);
    /* Engines put the first group among the others (moby, daemon/oci_linux.go, getUser; CVE-2022-36109), and the kernel
     * sorts them (kernel/groups.c, groups_sort). */
    if (!is_listed(&first, gid) && first.group_count < GROUPS_MAX) {
        first.groups[first.group_count++] = gid;
    }
    sort_groups(&first);
}

static struct credentials *changeable(void)
{
    struct task *task = current_task();
    return task && !task->service ? &task->credentials : &first;
}

void credentials_lend_root(struct credentials *kept)
{
    *kept = *changeable();
    *changeable() = (struct credentials){.effective = CAPABILITIES_OF_ROOT};
}

void credentials_take_back(const struct credentials *kept)
{
    *changeable() = *kept;
}

const struct credentials *credentials(void)
{
    const struct task *task = current_task();
    return task && task->acts_by ? task->acts_by : changeable();
}

void credentials_override_by_real(struct credentials *acting)
{
    *acting = *credentials();
    acting->user.file_system = acting->user.real;
    acting->group.file_system = acting->group.real;
    if (!(acting->secure_bits & SECURE_NO_SETUID_FIXUP)) {
        acting->effective = acting->user.real == 0 ? acting->permitted : 0;
    }
    current_task()->acts_by = acting;
}

void credentials_revert(void)
{
    current_task()->acts_by = NULL;
}

const struct credentials *credentials_measured(void)
{
    return &first;
}

static struct credentials *own(void)
{
    return &current_task()->credentials;
}

bool is_capable(enum capability capability)
{
    return (credentials()->effective & CAPABILITY_BIT(capability)) != 0;
}

bool is_in_group(uint32_t gid)
{
    const struct credentials *who = credentials();
    return gid == who->group.file_system || is_listed(who, gid);
}

static bool any_is_zero(const struct ids *ids)
{
    return ids->real == 0 || ids->effective == 0 || ids->saved == 0;
}

/* commit_creds() of Linux: what the process has in memory may be more than its new user is to see. */
static void note_change(const struct ids *old, const struct ids *new)
{
    if (old->effective != new->effective || old->file_system != new->file_system) {
        current_process()->attributes.is_not_dumpable = true;
        current_task()->parent_death_signal = 0;
    }
}

/* capabilities(7), "Effect of user ID changes on capabilities". */
static void change_user(const struct ids *new)
{
    struct credentials *who = own();
    struct ids old = who->user;
    note_change(&old, new);
    who->user = *new;
    if (who->secure_bits & SECURE_NO_SETUID_FIXUP) {
        return;
    }
    if (any_is_zero(&old) && !any_is_zero(new)) {
        if ((who->secure_bits & SECURE_KEEP_CAPS) == 0) {
            who->permitted = who->effective = 0;
        }
        who->ambient = 0;
    }
    if (old.effective == 0 && new->effective != 0) {
        who->effective = 0;
    } else if (old.effective != 0 && new->effective == 0) {
        who->effective = who->permitted;
    }
}

static void change_group(const struct ids *new)
{
    note_change(&own()->group, new);
    own()->group = *new;
}

/* The two kinds of ids follow the same rules. */
struct id_kind {
    enum capability capability;
    size_t offset; /* of struct ids in struct credentials */
    void (*change)(const struct ids *new);
};

static const struct id_kind users = {CAP_SETUID, offsetof(struct credentials, user), change_user};
static const struct id_kind groups = {CAP_SETGID, offsetof(struct credentials, group), change_group};

static struct ids ids_of(const struct id_kind *kind)
{
    return *(const struct ids *)((const char *)credentials() + kind->offset);
}

static bool is_one_of(const struct ids *ids, uint32_t id)
{
    return id == ids->real || id == ids->effective || id == ids->saved;
}

static int64_t set_one(const struct id_kind *kind, uint32_t id)
{
    struct ids ids = ids_of(kind);
    if (id == LEAVE) {
        return -EINVAL;
    }
    if (is_capable(kind->capability)) {
        ids.real = ids.saved = id;
    } else if (id != ids.real && id != ids.saved) {
        return -EPERM;
    }
    ids.effective = ids.file_system = id;
    kind->change(&ids);
    return 0;
}

static int64_t set_real_and_effective(const struct id_kind *kind, uint32_t real, uint32_t effective)
{
    struct ids old = ids_of(kind), ids = old;
    bool may = is_capable(kind->capability);
    if (real != LEAVE) {
        if (real != old.real && real != old.effective && !may) {
            return -EPERM;
        }
        ids.real = real;
    }
    if (effective != LEAVE) {
        if (!is_one_of(&old, effective) && !may) {
            return -EPERM;
        }
        ids.effective = effective;
    }
    if (real != LEAVE || (effective != LEAVE && effective != old.real)) {
        ids.saved = ids.effective;
    }
    ids.file_system = ids.effective;
    kind->change(&ids);
    return 0;
}

static int64_t set_three(const struct id_kind *kind, const struct arguments *arguments)
{
    struct ids old = ids_of(kind), ids = old;
    uint32_t *const members[] = {&ids.real, &ids.effective, &ids.saved};
    for (size_t i = 0; i < ARRAY_LENGTH(members); i++) {
        uint32_t wanted = (uint32_t)arguments->at[i];
        if (wanted == LEAVE) {
            continue;
        }
        if (!is_one_of(&old, wanted) && !is_capable(kind->capability)) {
            return -EPERM;
        }
        *members[i] = wanted;
    }
    ids.file_system = ids.effective;
    kind->change(&ids);
    return 0;
}

static int64_t get_three(const struct id_kind *kind, const struct arguments *arguments)
{
    struct ids ids = ids_of(kind);
    const uint32_t values[] = {ids.real, ids.effective, ids.saved};
    for (size_t i = 0; i < ARRAY_LENGTH(values); i++) {
        if (copy_to_user(arguments->at[i], &values[i], sizeof values[i])) {
            return -EFAULT;
        }
    }
    return 0;
}

/* setfsuid(2): the old one, whether it was changed or not. */
static uint32_t set_file_system(const struct id_kind *kind, uint32_t id)
{
    struct ids ids = ids_of(kind);
    uint32_t old = ids.file_system;
    if (id != LEAVE && (is_one_of(&ids, id) || id == old || is_capable(kind->capability))) {
        ids.file_system = id;
        kind->change(&ids);
    }
    return old;
}

int64_t sys_getuid(const struct arguments *arguments)
{
    (void)arguments;
    return credentials()->user.real;
}

int64_t sys_geteuid(const struct arguments *arguments)
{
    (void)arguments;
    return credentials()->user.effective;
}

int64_t sys_getgid(const struct arguments *arguments)
{
    (void)arguments;
    return credentials()->group.real;
}

int64_t sys_getegid(const struct arguments *arguments)
{
    (void)arguments;
    return credentials()->group.effective;
}

int64_t sys_setuid(const struct arguments *arguments)
{
    return set_one(&users, (uint32_t)arguments->at[0]);
}

int64_t sys_setgid(const struct arguments *arguments)
{
    return set_one(&groups, (uint32_t)arguments->at[0]);
}

int64_t sys_setreuid(const struct arguments *arguments)
{
    return set_real_and_effective(&users, (uint32_t)arguments->at[0], (uint32_t)arguments->at[1]);
}

int64_t sys_setregid(const struct arguments *arguments)
{
    return set_real_and_effective(&groups, (uint32_t)arguments->at[0], (uint32_t)arguments->at[1]);
}

int64_t sys_setresuid(const struct arguments *arguments)
{
    return set_three(&users, arguments);
}

int64_t sys_setresgid(const struct arguments *arguments)
{
    return set_three(&groups, arguments);
}

int64_t sys_getresuid(const struct arguments *arguments)
{
    return get_three(&users, arguments);
}

int64_t sys_getresgid(const struct arguments *arguments)
{
    return get_three(&groups, arguments);
}

int64_t sys_setfsuid(const struct arguments *arguments)
{
    uint32_t old = set_file_system(&users, (uint32_t)arguments->at[0]);
    struct credentials *who = own();
    if (who->secure_bits & SECURE_NO_SETUID_FIXUP) {
        return old;
    }
    if (old == 0 && who->user.file_system != 0) {
        who->effective &= ~FILE_CAPABILITIES;
    } else if (old != 0 && who->user.file_system == 0) {
        who->effective |= who->permitted & FILE_CAPABILITIES;
    }
    return old;
}

int64_t sys_setfsgid(const struct arguments *arguments)
{
    return set_file_system(&groups, (uint32_t)arguments->at[0]);
}

int64_t sys_getgroups(const struct arguments *arguments)
{
    const struct credentials *who = credentials();
    int32_t room = (int32_t)arguments->at[0];
    if (room < 0 || (room && (uint32_t)room < who->group_count)) {
        return -EINVAL;
    }
    if (room && copy_to_user(arguments->at[1], who->groups, who->group_count * sizeof who->groups[0])) {
        return -EFAULT;
    }
    return who->group_count;
}

#define NGROUPS_MAX 65536

int64_t sys_setgroups(const struct arguments *arguments)
{
    uint32_t new[GROUPS_MAX];
    uint32_t count = (uint32_t)arguments->at[0];
    if (!is_capable(CAP_SETGID)) {
        return -EPERM;
    }
    if (count > NGROUPS_MAX) {
        return -EINVAL;
    }
    uint32_t taken = count < GROUPS_MAX ? count : GROUPS_MAX;
    if (copy_from_user(new, arguments->at[1], taken * sizeof new[0])) {
        return -EFAULT;
    }
    if (count > GROUPS_MAX) {
        return -ENOMEM;
    }
    struct credentials *who = own();
    memcpy(who->groups, new, count * sizeof new[0]);
    who->group_count = count;
    sort_groups(who);
    return 0;
}
