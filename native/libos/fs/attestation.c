#include "fs/attestation.h"

#include "fs/synthetic.h"

/* What a report of this process is about, and for whom. */
struct attestation {
    uint8_t user_report_data[REPORTDATA_SIZE];
    uint8_t target_info[TARGETINFO_SIZE];
};

_Static_assert(TARGETINFO_SIZE <= BLOB_SIZE_MAX && REPORT_SIZE <= BLOB_SIZE_MAX, "blobs");

/* Guards what the processes have, and the key; never held for long. */
static struct mutex lock;

/* The lock is held. NULL: no memory. */
static struct attestation *own(void)
{
    struct process *process = current_process();
    if (!process->attestation) {
        process->attestation = allocate(sizeof(struct attestation));
    }
    return process->attestation;
}

void attestation_leave(struct process *process)
{
    mutex_lock(&lock);
    struct attestation *left = process->attestation;
    process->attestation = NULL;
    mutex_unlock(&lock);
    release(left, sizeof(*left));
}

/* Less than there is room for is filled up with zeros, of more the first bytes count. */
static int64_t save_part(size_t offset, size_t size, const uint8_t *from, size_t length)
{
    mutex_lock(&lock);
    uint8_t *state = (uint8_t *)own();
    if (state) {
        memset(state + offset, 0, size);
        memcpy(state + offset, from, length < size ? length : size);
    }
    mutex_unlock(&lock);
    return state ? 0 : -ENOMEM;
}

static int64_t save_user_report_data(const uint8_t *from, size_t length)
{
    return save_part(offsetof(struct attestation, user_report_data), REPORTDATA_SIZE, from, length);
}

static int64_t save_target_info(const uint8_t *from, size_t length)
{
    return save_part(offsetof(struct attestation, target_info), TARGETINFO_SIZE, from, length);
}

static int64_t load_report(uint8_t to[BLOB_SIZE_MAX])
{
    struct report report;
    struct attestation wanted = {0};
    mutex_lock(&lock);
    const struct attestation *state = own();
    if (state) {
        wanted = *state;
    }
    mutex_unlock(&lock);
    if (!state) {
        return -ENOMEM;
    }
    if (enclave_report(wanted.target_info, wanted.user_report_data, &report) != 0) {
        return -EACCES;
    }
    memcpy(to, &report, REPORT_SIZE);
    return REPORT_SIZE;
}

static int64_t load_my_target_info(uint8_t to[BLOB_SIZE_MAX])
{
    struct target_info target;
    enclave_target_info(&target);
    memcpy(to, &target, sizeof(target));
    return sizeof(target);
}

/* There are no quotes yet: "none" is what Gramine calls that. With quotes comes a file `quote`. */
static int64_t load_type(uint8_t to[BLOB_SIZE_MAX])
{
    static const char type[] = "none";
    memcpy(to, type, sizeof(type) - 1);
    return sizeof(type) - 1;
}

static int64_t load_seal_key(enum key_policy policy, uint8_t *to)
{
    int error = enclave_seal_key(policy, to);
    return error < 0 ? error : (int64_t)KEY_SIZE;
}

static int64_t load_mrenclave_key(uint8_t to[BLOB_SIZE_MAX])
{
    return load_seal_key(KEY_POLICY_MRENCLAVE, to);
}

static int64_t load_mrsigner_key(uint8_t to[BLOB_SIZE_MAX])
{
    return load_seal_key(KEY_POLICY_MRSIGNER, to);
}

/* The one key that programs set, after they were given it. All processes of the enclave have it. */
static struct {
    bool is_set;
    uint8_t bytes[KEY_SIZE];
} default_key;

static int64_t load_default_key(uint8_t to[BLOB_SIZE_MAX])
{
    mutex_lock(&lock);
    int64_t length = default_key.is_set ? (int64_t)sizeof(default_key.bytes) : 0;
    memcpy(to, default_key.bytes, (size_t)length);
    mutex_unlock(&lock);
    return length;
}

static int64_t save_default_key(const uint8_t *from, size_t length)
{
    if (length != sizeof(default_key.bytes)) {
        return -EACCES;
    }
    mutex_lock(&lock);
    memcpy(default_key.bytes, from, length);
    default_key.is_set = true;
    mutex_unlock(&lock);
    return 0;
}

static const struct blob attestation_type = {.load = load_type}, my_target_info = {.load = load_my_target_info}, report = {.load = load_report},
                         user_report_data = {.save = save_user_report_data}, target_info = {.save = save_target_info},
                         mrenclave_key = {.load = load_mrenclave_key}, mrsigner_key = {.load = load_mrsigner_key},
                         key = {.load = load_default_key, .save = save_default_key};

#define DIRECTORY (S_IFDIR | 0555)
#define READ_ONLY (S_IFREG | 0444)
#define READ_WRITE (S_IFREG | 0666)

static const struct synthetic_row rows[] = {
    {.path = "", .mode = DIRECTORY},
    {.path = "attestation_type", .mode = READ_ONLY, .blob = &attestation_type},
    {.path = "my_target_info", .mode = READ_ONLY, .blob = &my_target_info},
    {.path = "report", .mode = READ_ONLY, .blob = &report},
    {.path = "user_report_data", .mode = READ_WRITE, .blob = &user_report_data},
    {.path = "target_info", .mode = READ_WRITE, .blob = &target_info},
    {.path = "keys", .mode = DIRECTORY},
    {.path = "keys/_sgx_mrenclave", .mode = READ_ONLY, .blob = &mrenclave_key},
    {.path = "keys/_sgx_mrsigner", .mode = READ_ONLY, .blob = &mrsigner_key},
    {.path = "keys/default", .mode = READ_WRITE, .blob = &key},
};

/* No mount of its own: these files are in /dev. */
static const struct file_system file_system = {.type = "tmpfs", .magic = 0x01021994, .device = 0x31, .forbids_exec = true, .has_no_blocks = true};

int64_t attestation_create(struct inode **root)
{
    return synthetic_create(&file_system, rows, ARRAY_LENGTH(rows), root);
}
