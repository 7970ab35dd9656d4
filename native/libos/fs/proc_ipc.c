/* /proc/sysvipc: proc(5), ipc/sem.c, ipc/msg.c and ipc/shm.c of Linux. */
#include "fs/proc_content.h"
#include "process/process.h"

void proc_semaphores(struct text *text)
{
    text_add(text, "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n");
    mutex_lock(&semaphore_sets.lock);
    for (uint32_t at = 0; at <= ipc_highest(&semaphore_sets); at++) {
        const struct ipc_object *object = ipc_at(&semaphore_sets, at);
        struct semaphore_status status;
        if (!object) {
            continue;
        }
        semaphore_describe(object, &status);
        const struct ipc_permissions *owner = &status.permissions;
        text_add(text, "%10d %10d  %4o %10lu %5u %5u %5u %5u %10ld %10ld\n", owner->key, object->id, owner->mode,
            status.count, owner->uid, owner->gid, owner->creator_uid, owner->creator_gid, status.operation_time,
            status.change_time);
    }
    mutex_unlock(&semaphore_sets.lock);
}

void proc_message_queues(struct text *text)
{
    text_add(text, "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      "
                   "stime      rtime      ctime\n");
    mutex_lock(&message_queues.lock);
    for (uint32_t at = 0; at <= ipc_highest(&message_queues); at++) {
        const struct ipc_object *object = ipc_at(&message_queues, at);
        struct message_queue_status status;
        if (!object) {
            continue;
        }
        message_queue_describe(object, &status);
        const struct ipc_permissions *owner = &status.permissions;
        text_add(text, "%10d %10d  %4o  %10lu %10lu %5d %5d ", owner->key, object->id, owner->mode, status.bytes,
            status.count, status.sender, status.receiver);
        text_add(text, "%5u %5u %5u %5u %10ld %10ld %10ld\n", owner->uid, owner->gid, owner->creator_uid,
            owner->creator_gid, status.send_time, status.receive_time, status.change_time);
    }
    mutex_unlock(&message_queues.lock);
}

void proc_shared_segments(struct text *text)
{
    text_add(text, "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      "
                   "atime      dtime      ctime                   rss                  swap\n");
    shared_segments_lock();
    for (uint32_t at = 0; at <= ipc_highest(&shared_segments); at++) {
        const struct ipc_object *object = ipc_at(&shared_segments, at);
        struct shared_segment_status status;
        if (!object) {
            continue;
        }
        shared_segment_describe(object, &status);
        const struct ipc_permissions *owner = &status.permissions;
        text_add(text, "%10d %10d  %4o %21lu %5d %5d  %5lu ", owner->key, object->id, owner->mode, status.size,
            status.creator, status.last, status.attached);
        text_add(text, "%5u %5u %5u %5u %10ld %10ld %10ld %21lu %21u\n", owner->uid, owner->gid,
            owner->creator_uid, owner->creator_gid, status.attach_time, status.detach_time, status.change_time,
            (unsigned long)PAGE_UP(status.size), 0U);
    }
    mutex_unlock(&shared_segments.lock);
}
