/*
 * SQLite with a write-ahead log and memory-mapped reads: two threads with a connection of their own write by turns and read what the other one wrote.
 *
 *     wal FILE ROUNDS
 */
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *path;
static int rounds;

static void need(int done, sqlite3 *database, const char *what)
{
    if (!done) {
        fprintf(stderr, "%s: %s\n", what, database ? sqlite3_errmsg(database) : "");
        exit(1);
    }
}

static void run(sqlite3 *database, const char *statement)
{
    need(sqlite3_exec(database, statement, NULL, NULL, NULL) == SQLITE_OK, database, statement);
}

static sqlite3 *connect(void)
{
    sqlite3 *database;
    need(sqlite3_open(path, &database) == SQLITE_OK, database, "open");
    sqlite3_busy_timeout(database, 60000);
    run(database, "pragma mmap_size=268435456; pragma journal_mode=wal; pragma synchronous=normal; pragma wal_autocheckpoint=20");
    return database;
}

static long long ask(sqlite3 *database, const char *question)
{
    sqlite3_stmt *statement;
    need(sqlite3_prepare_v2(database, question, -1, &statement, NULL) == SQLITE_OK, database, question);
    need(sqlite3_step(statement) == SQLITE_ROW, database, question);
    long long answer = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return answer;
}

static void *work(void *name)
{
    sqlite3 *database = connect();
    char text[400];
    for (int round = 0; round < rounds; round++) {
        snprintf(text, sizeof text, "begin immediate; insert into t(who, n, filler) values('%s', %d, hex(randomblob(300))); "
                 "update sums set total = total + %d; delete from t where n < %d - 50; commit", (char *)name, round, round, round);
        run(database, text);
        need(ask(database, "select count(*) from sums where total >= 0") == 1, NULL, "the sum");
        if (round % 16 == 0) {
            ask(database, "select sum(length(filler)) from t");
        }
    }
    sqlite3_close(database);
    return NULL;
}

int main(int count, char **arguments)
{
    pthread_t threads[2];
    if (count != 3) {
        return 2;
    }
    path = arguments[1];
    rounds = atoi(arguments[2]);
    sqlite3 *database = connect();
    run(database, "create table t(id integer primary key, who text, n integer, filler text); create index i on t(n); "
                  "create table sums(total integer); insert into sums values(0)");
    need(pthread_create(&threads[0], NULL, work, "one") == 0 && pthread_create(&threads[1], NULL, work, "two") == 0, NULL, "thread");
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    sqlite3_stmt *statement;
    need(sqlite3_prepare_v2(database, "pragma integrity_check", -1, &statement, NULL) == SQLITE_OK, database, "integrity_check");
    need(sqlite3_step(statement) == SQLITE_ROW, database, "integrity_check");
    printf("%s %lld %lld\n", sqlite3_column_text(statement, 0), ask(database, "select total from sums"), ask(database, "select count(*) from t"));
    sqlite3_finalize(statement);
    run(database, "pragma wal_checkpoint(truncate)");
    sqlite3_close(database);
    return 0;
}
