"""The members of ``config.json`` (OCI runtime-spec 1.3, config.md and config-linux.md)."""

from enclavize.oci.shape import Shape

_ID_MAPPING = Shape(names="containerID hostID size")
_MAPPINGS = {"uidMappings": _ID_MAPPING, "gidMappings": _ID_MAPPING}
_DEVICE_RULE = Shape(names="allow type major minor access")
_DEVICE_RATE = Shape(names="major minor rate weight leafWeight")
_HOOK = Shape(names="path args env timeout")

_PROCESS = Shape(
    names="terminal cwd env args commandLine oomScoreAdj selinuxLabel apparmorProfile noNewPrivileges",
    below={
        "consoleSize": Shape(names="height width"),
        "user": Shape(names="uid gid umask additionalGids username"),
        "capabilities": Shape(names="bounding effective inheritable permitted ambient"),
        "rlimits": Shape(names="type hard soft"),
        "scheduler": Shape(names="policy nice priority flags runtime deadline period"),
        "ioPriority": Shape(names="class priority"),
        "execCPUAffinity": Shape(names="initial final"),
    },
)

_RESOURCES = Shape(
    names="unified",
    below={
        "devices": _DEVICE_RULE,
        "memory": Shape(
            names="limit reservation swap kernel kernelTCP swappiness disableOOMKiller useHierarchy "
            "checkBeforeUpdate"
        ),
        "cpu": Shape(names="shares quota burst period realtimeRuntime realtimePeriod cpus mems idle"),
        "pids": Shape(names="limit"),
        "blockIO": Shape(
            names="weight leafWeight",
            below={
                "weightDevice": _DEVICE_RATE,
                "throttleReadBpsDevice": _DEVICE_RATE,
                "throttleWriteBpsDevice": _DEVICE_RATE,
                "throttleReadIOPSDevice": _DEVICE_RATE,
                "throttleWriteIOPSDevice": _DEVICE_RATE,
            },
        ),
        "hugepageLimits": Shape(names="pageSize limit"),
        "network": Shape(names="classID", below={"priorities": Shape(names="name priority")}),
    },
    maps={"rdma": Shape(names="hcaHandles hcaObjects")},
)

_SECCOMP = Shape(
    names="defaultAction defaultErrnoRet architectures flags listenerPath listenerMetadata",
    below={
        "syscalls": Shape(
            names="names action errnoRet", below={"args": Shape(names="index value valueTwo op")}
        )
    },
)

_LINUX = Shape(
    names="sysctl cgroupsPath rootfsPropagation maskedPaths readonlyPaths mountLabel",
    below={
        **_MAPPINGS,
        "resources": _RESOURCES,
        "namespaces": Shape(names="type path"),
        "devices": Shape(names="type path major minor fileMode uid gid"),
        "seccomp": _SECCOMP,
        "intelRdt": Shape(
            names="closID schemata l3CacheSchema memBwSchema enableMonitoring enableCMT enableMBM"
        ),
        "memoryPolicy": Shape(names="mode nodes flags"),
        "personality": Shape(names="domain flags"),
    },
    maps={"netDevices": Shape(names="name"), "timeOffsets": Shape(names="secs nanosecs")},
)

CONFIG_SHAPE = Shape(
    names="ociVersion hostname domainname annotations solaris windows vm zos freebsd",
    below={
        "process": _PROCESS,
        "root": Shape(names="path readonly"),
        "mounts": Shape(names="destination type source options", below=_MAPPINGS),
        "hooks": Shape(
            names="",
            below=dict.fromkeys(
                (
                    "prestart",
                    "createRuntime",
                    "createContainer",
                    "startContainer",
                    "poststart",
                    "poststop",
                ),
                _HOOK,
            ),
        ),
        "linux": _LINUX,
    },
)
