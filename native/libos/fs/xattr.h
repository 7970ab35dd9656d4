/* Extended attributes (xattr(7)): limits and what file systems give. */
#ifndef ENCLAVIZE_FS_XATTR_H
#define ENCLAVIZE_FS_XATTR_H

#include "fs/inode.h"

#define XATTR_SIZE_MAX 65536U
#define XATTR_LIST_MAX 65536U
#define XATTR_SECURITY "security."
#define XATTR_USER "user."
#define XATTR_TRUSTED "trusted."
#define XATTR_ACL_ACCESS "system.posix_acl_access"
#define XATTR_ACL_DEFAULT "system.posix_acl_default"

enum xattr_flag { XATTR_CREATE = 1, XATTR_REPLACE = 2 };

/* One attribute. Valid while the namespace lock is held. */
struct xattr {
    char name[NAME_LENGTH_MAX + 1]; /* whole */
    uint32_t size;                  /* of the value */
    const void *value;              /* NULL: it lies in the image, or with the host */
    struct erofs_xattr lower;
};

#endif
