#include "fs/host_file.h"

#include "boundary/boundary.h"
#include "fs/path.h"
#include "fs/synthetic.h"
#include "fs/tree.h"

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* hosts(5): an address and names. The address is checked for its characters only: resolvers check the rest.
 */
static bool is_hosts_line(const char *line, size_t length)
{
    size_t address = 0;
    while (address < length && memchr("0123456789abcdefABCDEF:.%", line[address], 25)) {
        address++;
    }
    return address >= 2 && address < length && is_blank(line[address]);
}

/* resolv.conf(5): keywords. */
static bool is_resolver_line(const char *line, size_t length)
{
    static const char *const keywords[] = {"nameserver", "search", "domain", "options", "sortlist"};
    for (size_t at = 0; at < ARRAY_LENGTH(keywords); at++) {
        size_t size = strlen(keywords[at]);
        if (length > size && memcmp(line, keywords[at], size) == 0 && is_blank(line[size])) {
            return true;
        }
    }
    return false;
}

static bool is_host_name(const char *line, size_t length)
{
    for (size_t at = 0; at < length; at++) {
        bool sound = (line[at] >= 'a' && line[at] <= 'z') || (line[at] >= 'A' && line[at] <= 'Z') ||
                     (line[at] >= '0' && line[at] <= '9') || line[at] == '-' || line[at] == '.';
        if (!sound) {
            return false;
        }
    }
    return length <= 253;
}

static const struct {
    enum host_file file;
    const char *path;
    bool (*is_line)(const char *line, size_t length);
} files[] = {
    {HOST_FILE_HOSTS, "/etc/hosts", is_hosts_line},
    {HOST_FILE_RESOLV_CONF, "/etc/resolv.conf", is_resolver_line},
    {HOST_FILE_HOSTNAME, "/etc/hostname", is_host_name},
};

/* Printable text, whose lines are empty, comments, or as the file's manual says. */
static bool is_well_formed(const char *text, size_t length, bool (*is_line)(const char *, size_t))
{
    for (size_t start = 0; start < length;) {
        size_t end = start;
        while (end < length && text[end] != '\n') {
            bool printable = (text[end] >= ' ' && text[end] <= '~') || text[end] == '\t';
            if (!printable) {
                return false;
            }
            end++;
        }
        size_t first = start;
        while (first < end && is_blank(text[first])) {
            first++;
        }
        bool empty = first == end || text[first] == '#' || text[first] == ';';
        if (!empty && !is_line(text + first, end - first)) {
            return false;
        }
        start = end + 1;
    }
    return true;
}

static int64_t mount_text(mount_function *mount, const char *path, const char *text, size_t length)
{
    struct inode *inode;
    struct file *file;
    uint64_t offset = 0;
    int64_t result = tree_create_file(&root_file_system, 0644, &inode);
    if (result < 0) {
        return result;
    }
    inode->uid = inode->gid = 0;
    inode->links = 1;
    result = file_create(inode, O_RDWR, &file);
    if (result == 0) {
        result = length > 0 ? file->operations->write(file, text, length, &offset) : 0;
        file_put(file);
    }
    result = result < 0 ? result : mount(root_directory, path, inode);
    inode_put(inode);
    return result;
}

void host_files_mount(mount_function *mount)
{
    char *text = allocate(HOST_FILE_MAX);
    for (size_t at = 0; text && at < ARRAY_LENGTH(files); at++) {
        int64_t length = host_file(files[at].file, text, HOST_FILE_MAX);
        if (length < 0) {
            log_line(LOG_WARNING, "%s: the host gives none, the image's own is used", files[at].path);
        } else if (!is_well_formed(text, (size_t)length, files[at].is_line)) {
            log_line(LOG_ERROR, "%s: the host's file is malformed, the image's own is used", files[at].path);
        } else if (mount_text(mount, files[at].path, text, (size_t)length) < 0) {
            log_line(LOG_ERROR, "%s: cannot be replaced by the host's file", files[at].path);
        }
    }
    release(text, HOST_FILE_MAX);
}
