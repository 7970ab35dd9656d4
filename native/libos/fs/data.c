#include "fs/data.h"

#include "fs/buffer.h"
#include "wait/wait.h"

#define HANDLES_MAX 128U
#define NO_HANDLE (-1)
#define READ_AHEAD_FIRST 4U /* many files are opened for a header alone */
#define READ_AHEAD_MAX 32U
#define BULK_BLOCKS (EXCHANGE_DATA_SIZE / BLOCK_SIZE)
#define BULK_MINIMUM (16U * BLOCK_SIZE) /* below it reads go through the block cache */

struct host_data {
    struct verity_file verity;
    int handle;
    uint32_t readers; /* of the handle, now */
    bool reported;
    uint64_t next_block;             /* where a sequential reader goes on; a hint, */
    uint32_t ahead;                  /* and what it gets at once */
    struct host_data *newer, *older; /* among those with a handle */
    size_t path_length;
    char path[];
};

static struct {
    struct mutex lock;
    struct host_data *newest, *oldest;
    uint32_t count;
} handles;

struct host_data *data_create(const struct verity_file *verity, const char *path, size_t length)
{
    struct host_data *data = allocate(sizeof(struct host_data) + length + 1);
    if (!data) {
        return NULL;
    }
    data->verity = *verity;
    data->handle = NO_HANDLE;
    data->path_length = length;
    memcpy(data->path, path, length);
    return data;
}

static void unlink_handle(struct host_data *data)
{
    *(data->newer ? &data->newer->older : &handles.newest) = data->older;
    *(data->older ? &data->older->newer : &handles.oldest) = data->newer;
}

static void link_handle(struct host_data *data)
{
    data->newer = NULL;
    data->older = handles.newest;
    *(handles.newest ? &handles.newest->newer : &handles.oldest) = data;
    handles.newest = data;
}

static void close_handle(struct host_data *data)
{
    unlink_handle(data);
    host_data_close(data->handle);
    data->handle = NO_HANDLE;
    handles.count--;
}

void data_destroy(struct host_data *data)
{
    mutex_lock(&handles.lock);
    if (data->handle != NO_HANDLE) {
        close_handle(data);
    }
    mutex_unlock(&handles.lock);
    release(data, sizeof(struct host_data) + data->path_length + 1);
}

/* One line for each open file, however often it is read. */
static int64_t refuse(struct host_data *data, int64_t error, const char *why)
{
    if (!__atomic_exchange_n(&data->reported, true, __ATOMIC_RELAXED)) {
        log_line(LOG_ERROR, "/%s: %s", data->path, why);
    }
    return error;
}

static void make_room(void)
{
    struct host_data *oldest = handles.oldest;
    while (oldest && oldest->readers > 0) {
        oldest = oldest->newer;
    }
    if (oldest) {
        close_handle(oldest);
    }
}

/* Opens the file on the host if it is not open, and keeps the handle from being closed until let_go(). */
static int64_t hold(struct host_data *data)
{
    mutex_lock(&handles.lock);
    int64_t result = 0;
    if (data->handle == NO_HANDLE) {
        if (handles.count >= HANDLES_MAX) {
            make_room();
        }
        result = host_data_open(data->path, data->path_length);
        if (result >= 0) {
            data->handle = (int)result;
            handles.count++;
            link_handle(data);
        }
    } else {
        unlink_handle(data);
        link_handle(data);
    }
    if (result >= 0) {
        data->readers++;
    }
    mutex_unlock(&handles.lock);
    switch (result) {
    default:
        return result >= 0 ? 0 : refuse(data, -EIO, "the host cannot open the file");
    case -ENOENT:
    case -ENOTDIR:
        return refuse(data, -EIO, "the file is missing on the host");
    case -EACCES:
    case -EPERM:
        return refuse(data, -EACCES, "the host process may not read the file");
    }
}

static void let_go(struct host_data *data)
{
    mutex_lock(&handles.lock);
    data->readers--;
    mutex_unlock(&handles.lock);
}

int64_t data_open(struct host_data *data)
{
    int64_t result = hold(data);
    if (result == 0) {
        let_go(data);
    }
    return result;
}

/* Fetches and verifies whole blocks. Where they reach the end of the file, `to` must have room for one byte
 * more: it catches a file that has grown. */
static int64_t load(struct host_data *data, uint64_t block, uint8_t *to, size_t length)
{
    bool at_end = block * BLOCK_SIZE + length == data->verity.size;
    int64_t result = hold(data);
    if (result < 0) {
        return result;
    }
    result = host_data_read(data->handle, block * BLOCK_SIZE, to, length + (at_end ? 1 : 0));
    let_go(data);
    if (result < 0) {
        return refuse(data, -EIO, "the host cannot read the file");
    }
    if ((size_t)result < length) {
        return refuse(data, -EIO, "the file is shorter than what was measured");
    }
    if ((size_t)result > length) {
        return refuse(data, -EIO, "the file is longer than what was measured");
    }
    enum verity_verdict verdict = verity_check(&data->verity, block, to, length);
    return verdict == VERITY_GOOD ? 0 : refuse(data, -EIO, verity_text(verdict));
}

static size_t clip(const struct host_data *data, uint64_t block, size_t blocks)
{
    uint64_t left = data->verity.size - block * BLOCK_SIZE;
    return left < blocks * BLOCK_SIZE ? (size_t)left : blocks * BLOCK_SIZE;
}

/* How many blocks come into the cache at once: what is asked for, and more each time that a reader goes on where it was. One if what follows does not go
 * by way of the cache (0). */
static size_t blocks_ahead(struct host_data *data, uint64_t block, size_t wanted)
{
    if (wanted == 0) {
        return 1;
    }
    uint32_t ahead = block == 0 ? READ_AHEAD_FIRST : 1;
    if (block != 0 && block == __atomic_load_n(&data->next_block, __ATOMIC_RELAXED)) {
        uint32_t last = __atomic_load_n(&data->ahead, __ATOMIC_RELAXED);
        ahead = last < READ_AHEAD_MAX / 2 ? 2 * last : READ_AHEAD_MAX;
    }
    size_t blocks = (wanted + BLOCK_SIZE - 1) / BLOCK_SIZE;
    blocks = blocks < ahead ? ahead : blocks;
    blocks = blocks < READ_AHEAD_MAX ? blocks : READ_AHEAD_MAX;
    __atomic_store_n(&data->ahead, (uint32_t)blocks, __ATOMIC_RELAXED);
    return blocks;
}

/* Part of one block, by way of the cache. `wanted`: from the start of the block on, see blocks_ahead(). */
static int64_t read_cached(struct host_data *data, uint64_t block, size_t start, size_t length, size_t wanted, void *to)
{
    struct block_key key = {.object = data->verity.object, .index = block, .kind = BLOCK_DATA};
    if (block_cache_copy(&key, start, length, to)) {
        return 0;
    }
    uint8_t *buffer = buffer_take(&data_buffers);
    if (!buffer) {
        return -ENOMEM;
    }
    size_t size = clip(data, block, blocks_ahead(data, block, wanted));
    int64_t result = load(data, block, buffer, size);
    if (result == 0) {
        size_t padded = (size + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
        memset(buffer + size, 0, padded - size);
        for (size_t at = 0; at < padded; at += BLOCK_SIZE, key.index++) {
            block_cache_insert(&key, buffer + at);
        }
        __atomic_store_n(&data->next_block, key.index, __ATOMIC_RELAXED);
        memcpy(to, buffer + start, length);
    }
    buffer_give(&data_buffers, buffer);
    return result;
}

int64_t data_read(struct host_data *data, uint64_t offset, void *to, size_t length)
{
    if (offset >= data->verity.size) {
        return 0;
    }
    if (length > data->verity.size - offset) {
        length = (size_t)(data->verity.size - offset);
    }
    uint64_t last_block = (data->verity.size - 1) / BLOCK_SIZE;
    for (size_t done = 0; done < length;) {
        uint64_t block = (offset + done) / BLOCK_SIZE;
        size_t start = (offset + done) % BLOCK_SIZE;
        size_t left = length - done;
        size_t part = BLOCK_SIZE - start < left ? BLOCK_SIZE - start : left;
        int64_t result;
        if (start == 0 && left >= BULK_MINIMUM) {
            size_t blocks = left / BLOCK_SIZE < BULK_BLOCKS ? left / BLOCK_SIZE : BULK_BLOCKS;
            if (block + blocks > last_block) {
                blocks = (size_t)(last_block - block); /* the last block needs the room for one byte more */
            }
            part = blocks * BLOCK_SIZE;
            result = load(data, block, (uint8_t *)to + done, part);
            __atomic_store_n(&data->next_block, block + blocks, __ATOMIC_RELAXED);
        } else {
            size_t wanted = left - part < BULK_MINIMUM ? start + left : 0;
            result = read_cached(data, block, start, part, wanted, (uint8_t *)to + done);
        }
        if (result < 0) {
            return result;
        }
        done += part;
    }
    return (int64_t)length;
}
