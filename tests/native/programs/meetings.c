/*
 * FIFOs and named Unix sockets of a folder that may be a volume: their names are files as others are, and who opens them meets.
 *
 * meetings FOLDER: as root, who may change users; the folder is empty, or made.
 * meetings FOLDER alone: inside, with a socket and a FIFO of the host's in the folder.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define USER 1234U
#define GROUP 2345U

static struct stat status_of(const char *path)
{
    struct stat status;
    CHECK(lstat(path, &status) == 0);
    return status;
}

static unsigned type_in_folder(const char *name)
{
    DIR *folder = opendir(".");
    struct dirent *entry;
    CHECK(folder != NULL);
    while ((entry = readdir(folder)) && strcmp(entry->d_name, name) != 0) {
    }
    CHECK(entry != NULL);
    unsigned type = entry->d_type;
    closedir(folder);
    return type;
}

static void expect_end_of(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void expect_words(int descriptor, const char *words)
{
    char bytes[64] = {0};
    CHECK(read(descriptor, bytes, sizeof(bytes) - 1) == (ssize_t)strlen(words));
    CHECK(strcmp(bytes, words) == 0);
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    return address;
}

static int bound(int type, const char *path)
{
    struct sockaddr_un address = address_of(path);
    int made = socket(AF_UNIX, type, 0);
    CHECK(made >= 0 && bind(made, (struct sockaddr *)&address, sizeof(address)) == 0);
    return made;
}

static int connecting(int descriptor, const char *path)
{
    struct sockaddr_un address = address_of(path);
    return connect(descriptor, (struct sockaddr *)&address, sizeof(address));
}

static void names_of_fifos(void)
{
    umask(0);
    CHECK(mkfifo("open to all", 0666) == 0 && (status_of("open to all").st_mode) == (S_IFIFO | 0666));
    CHECK(mkdir("folder", 0777) == 0 && status_of("folder").st_mode == (S_IFDIR | 0777));
    int made = open("file", O_CREAT | O_RDWR, 0666);
    CHECK(made >= 0 && status_of("file").st_mode == (S_IFREG | 0666));
    umask(022);
    CHECK(mkfifo("fifo", 0666) == 0);
    FAILS(mkfifo("fifo", 0666), EEXIST);
    FAILS(mkfifo("nowhere/fifo", 0666), ENOENT);
    FAILS(mkfifo("file/fifo", 0666), ENOTDIR);
    struct stat status = status_of("fifo");
    CHECK(status.st_mode == (S_IFIFO | 0644) && status.st_nlink == 1 && status.st_size == 0 && status.st_rdev == 0);
    CHECK(type_in_folder("fifo") == DT_FIFO);
    CHECK(chmod("fifo", 0600) == 0 && chown("fifo", USER, GROUP) == 0);
    status = status_of("fifo");
    CHECK(status.st_mode == (S_IFIFO | 0600) && status.st_uid == USER && status.st_gid == GROUP);
    CHECK(link("fifo", "twin") == 0 && status_of("twin").st_ino == status.st_ino && status_of("fifo").st_nlink == 2);
    CHECK(truncate("fifo", 0) == -1 && errno == EINVAL);
    FAILS(open("fifo", O_RDONLY | O_DIRECTORY), ENOTDIR);
    FAILS(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
    FAILS(open("fifo", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
    CHECK(close(made) == 0);
}

/* By either name, and by a third that it gets while it is open. */
static void one_fifo(void)
{
    int reader = open("fifo", O_RDONLY | O_NONBLOCK), writer = open("twin", O_WRONLY | O_NONBLOCK);
    CHECK(reader >= 0 && writer >= 0);
    CHECK(write(writer, "twin", 4) == 4);
    expect_words(reader, "twin");
    CHECK(rename("fifo", "folder/moved") == 0);
    int other = open("folder/moved", O_WRONLY | O_NONBLOCK | O_TRUNC | O_APPEND);
    CHECK(other >= 0 && write(other, "moved", 5) == 5);
    expect_words(reader, "moved");
    struct stat of_reader, of_other;
    CHECK(fstat(reader, &of_reader) == 0 && fstat(other, &of_other) == 0);
    CHECK(S_ISFIFO(of_reader.st_mode) && of_reader.st_ino == of_other.st_ino && of_reader.st_nlink == 2);
    FAILS(lseek(reader, 0, SEEK_SET), ESPIPE);
    FAILS(pread(reader, &of_other, 1, 0), ESPIPE);
    CHECK(fcntl(reader, F_GETPIPE_SZ) == 65536);
    CHECK(unlink("folder/moved") == 0 && close(other) == 0);
    other = open("twin", O_WRONLY | O_NONBLOCK);
    CHECK(other >= 0 && write(other, "still", 5) == 5);
    expect_words(reader, "still");
    CHECK(unlink("twin") == 0);

    /* One of the same name, for which the host may take the number of the one that is open. */
    CHECK(mkfifo("twin", 0600) == 0);
    FAILS(open("twin", O_WRONLY | O_NONBLOCK), ENXIO);
    int fresh = open("twin", O_RDONLY | O_NONBLOCK);
    CHECK(fresh >= 0 && write(other, "old", 3) == 3);
    CHECK(read(fresh, &of_other, 1) == 0);
    expect_words(reader, "old");
    CHECK(close(fresh) == 0 && close(other) == 0 && close(writer) == 0);
    CHECK(read(reader, &of_other, 1) == 0 && close(reader) == 0);
    CHECK(unlink("twin") == 0);
}

/* Each waits for the other, and nothing is kept once both have gone. */
static void two_programs(void)
{
    CHECK(mkfifo("between", 0600) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int writer = open("between", O_WRONLY);
        CHECK(writer >= 0 && write(writer, "hello", 5) == 5);
        _exit(0);
    }
    int reader = open("between", O_RDONLY);
    char byte;
    CHECK(reader >= 0);
    expect_words(reader, "hello");
    CHECK(read(reader, &byte, 1) == 0);
    expect_end_of(child);
    struct pollfd ended = {.fd = reader, .events = POLLIN};
    CHECK(poll(&ended, 1, 0) == 1 && ended.revents == POLLHUP);
    int writer = open("between", O_WRONLY);
    CHECK(write(writer, "lost", 4) == 4 && close(writer) == 0 && close(reader) == 0);
    reader = open("between", O_RDONLY | O_NONBLOCK);
    CHECK(reader >= 0 && read(reader, &byte, 1) == 0 && close(reader) == 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(setgid(GROUP) == 0 && setuid(USER) == 0);
        FAILS(open("between", O_RDONLY | O_NONBLOCK), EACCES);
        _exit(0);
    }
    expect_end_of(child);
    CHECK(unlink("between") == 0);
}

static void streams(void)
{
    char words[64];
    struct sockaddr_un address;
    socklen_t size = sizeof(address);
    int listener = bound(SOCK_STREAM, "socket"), client = socket(AF_UNIX, SOCK_STREAM, 0);
    struct stat status = status_of("socket");
    CHECK(status.st_mode == (S_IFSOCK | 0755) && status.st_size == 0 && type_in_folder("socket") == DT_SOCK);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &size) == 0 && strcmp(address.sun_path, "socket") == 0);
    FAILS(open("socket", O_RDWR), ENXIO);
    FAILS(connecting(client, "socket"), ECONNREFUSED); /* nobody listens yet */
    CHECK(listen(listener, 5) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int own = socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK(connecting(own, "socket") == 0 && write(own, "question", 8) == 8);
        expect_words(own, "answer");
        _exit(0);
    }
    int server = accept(listener, NULL, NULL);
    CHECK(server >= 0);
    expect_words(server, "question");
    CHECK(write(server, "answer", 6) == 6);
    expect_end_of(child);
    CHECK(read(server, words, sizeof(words)) == 0 && close(server) == 0);

    struct sockaddr_un same = address_of("socket");
    int other = socket(AF_UNIX, SOCK_STREAM, 0);
    FAILS(bind(other, (struct sockaddr *)&same, sizeof(same)), EADDRINUSE);
    same = address_of("nowhere/socket");
    FAILS(bind(other, (struct sockaddr *)&same, sizeof(same)), ENOENT);
    int datagrams = socket(AF_UNIX, SOCK_DGRAM, 0);
    FAILS(connecting(datagrams, "socket"), EPROTOTYPE);

    CHECK(rename("socket", "folder/moved") == 0 && chmod("folder/moved", 0777) == 0);
    FAILS(connecting(client, "socket"), ENOENT);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int own = socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK(setgid(GROUP) == 0 && setuid(USER) == 0);
        CHECK(connecting(own, "folder/moved") == 0);
        _exit(0);
    }
    expect_end_of(child);
    CHECK(chmod("folder/moved", 0700) == 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(setgid(GROUP) == 0 && setuid(USER) == 0);
        FAILS(connecting(client, "folder/moved"), EACCES);
        _exit(0);
    }
    expect_end_of(child);

    /* Another of the name while the first still listens: it is no longer to be found. */
    CHECK(unlink("folder/moved") == 0);
    CHECK(close(other) == 0);
    other = bound(SOCK_STREAM, "folder/moved");
    FAILS(connecting(client, "folder/moved"), ECONNREFUSED);
    CHECK(listen(other, 1) == 0 && connecting(client, "folder/moved") == 0);
    server = accept(other, NULL, NULL);
    CHECK(server >= 0 && write(client, "anew", 4) == 4);
    expect_words(server, "anew");
    CHECK(close(server) == 0 && close(other) == 0 && close(client) == 0);
    client = socket(AF_UNIX, SOCK_STREAM, 0);
    FAILS(connecting(client, "folder/moved"), ECONNREFUSED); /* the name outlives who had it */
    CHECK(unlink("folder/moved") == 0);
    CHECK(close(client) == 0 && close(datagrams) == 0 && close(listener) == 0);
}

static void datagrams(void)
{
    char words[64] = {0};
    int receiver = bound(SOCK_DGRAM, "inbox"), sender = bound(SOCK_DGRAM, "outbox");
    struct sockaddr_un to = address_of("inbox"), from;
    socklen_t size = sizeof(from);
    CHECK(link("inbox", "other name") == 0);
    CHECK(sendto(sender, "letter", 6, 0, (struct sockaddr *)&to, sizeof(to)) == 6);
    CHECK(recvfrom(receiver, words, sizeof(words), 0, (struct sockaddr *)&from, &size) == 6 && strcmp(from.sun_path, "outbox") == 0);
    CHECK(connecting(sender, "other name") == 0 && send(sender, "again", 5, 0) == 5);
    expect_words(receiver, "again");
    CHECK(unlink("inbox") == 0 && unlink("other name") == 0);
    FAILS(sendto(sender, "letter", 6, 0, (struct sockaddr *)&to, sizeof(to)), ENOENT);
    CHECK(send(sender, "still", 5, 0) == 5);
    expect_words(receiver, "still");
    CHECK(close(receiver) == 0 && close(sender) == 0 && unlink("outbox") == 0);
}

/* A name of a socket that nobody ever bound. */
static void nodes(void)
{
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(mknod("node", S_IFSOCK | 0600, 0) == 0 && status_of("node").st_mode == (S_IFSOCK | 0600));
    FAILS(connecting(client, "node"), ECONNREFUSED);
    FAILS(connecting(client, "file"), ECONNREFUSED);
    CHECK(rename("node", "open to all") == 0 && S_ISSOCK(status_of("open to all").st_mode));
    CHECK(close(client) == 0 && unlink("open to all") == 0 && unlink("file") == 0 && rmdir("folder") == 0);
}

/* What somebody outside has put there. */
static void strangers(void)
{
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(S_ISSOCK(status_of("listener").st_mode) && S_ISFIFO(status_of("fifo").st_mode));
    FAILS(connecting(client, "listener"), ECONNREFUSED);
    FAILS(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
    puts("nobody");
}

int main(int count, char **words)
{
    if (count == 3 && strcmp(words[2], "alone") == 0) {
        CHECK(chdir(words[1]) == 0);
        strangers();
        return 0;
    }
    CHECK(count == 2 && (mkdir(words[1], 0755) == 0 || errno == EEXIST) && chdir(words[1]) == 0);
    names_of_fifos();
    one_fifo();
    two_programs();
    streams();
    datagrams();
    nodes();
    puts("met");
    return 0;
}
