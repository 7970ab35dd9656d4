/*
 * The boundary between the enclave (libos.so) and the PAL: address layout, ECALLs, OCALLs.
 *
 * Everything the PAL passes in is untrusted. The enclave never follows a pointer from outside except the exchange area,
 * whose address is checked once per thread to lie outside ELRANGE; every field of it is read at most once per OCALL.
 */
#ifndef ENCLAVIZE_ABI_H
#define ENCLAVIZE_ABI_H

#include <stdint.h>

/* Address layout. ELRANGE starts at 0 so that fixed-address executables fit; nothing is mapped below the usual
 * vm.mmap_min_addr of 64 KiB. */
#define ELRANGE_START 0x0ULL
#define ELRANGE_SIZE 0x1000000000ULL
#define APPLICATION_START 0x10000ULL
#define APPLICATION_END 0xE00000000ULL
#define LIBOS_DYNAMIC_START 0xE00000000ULL /* the LibOS's own dynamic memory: heap, stacks, tmpfs data */
#define LIBOS_DYNAMIC_END 0xF00000000ULL
#define ENCLAVE_IMAGE_ADDRESS 0xF00000000ULL /* EnclaveImageAddress: libos.so, then the Intel SDK layout (heap, threads) */

#define PAGE_SIZE 0x1000ULL

/* RDI at EENTER with CSSA 0. RSI is the address of this host thread's struct exchange. */
enum ecall {
    ECALL_START = 0,  /* first entry on the first thread: struct boot lies in exchange.data */
    ECALL_THREAD = 1, /* first entry of a further thread, made by OCALL_THREAD_CREATE */
    ECALL_RETURN = 2, /* back from an OCALL */
    ECALL_COMMAND = 3, /* first entry of a thread that is to run a command from outside: struct command lies in exchange.data */
    ECALL_REPORT = 4,  /* no thread begins: exchange.data has a TARGETINFO, then the REPORT for it, with REPORTDATA of zeros, and exchange.result its size.
                          Comes back with EEXIT_REFUSED, also when it is done */
};
/* With CSSA 1 every entry is an exception entry, whatever RDI says. What happened is read from the SSA alone. If
 * EXITINFO is not valid the AEX was an interrupt, and exchange.signals is looked at. */

/* RDI at EEXIT. */
enum eexit {
    EEXIT_DONE = 0,    /* CSSA 0: an OCALL waits in the exchange area. CSSA 1: ERESUME now */
    EEXIT_REFUSED = 1, /* the ECALL is not legal now; nothing was changed */
    EEXIT_ENDED = 2,   /* OCALL_EXIT has been or is being made: no thread runs any more. Also when ERESUME should follow */
    EEXIT_BROKEN = 3,  /* the same without an OCALL_EXIT: the host did what no honest one does, or the LibOS has a fault */
};

#define EXCHANGE_DATA_SIZE 0x40000U
#define OCALL_ARGUMENTS 4

/* The host's clocks at one reading of the time stamp counter, in ns. OCALL_CLOCK leaves them for the calling thread, which counts on from there
 * instead of asking again. */
enum host_time_clock { HOST_TIME_REALTIME, HOST_TIME_MONOTONIC, HOST_TIME_BOOTTIME, HOST_TIME_CLOCKS };
struct host_time {
    uint64_t counter;    /* the time stamp counter */
    uint64_t valid_for;  /* ticks from then on; 0: there is no counter to go by */
    uint64_t multiplier; /* ns a tick, times 2^32 */
    uint64_t clocks[HOST_TIME_CLOCKS];
};

/* For OCALL_CLOCK, beside Linux's numbers: the processor time that the host's kernel spent, of the process and of the thread. */
enum { HOST_CLOCK_PROCESS_SYSTEM = 16, HOST_CLOCK_THREAD_SYSTEM = 17 };

/* exchange.switchless: a call for which the enclave's thread stays inside, and a worker of the host's serves it meanwhile. */
enum switchless_state {
    SWITCHLESS_CLOSED = 0, /* by the host: nobody watches */
    SWITCHLESS_OPEN = 1,   /* by the host: somebody does; by the enclave: it has withdrawn what it had posted, or has seen that it is done */
    SWITCHLESS_POSTED = 2, /* by the enclave, which can withdraw it */
    SWITCHLESS_TAKEN = 3,  /* by the host */
    SWITCHLESS_DONE = 4,   /* by the host: the answer is there */
};

/* One per host thread, outside ELRANGE, written by both sides. */
struct exchange {
    uint32_t ocall;       /* enclave -> PAL: enum ocall */
    uint32_t thread_index; /* PAL -> enclave, at ECALL_START and ECALL_THREAD: index for OCALL_WAKE; a hint, not trusted */
    uint64_t arguments[OCALL_ARGUMENTS]; /* enclave -> PAL */
    int64_t result;       /* PAL -> enclave: >= 0, or a negative Linux errno */
    uint64_t signals;     /* PAL -> enclave: host signals waiting, bit (n - 1); cleared by the enclave by atomic exchange */
    struct host_time time; /* PAL -> enclave */
    uint32_t switchless;  /* enum switchless_state; changed by atomic exchange */
    uint32_t aheads;      /* PAL -> enclave: how often anything was read ahead, when OCALL_POLL, _EVENTS_WAIT or _SOCKET_RECEIVE last found nothing */
    uint8_t data[EXCHANGE_DATA_SIZE] __attribute__((aligned(64)));
};

/* What of CPUID the host is asked for: leaf, register; with subleaf 0 unless named. */
enum cpuid_word {
    CPUID_1_EAX,
    CPUID_1_ECX,
    CPUID_7_EBX,
    CPUID_7_ECX,
    CPUID_7_EDX,
    CPUID_D_1_EAX, /* subleaf 1 */
    CPUID_80000001_ECX,
    CPUID_WORD_COUNT
};

/* exchange.data at ECALL_START; strings follow it: arguments, then environment ("NAME=value"), each NUL-terminated. */
struct boot {
    uint32_t argument_count;
    uint32_t environment_count;
    uint32_t strings_size; /* bytes */
    uint32_t log_level;    /* enum log_level; the enclave caps it at LOG_ERROR unless it is a debug enclave */
    uint32_t cpu_features; /* hints, enum cpu_feature: a false hint can only fault */
    uint32_t flags;        /* enum boot_flag */
    uint32_t processors;   /* that the host lets the enclave use: a hint; the enclave keeps it within 1 and its threads */
    uint32_t cpuid[CPUID_WORD_COUNT];    /* enum cpuid_word: hints as well; libos/cpu/cpuid.c says what of them counts */
};

/* exchange.data at ECALL_COMMAND; strings follow it as after struct boot. The measured policy says what of it may run. Refused as long as the first
 * program is not there. */
struct command {
    uint32_t number;            /* what the host calls it; not 0 */
    uint32_t argument_count;    /* 0: the measured health check */
    uint32_t environment_count;
    uint32_t strings_size;      /* bytes */
    int32_t streams[3];         /* the host's descriptors that become 0, 1, 2, from 3 on; from now on the enclave's to close. -1: closed */
};

/* Signals for a command from outside; the bit of this one in exchange.signals says that there are some (OCALL_COMMAND_SIGNALS): nobody can send it. */
#define COMMAND_DOORBELL SIGSTOP
#define COMMAND_NONE 0U /* number of no command: of the first process */
struct command_signals {
    uint32_t command;
    uint32_t target;  /* enum command_target */
    uint64_t signals; /* bit (n - 1); SIGKILL is for all of its session */
};
enum command_target {
    COMMAND_PROCESS = 0,
    COMMAND_FOREGROUND = 1, /* the group in the foreground of its terminal, which has sent them */
};

/* XINUSE: XGETBV with ECX = 1 (CPUID.(0DH,1):EAX[2]). */
enum cpu_feature { CPU_FEATURE_SHA = 1, CPU_FEATURE_AVX = 2, CPU_FEATURE_AVX512 = 4, CPU_FEATURE_AES = 8, CPU_FEATURE_XINUSE = 32 };

enum log_level { LOG_ERROR = 0, LOG_WARNING = 1, LOG_INFO = 2, LOG_DEBUG = 3, LOG_TRACE = 4, LOG_REPORT = 5 /* a line of BOOT_TRACE or BOOT_PROFILE */ };

/* Honoured in debug enclaves only. */
enum boot_flag {
    BOOT_NO_PATCHING = 1,  /* no load-time patching of `syscall` sites; for tests */
    BOOT_TRACE = 2,        /* each system call, as strace prints it */
    BOOT_PROFILE = 4,      /* system calls and OCALLs, counted and timed; at the end */
    BOOT_PROFILE_JSON = 8, /* the same as one line of JSON */
};

/* Host threads that serve calls while the enclave's threads stay inside (enum switchless_state). */
#define WORKERS_MAX 4U

/* Host file kinds of OCALL_IMAGE_READ. */
enum image_file { IMAGE_ROOTFS = 0, IMAGE_VERITY = 1 };

/* ocalls.def says what each of them takes and gives. */
enum ocall {
#define OCALL(name, NAME, ...) OCALL_##NAME,
#define OCALL_LAST OCALL
#include "ocalls.def"
    OCALL_COUNT
};

struct host_poll {
    int32_t fd;
    uint16_t events;
    uint16_t revents;
};

struct host_stat {
    uint32_t mode;
    uint32_t links;
    uint32_t uid;
    uint32_t gid;
    uint64_t size;
    uint64_t rdev;
    uint64_t inode;
    uint64_t blocks;
    int64_t atime_ns;
    int64_t mtime_ns;
    int64_t ctime_ns;
};

/* The name of a socket of AF_INET or AF_INET6: struct sockaddr_in or sockaddr_in6. */
#define HOST_NAME_SIZE 28U
struct host_name {
    uint32_t length;
    uint8_t bytes[HOST_NAME_SIZE];
};

/* What goes with the data of OCALL_SOCKET_SEND and OCALL_SOCKET_RECEIVE. */
#define HOST_CONTROL_SIZE 256U
struct host_message {
    struct host_name name;   /* to send: to whom (length 0: nobody is named); received: from whom */
    uint32_t control_length; /* bytes of control messages (cmsg(3)); to receive: how many may come */
    uint32_t full_length;    /* received: of the datagram */
    uint32_t flags;          /* received: MSG_TRUNC, MSG_CTRUNC, MSG_OOB */
    uint32_t input;          /* to send and to receive: enum host_input, when the socket is to be looked at afterwards; answer: what was seen */
    uint64_t socket;         /* to send and to receive: what the enclave calls the stream, no two alike; 0: nothing is read ahead of it */
    uint32_t aheads;         /* to send and to receive: how often something was read ahead of it; if that is on its way, nothing is received: -EAGAIN */
    uint32_t wants_ahead;    /* to send and to receive: whether more may be read ahead, once */
    uint8_t control[HOST_CONTROL_SIZE];
};
/* What OCALL_IOCTL is asked of a stream with: the same two. While something is on its way, the answer is -EAGAIN. */
struct host_stream {
    uint64_t socket;
    uint32_t aheads;
    uint32_t padding;
};
enum host_input { HOST_INPUT_UNKNOWN = 0, HOST_INPUT_ASK = 1, HOST_INPUT_NONE = 2 };

/* What has come over one of the streams of which OCALL_EVENTS_WAIT tells; before its answers. */
#define HOST_AHEAD_SIZE 4072U
struct host_ahead {
    uint64_t socket;
    uint32_t length; /* 0: nothing was read ahead */
    uint32_t input;  /* enum host_input, if the last transfer has asked for it */
    uint8_t bytes[HOST_AHEAD_SIZE];
};

/* One answer of OCALL_EVENTS_WAIT. */
struct host_event {
    int32_t fd;
    uint32_t events;
};

/* One address of an interface, of OCALL_INTERFACES. */
struct host_interface {
    char name[16]; /* NUL-terminated */
    uint32_t index;
    uint32_t flags; /* IFF_* */
    uint32_t mtu;
    uint8_t hardware[8];
    uint16_t hardware_type; /* ARPHRD_* */
    uint16_t family;        /* AF_INET or AF_INET6; 0: no address */
    uint32_t prefix;        /* bits */
    uint32_t scope;         /* RT_SCOPE_* */
    uint8_t address[16];
    uint8_t broadcast[16]; /* AF_INET */
};

/* The measured configuration: 64 KiB at symbol `measured_configuration` in libos.so; format in docs/tee-image.md. */
#define CONFIGURATION_SIZE 0x10000U
#define CONFIGURATION_MAGIC "ENCLVCFG"
#define CONFIGURATION_VERSION 1U

enum configuration_record {
    CONFIGURATION_ENTRYPOINT = 1,         /* one per argument */
    CONFIGURATION_COMMAND = 2,            /* one per argument; replaced by the host's arguments where ALLOW_ARGUMENTS is set */
    CONFIGURATION_ENVIRONMENT = 3,        /* one per variable, "NAME=value" */
    CONFIGURATION_WORKING_DIRECTORY = 4,  /* absolute path */
    CONFIGURATION_USER = 5,               /* u32 uid, u32 gid, then u32 per supplementary group */
    CONFIGURATION_STOP_SIGNAL = 6,        /* u32 */
    CONFIGURATION_POLICY = 7,             /* u64 of enum policy_flag */
    CONFIGURATION_ALLOWED_ENVIRONMENT = 8, /* a name; record flag 1: loader-like name allowed as unsafe */
    CONFIGURATION_ALLOWED_EXEC = 9,       /* arguments, each NUL-terminated */
    CONFIGURATION_HEALTHCHECK = 10,       /* arguments, each NUL-terminated */
    CONFIGURATION_VOLUME = 11,            /* absolute path; record flags: VOLUME_* */
    CONFIGURATION_ROOTFS = 12,            /* u64 size of rootfs.erofs, 32 bytes fs-verity digest, u64 size of rootfs.verity */
    CONFIGURATION_MEMORY = 13,            /* u64 bytes of dynamic memory that may be committed */
    CONFIGURATION_THREADS = 14,           /* u32 */
    CONFIGURATION_HOST_SIGNALS = 15,      /* u64 mask of host signals that are let in, bit (n - 1) */
    CONFIGURATION_HOSTNAME = 16,          /* text */
    CONFIGURATION_FAULT_AROUND = 17,      /* u64 bytes that one page fault may bring */
    CONFIGURATION_SWITCHLESS = 18,        /* u32 workers of the host for calls that do not leave the enclave */
};

enum policy_flag {
    POLICY_ALLOW_ARGUMENTS = 1,
    POLICY_ALLOW_ANY_EXEC = 2,
    POLICY_ALLOW_HOST_NETWORK_FILES = 4,
    POLICY_NETWORK_LOOPBACK = 8, /* sockets within 127.0.0.0/8 and ::1 alone; without this and the next, none */
    POLICY_NETWORK_ALL = 16,
};

enum volume_flag { VOLUME_READ_ONLY = 1, VOLUME_EXECUTABLE = 2 };

struct configuration_header {
    char magic[8];
    uint32_t version;
    uint32_t size; /* bytes used, header included */
};

struct configuration_entry { /* followed by `size` bytes, then zeros to a multiple of 8 */
    uint16_t type;
    uint16_t flags;
    uint32_t size;
};

#endif
