/*
 * The provider of streams: one thread, one epoll, answers that were written beforehand.
 *
 *     streams FOLDER PIECES PACE_US       prints the port it listens on
 *
 * FOLDER has chat.first, chat.word, chat.last, and the same for messages. Each piece is one write: the first, the word
 * PIECES - 2 times, the last. All at once, or, where the request holds the words PACED, one every PACE_US microseconds,
 * the first after that time too. Requests need a Content-Length.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define PACED "at a steady pace"
#define CONNECTIONS 8192
#define RECEIVED (1 << 20)

struct piece { char *bytes; size_t length; };
struct script { struct piece first, word, last; };

/* Of a connection. `step`: the piece that goes next, -1 between two answers. */
struct client {
    char *received;
    size_t length, written; /* written: of the piece that goes next */
    int step, paced, slot, waits;
    long long due_us;
    struct script *script;
};

static struct client clients[CONNECTIONS];
static int pacing[CONNECTIONS], paced_count;
static struct script chat, messages;
static int pieces, epoll;
static long long pace_us;

static long long now_us(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000LL + at.tv_nsec / 1000;
}

static void die(const char *why) { perror(why); exit(1); }

static struct piece piece(const char *folder, const char *format, const char *part) {
    char path[4096];
    struct stat about;
    struct piece read_in;
    snprintf(path, sizeof path, "%s/%s.%s", folder, format, part);
    int file = open(path, O_RDONLY);
    if (file < 0 || fstat(file, &about)) die(path);
    read_in.length = about.st_size;
    read_in.bytes = malloc(read_in.length);
    if (read(file, read_in.bytes, read_in.length) != (ssize_t)read_in.length) die(path);
    close(file);
    return read_in;
}

static struct script script(const char *folder, const char *format) {
    struct script all = {piece(folder, format, "first"), piece(folder, format, "word"), piece(folder, format, "last")};
    return all;
}

static void unpace(struct client *one) {
    if (one->slot < 0) return;
    int moved = pacing[--paced_count];
    pacing[one->slot] = moved;
    clients[moved].slot = one->slot;
    one->slot = -1;
}

static void hang_up(int fd) {
    unpace(&clients[fd]);
    free(clients[fd].received);
    clients[fd].received = NULL;
    close(fd);
}

static void watch(int fd, int writes) {
    struct epoll_event event = {.events = EPOLLIN | (writes ? EPOLLOUT : 0), .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
    clients[fd].waits = writes;
}

/* Writes the piece that goes next; 1 when all of it went, 0 when the socket is full, -1 when the client has gone. */
static int write_piece(int fd) {
    struct client *one = &clients[fd];
    struct piece *next = one->step == 0 ? &one->script->first
                       : one->step == pieces - 1 ? &one->script->last : &one->script->word;
    ssize_t went = write(fd, next->bytes + one->written, next->length - one->written);
    if (went < 0) {
        if (errno != EAGAIN) { hang_up(fd); return -1; }
        if (!one->waits) watch(fd, 1);
        return 0;
    }
    one->written += went;
    if (one->written < next->length) { if (!one->waits) watch(fd, 1); return 0; }
    one->written = 0;
    if (++one->step == pieces) { one->step = -1; unpace(one); }
    return 1;
}

static void write_all(int fd) {
    while (clients[fd].step >= 0)
        if (write_piece(fd) != 1) return;
    if (clients[fd].waits) watch(fd, 0);
}

/* Takes a whole request out of what was received, if it is there. */
static int request(struct client *one, int *paced) {
    one->received[one->length] = 0;
    char *blank = strstr(one->received, "\r\n\r\n");
    if (!blank) return 0;
    char *declared = strcasestr(one->received, "content-length:");
    size_t body = declared && declared < blank ? strtoul(declared + 15, NULL, 10) : 0;
    size_t whole = blank + 4 - one->received + body;
    if (one->length < whole) return 0;
    char *line = memchr(one->received, '\n', one->length);
    one->script = memmem(one->received, line - one->received, "/messages", 9) ? &messages : &chat;
    *paced = memmem(blank + 4, body, PACED, strlen(PACED)) != NULL;
    memmove(one->received, one->received + whole, one->length - whole);
    one->length -= whole;
    return 1;
}

static void receive(int fd) {
    struct client *one = &clients[fd];
    ssize_t came = read(fd, one->received + one->length, RECEIVED - 1 - one->length);
    if (came <= 0) { if (came == 0 || errno != EAGAIN) hang_up(fd); return; }
    one->length += came;
    int paced;
    if (one->step >= 0 || !request(one, &paced)) return;
    one->step = 0;
    if (!paced) { write_all(fd); return; }
    one->due_us = now_us() + pace_us;
    one->slot = paced_count;
    pacing[paced_count++] = fd;
}

static void tick(void) {
    long long now = now_us();
    for (int at = paced_count - 1; at >= 0; at--) { /* downwards: the last one takes the place of one that ends */
        int fd = pacing[at];
        while (clients[fd].slot == at && clients[fd].due_us <= now) {
            clients[fd].due_us += pace_us;
            if (write_piece(fd) != 1) break;
        }
    }
}

static int listening(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(fd, (struct sockaddr *)&address, length) || listen(fd, 1024)) die("listen");
    getsockname(fd, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void join(int server) {
    int fd, on = 1;
    while ((fd = accept4(server, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= CONNECTIONS) { close(fd); continue; }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        clients[fd] = (struct client){.received = malloc(RECEIVED), .step = -1, .slot = -1};
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(int count, char **given) {
    if (count != 4) { fputs("usage: streams FOLDER PIECES PACE_US\n", stderr); return 2; }
    signal(SIGPIPE, SIG_IGN);
    chat = script(given[1], "chat");
    messages = script(given[1], "messages");
    pieces = atoi(given[2]);
    pace_us = atoll(given[3]);
    epoll = epoll_create1(0);
    int server = listening(), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct itimerspec each = {.it_interval.tv_nsec = 500000, .it_value.tv_nsec = 500000};
    timerfd_settime(timer, 0, &each, NULL);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = server}, ready[256];
    epoll_ctl(epoll, EPOLL_CTL_ADD, server, &event);
    event.data.fd = timer;
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event);
    for (;;) {
        int found = epoll_wait(epoll, ready, 256, -1);
        for (int at = 0; at < found; at++) {
            int fd = ready[at].data.fd;
            unsigned long long passed;
            if (fd == server) join(server);
            else if (fd == timer) { if (read(timer, &passed, sizeof passed) > 0) tick(); }
            else if (ready[at].events & (EPOLLERR | EPOLLHUP)) hang_up(fd);
            else {
                if (ready[at].events & EPOLLOUT && clients[fd].step >= 0) {
                    if (clients[fd].slot >= 0) { if (write_piece(fd) == 1) watch(fd, 0); } else write_all(fd);
                }
                if (clients[fd].received && ready[at].events & EPOLLIN) receive(fd);
            }
        }
    }
}
