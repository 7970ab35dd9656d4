#include "fs/blob.h"

struct opened {
    const struct blob *blob;
    struct mutex lock;
    size_t length;
    uint8_t bytes[BLOB_SIZE_MAX];
};

static int64_t blob_read(struct file *file, void *to, size_t length, uint64_t *offset)
{
    struct opened *opened = file->state;
    size_t part = 0;
    mutex_lock(&opened->lock);
    if (*offset < opened->length) {
        size_t left = opened->length - (size_t)*offset;
        part = left < length ? left : length;
        memcpy(to, opened->bytes + *offset, part);
        *offset += part;
    }
    mutex_unlock(&opened->lock);
    return (int64_t)part;
}

/* What this descriptor shows from now on is what was written to it, wherever it stood before; of a longer write, what there is room for. */
static int64_t blob_write(struct file *file, const void *from, size_t length, uint64_t *offset)
{
    struct opened *opened = file->state;
    if (!opened->blob->save) {
        return -EACCES;
    }
    mutex_lock(&opened->lock);
    int64_t result = opened->blob->save(from, length);
    if (result == 0) {
        opened->length = length < sizeof(opened->bytes) ? length : sizeof(opened->bytes);
        memcpy(opened->bytes, from, opened->length);
        *offset = length;
    }
    mutex_unlock(&opened->lock);
    return result < 0 ? result : (int64_t)length;
}

static void blob_release(struct file *file)
{
    struct opened *opened = file->state;
    memset(opened, 0, sizeof(*opened)); /* it may have been a key */
    release(opened, sizeof(*opened));
}

static const struct file_operations operations = {
    .read = blob_read,
    .write = blob_write,
    .release = blob_release,
    .generated = true,
};

int64_t blob_open(struct file *file, const struct blob *blob)
{
    if (!blob->save && is_writable(file)) {
        return -EACCES;
    }
    struct opened *opened = allocate(sizeof(*opened));
    if (!opened) {
        return -ENOMEM;
    }
    int64_t length = blob->load ? blob->load(opened->bytes) : 0;
    if (length < 0) {
        release(opened, sizeof(*opened));
        return length;
    }
    opened->blob = blob;
    opened->length = (size_t)length;
    file->state = opened;
    file->operations = &operations;
    return 0;
}
