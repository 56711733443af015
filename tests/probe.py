# What a process can do and see, one line each: NAME=RESULT. It changes nothing; what would is done in a child of its own.
# sys.argv[1]: a directory of the test, with `seen`, `run.sh` and `bound` in it.
import ctypes, errno, mmap, os, platform, resource, socket, subprocess, sys

libc = ctypes.CDLL(None, use_errno=True)
here = sys.argv[1]
NUMBERS = {"x86_64": {"delete_module": 176}, "aarch64": {"delete_module": 106}}[platform.machine()]


def error(code):
    return errno.errorcode.get(code, str(code))


def call(name, *arguments):
    ctypes.set_errno(0)
    result = getattr(libc, name)(*arguments)
    return "ok" if result >= 0 else error(ctypes.get_errno())


def attempt(action):
    try:
        result = action()
        return "ok" if result is None else str(result)
    except OSError as failure:
        return error(failure.errno)


def apart(action):
    """In a child, whose result comes back through a pipe."""
    end, start = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(start, attempt(action).encode())
        os._exit(0)
    os.close(start)
    text = os.read(end, 100).decode()
    os.waitpid(child, 0)
    return text or "killed"


def writable(path):
    return "yes" if os.access(path, os.W_OK) else "no"


def there(path):
    return "yes" if os.path.exists(path) else "no"


def read(path):
    with open(path, "rb") as file:
        return "data" if file.read(1) else "empty"


def listed(path):
    return "empty" if not os.listdir(path) else "entries"


def status(name):
    with open("/proc/self/status") as file:
        return next(line.split(":")[1].strip() for line in file if line.startswith(name + ":"))


def options(path):
    with open("/proc/self/mountinfo") as file:
        rows = [line.split() for line in file]
    return max((row[-1] for row in rows if row[4] == path), default="")


def writable_code():
    libc.mmap.restype = ctypes.c_void_p
    everything = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    result = libc.mmap(None, ctypes.c_size_t(4096), everything, flags, -1, ctypes.c_long(0))
    return "ok" if result != ctypes.c_void_p(-1).value else error(ctypes.get_errno())


def set_id():
    os.fchmod(os.memfd_create("probe"), 0o4755)




probes = {
    "usr": lambda: writable("/usr"),
    "etc": lambda: writable("/etc"),
    "var": lambda: writable("/var"),
    "tmp": lambda: writable("/tmp"),
    "home": lambda: listed("/root"),
    "home_writable": lambda: writable("/root"),
    "seen": lambda: there(f"{here}/seen"),
    "bound": lambda: there("/opt/sockmgr-bound/seen"),
    "bound_writable": lambda: writable("/opt/sockmgr-bound"),
    "run": lambda: attempt(lambda: subprocess.call([f"{here}/run.sh"])),
    "kmsg": lambda: there("/dev/kmsg"),
    "null": lambda: writable("/dev/null"),
    "tty": lambda: there("/dev/pts"),
    "tunables": lambda: writable("/proc/sys/vm/overcommit_memory"),
    "host_tunable": lambda: writable("/proc/sys/kernel/hostname"),
    "sys": lambda: writable("/sys/kernel"),
    "cgroup": lambda: writable("/sys/fs/cgroup"),
    "kallsyms": lambda: read("/proc/kallsyms"),
    "modules": lambda: attempt(lambda: listed("/usr/lib/modules")),
    "meminfo": lambda: there("/proc/meminfo"),
    "hidepid": lambda: "yes" if "hidepid" in options("/proc") else "no",
    "interfaces": lambda: " ".join(sorted(name for _, name in socket.if_nameindex())),
    "users": lambda: "all" if "4294967295" in open("/proc/self/uid_map").read() else "some",
    "uid": lambda: os.getuid(),
    "bounding": lambda: status("CapBnd"),
    "effective": lambda: status("CapEff"),
    "no_new_privileges": lambda: status("NoNewPrivs"),
    "realtime_limit": lambda: resource.getrlimit(resource.RLIMIT_RTPRIO)[0],
    "inet": lambda: attempt(lambda: socket.socket(socket.AF_INET).close()),
    "unix": lambda: attempt(lambda: socket.socket(socket.AF_UNIX).close()),
    "namespace": lambda: apart(lambda: said_error(call("unshare", 0x04000000))),
    "mount_namespace": lambda: apart(lambda: said_error(call("unshare", 0x00020000))),
    "writable_code": writable_code,
    "personality": lambda: apart(lambda: said_error(call("personality", 0x0400000))),
    "realtime": lambda: apart(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))),
    "set_id": lambda: attempt(set_id),
    "clock": lambda: call("adjtimex", ctypes.create_string_buffer(512)),
    "module": lambda: call("syscall", NUMBERS["delete_module"], b"nosuch", 0),
    "kernel_log": lambda: call("klogctl", 10, None, 0),
    "host_name": lambda: call("sethostname", socket.gethostname().encode(), len(socket.gethostname())),
    "raw_io": lambda: call("iopl", 0) if platform.machine() == "x86_64" else "EPERM",
    "unmount": lambda: call("umount2", b"/nosuch", 0),
    "root": lambda: " ".join(sorted(os.listdir("/"))[:3]),
}


def said_error(text):
    return None if text == "ok" else text


for kind in ("mnt", "net", "ipc", "uts", "user"):
    probes["ns_" + kind] = lambda kind=kind: os.readlink(f"/proc/self/ns/{kind}")

for name in sys.argv[2:] or probes:
    print(f"{name}={attempt(probes[name])}")
