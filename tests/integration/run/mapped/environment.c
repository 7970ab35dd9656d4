/*
 * LMDB: reads go through a mapping, writes by pwrite() or (writemap) through the mapping; readers keep what they began with.
 *
 *     environment FOLDER COUNT plain|writemap
 */
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static MDB_env *environment;
static MDB_dbi table;
static int count;

static void need(int error, const char *what)
{
    if (error) {
        fprintf(stderr, "%s: %s\n", what, mdb_strerror(error));
        exit(1);
    }
}

static MDB_val value_of(const char *text)
{
    return (MDB_val){strlen(text), (void *)text};
}

static int read_number(MDB_txn *transaction, const char *name)
{
    MDB_val key = value_of(name), value;
    int error = mdb_get(transaction, table, &key, &value);
    if (error == MDB_NOTFOUND) {
        return -1;
    }
    need(error, "get");
    char text[32] = "";
    memcpy(text, value.mv_data, value.mv_size < 31 ? value.mv_size : 31);
    return atoi(text);
}

static void write_number(MDB_txn *transaction, const char *name, int number)
{
    char text[32];
    snprintf(text, sizeof text, "%d", number);
    MDB_val key = value_of(name), value = value_of(text);
    need(mdb_put(transaction, table, &key, &value, 0), "put");
}

/* Both are written in one transaction: nobody sees one without the other. */
static void *read_along(void *unused)
{
    int last = -1;
    while (last < count - 1) {
        MDB_txn *transaction;
        need(mdb_txn_begin(environment, NULL, MDB_RDONLY, &transaction), "begin to read");
        int one = read_number(transaction, "one"), other = read_number(transaction, "other");
        mdb_txn_abort(transaction);
        need(one == other && one >= last ? 0 : MDB_CORRUPTED, "what a reader sees");
        last = one;
    }
    return unused;
}

int main(int arguments, char **argument)
{
    pthread_t reader;
    MDB_txn *transaction, *snapshot, *nested;
    MDB_stat status;
    if (arguments != 4) {
        return 2;
    }
    count = atoi(argument[2]);
    need(mdb_env_create(&environment), "create");
    need(mdb_env_set_mapsize(environment, 64UL << 20), "size");
    need(mdb_env_open(environment, argument[1], strcmp(argument[3], "writemap") ? 0 : MDB_WRITEMAP, 0600), "open");
    need(mdb_txn_begin(environment, NULL, 0, &transaction), "begin");
    need(mdb_dbi_open(transaction, NULL, 0, &table), "table");
    need(mdb_txn_commit(transaction), "commit");
    need(pthread_create(&reader, NULL, read_along, NULL), "thread");
    need(mdb_txn_begin(environment, NULL, MDB_RDONLY, &snapshot), "begin to read");
    for (int number = 0; number < count; number++) {
        char name[32];
        need(mdb_txn_begin(environment, NULL, 0, &transaction), "begin");
        write_number(transaction, "one", number);
        if (!strcmp(argument[3], "plain")) {
            need(mdb_txn_begin(environment, transaction, 0, &nested), "begin inside");
            write_number(nested, "other", number + 1000000);
            mdb_txn_abort(nested);
        }
        write_number(transaction, "other", number);
        snprintf(name, sizeof name, "key %d", number * 7919 % count);
        write_number(transaction, name, number);
        need(mdb_txn_commit(transaction), "commit");
    }
    need(read_number(snapshot, "one") == -1 ? 0 : MDB_CORRUPTED, "what an old reader sees");
    mdb_txn_abort(snapshot);
    pthread_join(reader, NULL);
    need(mdb_env_sync(environment, 1), "sync");
    need(mdb_env_stat(environment, &status), "stat");
    printf("%zu entries\n", status.ms_entries);
    mdb_env_close(environment);
    return 0;
}
