"""Scripts that try to get out; each says in `result` whether it held, or what leaked (see `hostile`)."""

from __future__ import annotations

# Only a root of its own keeps a script from seeing that a path exists.
NEEDS_OWN_ROOT = frozenset({"see-that-files-exist"})

ATTEMPTS: dict[str, str] = {
    # -- other programs and processes
    "fork": "result = attempt(child)",
    "double-fork-daemon": """
def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(60)
        os._exit(0)
    return "daemon"
result = attempt(daemon)
""",
    "fork-bomb": """
def bomb():
    while True:
        os.fork()
result = attempt(bomb)
""",
    "vfork": "result = attempt(lambda: call(NR_vfork))",
    "clone": "result = attempt(lambda: call(NR_clone, 17, 0, 0, 0, 0), lambda: call(NR_clone, 0x100 | 0x4000 | 17, 0))",
    "clone3": """
arguments = ctypes.create_string_buffer(88)
result = attempt(lambda: call(NR_clone3, arguments, 88))
""",
    "clone-new-namespaces": "result = attempt(lambda: call(NR_clone, 0x10000000 | 0x20000000 | 17, 0, 0, 0, 0))",
    "os-system": "result = attempt(lambda: 1 / (os.system('touch ' + CANARY + '/x') == 0))",
    "subprocess": """
import subprocess
result = attempt(lambda: subprocess.run(["/bin/sh", "-c", "id"]), lambda: subprocess.Popen([sys.executable]))
""",
    "multiprocessing": """
import multiprocessing
result = attempt(lambda: multiprocessing.Process(target=print).start(), lambda: multiprocessing.Queue())
""",
    "posix-spawn": """
result = attempt(lambda: os.posix_spawn("/bin/sh", ["sh"], {}),
    lambda: libc.posix_spawn(buffer, b"/bin/sh", None, None,
    (ctypes.c_char_p * 2)(b"sh", None), None) == 0 or 1 / 0)
""",
    "exec": "result = attempt(lambda: os.execv('/bin/sh', ['sh']), lambda: os.execv(sys.executable, ['python']))",
    "memfd-exec": """
def run():
    fd = os.memfd_create("program")
    os.write(fd, b"#!/bin/sh\\nid\\n")
    os.execve(fd, ["program"], {})
result = attempt(run, lambda: call(NR_execveat, -100, b"/bin/sh", 0, 0, 0), lambda: call(NR_memfd_create, b"x", 0))
""",
    "wait-for-nobody": "result = attempt(lambda: os.waitpid(-1, 0))",
    # -- reaching other processes
    "kill-parent": """
import signal
result = attempt(lambda: os.kill(os.getppid(), signal.SIGKILL), lambda: os.kill(1, signal.SIGKILL))
""",
    "kill-everybody": "result = attempt(lambda: os.kill(-1, 9), lambda: os.kill(0, 9), lambda: os.killpg(0, 9))",
    "kill-neighbours": """
result = attempt(*[lambda pid=pid: os.kill(pid, 0) for pid in range(1, 400) if pid != os.getpid()])
""",
    "signal-thread-of-another": """
result = attempt(lambda: call(NR_tgkill, 1, 1, 9), lambda: call(NR_tkill, 1, 9),
    lambda: call(NR_rt_sigqueueinfo, 1, 9, buffer), lambda: call(NR_rt_tgsigqueueinfo, 1, 1, 9, buffer))
""",
    "pidfd": """
result = attempt(lambda: os.pidfd_open(1), lambda: call(NR_pidfd_open, os.getppid(), 0),
    lambda: call(NR_pidfd_getfd, 3, 0, 0), lambda: call(NR_pidfd_send_signal, 3, 9, 0, 0))
""",
    "ptrace": """
result = attempt(*[lambda op=op: call(NR_ptrace, op, 1, 0, 0) for op in (0, 16, 0x4206)],
    lambda: call(NR_ptrace, 0, 0, 0, 0))
""",
    "memory-of-parent": """
local = ctypes.create_string_buffer(16)
vector = (ctypes.c_size_t * 2)(ctypes.addressof(local), 16)
result = attempt(lambda: open(f"/proc/{os.getppid()}/mem", "rb"), lambda: open("/proc/1/maps").read(),
    lambda: call(NR_process_vm_readv, os.getppid(), vector, 1, vector, 1, 0),
    lambda: call(NR_process_vm_writev, os.getppid(), vector, 1, vector, 1, 0),
    lambda: call(NR_process_madvise, 3, vector, 1, 4, 0))
""",
    "own-memory-file": "result = attempt(lambda: open('/proc/self/mem', 'r+b'), lambda: open('/proc/self/mem', 'rb'))",
    "environment-of-others": """
result = attempt(*[lambda pid=pid: open(f"/proc/{pid}/environ", "rb").read() for pid in ("self", 1, os.getppid())],
    lambda: open("/proc/1/cmdline").read(), lambda: os.listdir("/proc/1/fd"), lambda: os.listdir("/proc"))
""",
    "own-environment-is-bare": """
allowed = {"HOME", "LC_ALL", "MALLOC_ARENA_MAX", "PYTHONHASHSEED", "LD_LIBRARY_PATH", "LC_CTYPE"}
rest = {name for name in os.environ if name not in allowed and not name.endswith("_NUM_THREADS")}
result = f"leaked {rest}" if rest else "held"
""",
    "compare-kernel-objects": "result = attempt(lambda: call(NR_kcmp, os.getpid(), 1, 0, 0, 0))",
    "priority-of-others": """
result = attempt(lambda: os.setpriority(os.PRIO_PROCESS, 1, -20), lambda: os.nice(-5),
    lambda: os.sched_setaffinity(0, {0}),
    lambda: call(NR_ioprio_set, 1, 0, 0), lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))
""",
    "raise-limits": """
import resource
names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
result = attempt(*[lambda n=n: resource.setrlimit(getattr(resource, n), (2**30, 2**30)) for n in names],
    lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (1, 1)))
""",
    "file-owner-signals": """
import fcntl
result = attempt(*[lambda fd=fd, op=op: fcntl.fcntl(fd, op, 1) for fd in range(4) for op in (8, 10)],
    lambda: fcntl.ioctl(0, 0x8901, b"1234"), lambda: fcntl.ioctl(0, 0x5412, b"x"))
""",
    # -- files
    "read-etc": """
result = attempt(*[lambda p=p: open(p).read() for p in ("/etc/passwd", "/etc/shadow", "/etc/hostname",
    "/etc/resolv.conf", "/proc/cpuinfo", "/proc/self/status", "/proc/mounts",
    "/sys/kernel/uevent_seqnum", "/dev/kmsg", "/root/.bashrc")])
""",
    "read-secret": """
import ctypes, io, pathlib
result = attempt(lambda: open(SECRET_FILE).read(), lambda: os.read(os.open(SECRET_FILE, 0), 99),
    lambda: pathlib.Path(SECRET_FILE).read_text(), lambda: io.FileIO(SECRET_FILE).read(),
    lambda: os.listdir(os.path.dirname(SECRET_FILE)),
    lambda: os.read(call(NR_openat, -100, SECRET_FILE.encode(), 0, 0), 99),
    lambda: os.read(call(NR_openat2, -100, SECRET_FILE.encode(), buffer, 24), 99))
""",
    "see-that-files-exist": """
result = attempt(lambda: os.stat(SECRET_FILE), lambda: os.listxattr(SECRET_FILE),
    lambda: os.readlink("/proc/self/cwd"),
    lambda: os.chdir(os.path.dirname(SECRET_FILE)), lambda: os.access("/etc/passwd", 0) or 1 / 0)
""",
    "secret-through-open-path": """
def through():
    fd = os.open(os.path.dirname(SECRET_FILE), os.O_PATH)
    return os.read(os.open(os.path.basename(SECRET_FILE), 0, dir_fd=fd), 99)
result = attempt(through, lambda: os.open("../../../../../.." + SECRET_FILE, 0))
""",
    "inherited-descriptors": """
def pipe_or_null(fd):
    kind = os.fstat(fd).st_mode & 0o170000
    return kind == 0o010000 or (kind == 0o020000 and fd < 3)
result = attempt(*[lambda fd=fd: 1 / (not pipe_or_null(fd)) for fd in range(256)])
""",
    "read-result-pipe": "result = attempt(*[lambda fd=fd: os.read(fd, 10) or 1 / 0 for fd in range(3, 64)])",
    "own-package-is-hidden": """
import glob, importlib
result = attempt(lambda: open(sys.modules["toy_sandbox"].__file__).read(),
    lambda: os.listdir(os.path.dirname(sys.modules["sciRL"].__file__)),
    lambda: importlib.import_module("domains"), lambda: importlib.import_module("sciRL.run.pipeline"))
""",
    "write-file": """
result = attempt(lambda: write(CANARY + "/x"), lambda: write(CANARY + "/keep"), lambda: write("/x"),
    lambda: write("/tmp/scirl-x"),
    lambda: write("/dev/shm/scirl-x"), lambda: write("scirl-x"), lambda: os.open(CANARY + "/y", os.O_CREAT),
    lambda: os.open(CANARY, os.O_TMPFILE | os.O_RDWR), lambda: os.open(CANARY + "/keep", os.O_TRUNC))
""",
    "write-site-packages": """
import site, sysconfig
folders = [*site.getsitepackages(), sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["purelib"]]
result = attempt(*[lambda f=f: write(f + "/scirl_evil.pth") for f in folders],
    lambda: open(os.__file__, "r+"), lambda: open(os.__file__, "a"))
""",
    "delete-and-rename": """
import shutil
keep = CANARY + "/keep"
result = attempt(lambda: os.unlink(keep), lambda: os.rename(keep, keep + "2"), lambda: shutil.rmtree(CANARY),
    lambda: os.rmdir(CANARY), lambda: os.truncate(keep, 0), lambda: os.replace(keep, CANARY + "/z"))
""",
    "links-and-nodes": """
keep = CANARY + "/keep"
result = attempt(lambda: os.link(keep, CANARY + "/l"), lambda: os.symlink("/etc/passwd", CANARY + "/s"),
    lambda: os.mkfifo(CANARY + "/f"), lambda: os.mknod(CANARY + "/n"), lambda: os.mkdir(CANARY + "/d"),
    lambda: call(NR_mknod, CANARY.encode() + b"/m", 0o10666, 0), lambda: os.link("/proc/self/fd/3", CANARY + "/k"))
""",
    "attributes": """
keep = CANARY + "/keep"
result = attempt(lambda: os.chmod(keep, 0), lambda: os.utime(keep, (0, 0)), lambda: os.chown(keep, 0, 0),
    lambda: os.setxattr(keep, "user.x", b"1"), lambda: os.chmod(CANARY, 0o700), lambda: os.utime(CANARY, (1, 1)),
    lambda: call(452, -100, keep.encode(), 0, 0), lambda: os.chmod(sys.executable, 0), lambda: os.fchmod(0, 0))
""",
    "watch-files": """
result = attempt(lambda: call(NR_inotify_init1, 0), lambda: call(NR_inotify_init),
    lambda: call(NR_fanotify_init, 0, 0),
    lambda: call(NR_name_to_handle_at, -100, b"/", buffer, buffer, 0),
    lambda: call(NR_open_by_handle_at, 3, buffer, 0))
""",
    "lock-shared-files": """
import fcntl
def exclusive():
    with open(os.__file__) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
result = attempt(exclusive, lambda: call(NR_sync), lambda: fcntl.fcntl(open(os.__file__), 1024, 1))
""",
    "devices": """
result = attempt(*[lambda p=p: os.open(p, 0) for p in ("/dev/mem", "/dev/vda", "/dev/tty", "/dev/ptmx", "/dev/fuse",
    "/dev/kvm", "/dev/userfaultfd", "/dev/vsock", "/dev/nvidia0", "/dev/null", "/dev/zero")])
""",
    "temporary-files": """
import tempfile
result = attempt(tempfile.TemporaryFile, tempfile.mkdtemp, lambda: tempfile.NamedTemporaryFile(dir=CANARY))
""",
    "fill-disk": """
def fill():
    with open(CANARY + "/big", "wb") as file:
        while True:
            file.write(bytes(1 << 20))
result = attempt(fill)
""",
    # -- network
    "tcp": """
import urllib.request
result = attempt(lambda: socket.create_connection(("127.0.0.1", PORT), 1), lambda: socket.create_server(("", 0)),
    lambda: urllib.request.urlopen("http://127.0.0.1:PORT/", timeout=1))
""",
    "udp": """
result = attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", PORT)),
    lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
""",
    "unix-sockets": """
def connect(address, kind):
    with socket.socket(socket.AF_UNIX, kind) as s:
        return s.connect(address)
result = attempt(lambda: connect("\\0scirl-canary-PORT", socket.SOCK_STREAM),
    lambda: connect(CANARY + "/socket", socket.SOCK_STREAM),
    lambda: socket.socket(socket.AF_UNIX).bind("\\0scirl-own"), lambda: socket.socketpair())
""",
    "raw-and-strange-sockets": """
result = attempt(*[lambda f=f, k=k: socket.socket(f, k) for f in (2, 10, 16, 17, 38, 40, 44) for k in (1, 2, 3)],
    lambda: call(NR_socket, 1, 1, 0), lambda: call(NR_socketpair, 1, 1, 0, buffer))
""",
    "pass-descriptors": """
result = attempt(lambda: socket.socket(fileno=3), lambda: call(NR_sendmsg, 3, buffer, 0),
    lambda: call(NR_recvmsg, 3, buffer, 0))
""",
    "asyncio": """
import asyncio
async def connect():
    return await asyncio.open_connection("127.0.0.1", PORT)
result = attempt(lambda: asyncio.run(connect()))
""",
    # -- kernel objects
    "system-v": """
result = attempt(lambda: call(NR_shmget, 0x5C1, 4096, 0o1666), lambda: call(NR_msgget, 0x5C1, 0o1666),
    lambda: call(NR_semget, 0x5C1, 1, 0o1666))
""",
    "posix-ipc": """
import multiprocessing.shared_memory as shared
result = attempt(lambda: shared.SharedMemory(create=True, size=10),
    lambda: call(NR_mq_open, b"scirl", 0o102, 0o666, 0),
    lambda: call(NR_memfd_create, b"x", 0), lambda: call(NR_memfd_secret, 0))
""",
    "io-uring": """
result = attempt(lambda: call(NR_io_uring_setup, 8, buffer), lambda: call(NR_io_uring_enter, 3, 1, 0, 0, 0, 0),
    lambda: call(NR_io_setup, 1, buffer))
""",
    "keyring": """
result = attempt(lambda: call(NR_add_key, b"user", b"scirl", b"x", 1, -3), lambda: call(NR_keyctl, 0, -3, 1, 0, 0),
    lambda: call(NR_request_key, b"user", b"scirl", None, -3))
""",
    "namespaces": """
result = attempt(*[lambda f=f: call(NR_unshare, f) for f in (0x10000000, 0x20000, 0x40000000, 0x8000000, 0x20000000)],
    lambda: call(NR_setns, 3, 0))
""",
    "mounts": """
result = attempt(lambda: call(NR_mount, b"none", b"/", b"tmpfs", 0, 0), lambda: call(NR_umount2, b"/", 2),
    lambda: os.chroot("/"),
    lambda: call(NR_pivot_root, b".", b"."), lambda: call(NR_open_tree, -100, b"/", 1),
    lambda: call(NR_fsopen, b"tmpfs", 0),
    lambda: call(NR_mount_setattr, -100, b"/", 0, buffer, 32))
""",
    "become-root": """
result = attempt(lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.setgid(0), lambda: os.setgroups([0]),
    lambda: call(NR_capset, buffer, buffer), lambda: call(NR_setfsuid, 0) or 1 / 0)
""",
    "kernel-doors": """
result = attempt(lambda: call(NR_bpf, 0, buffer, 64), lambda: call(NR_perf_event_open, buffer, 0, -1, -1, 0),
    lambda: call(NR_userfaultfd, 0), lambda: call(NR_init_module, buffer, 0, buffer),
    lambda: call(NR_reboot, 0, 0, 0, 0),
    lambda: call(NR_syslog, 3, buffer, 99), lambda: call(NR_sethostname, b"x", 1),
    lambda: call(NR_personality, 0x40000),
    lambda: call(NR_settimeofday, buffer, 0), lambda: call(NR_acct, 0), lambda: call(NR_swapon, b"/x", 0),
    lambda: call(NR_modify_ldt, 0, buffer, 16), lambda: call(NR_iopl, 3),
    lambda: call(NR_quotactl, 0, b"/", 0, buffer))
""",
    "loosen-the-process": """
result = attempt(*[lambda o=o, v=v: libc.prctl(o, v, 0, 0, 0) == 0 or 1 / 0
    for o, v in ((1, 0), (4, 1), (22, 0), (23, 0), (24, 0), (36, 1), (38, 0), (35, 1), (47, 2), (0x59616D61, -1))],
    lambda: call(NR_seccomp, 1, 0, buffer))
""",
    "newer-calls": "result = attempt(*[lambda n=n: call(n, buffer, buffer, 0, 0, 0, 0) for n in range(451, 520)])",
    "x32-calls": """
result = attempt(*[lambda n=n: call(0x40000000 | n, buffer, 0, 0) for n in (2, 41, 56, 57, 59, 62, 512, 520, 545)])
""",
    "splice": """
result = attempt(lambda: os.splice(0, 1, 10), lambda: call(NR_vmsplice, 3, buffer, 1, 0),
    lambda: call(NR_tee, 0, 1, 9, 0))
""",
    "memory-policy": """
result = attempt(lambda: call(NR_move_pages, 1, 0, 0, 0, 0, 0), lambda: call(NR_migrate_pages, 1, 1, buffer, buffer),
    lambda: call(NR_mbind, 0, 4096, 0, 0, 0, 0))
""",
    # -- other ways to the same places
    "libc-wrappers": """
path = CANARY.encode() + b"/wrapped"
result = attempt(lambda: 1 / (libc.fork() + 1), lambda: 1 / (libc.vfork() + 1), lambda: 1 / (libc.daemon(0, 0) + 1),
    lambda: 1 / (libc.system(b"exit 0") == 0), lambda: 1 / (libc.popen(b"id", b"r") != 0),
    lambda: 1 / (libc.posix_spawnp(buffer, b"true", None, None, (ctypes.c_char_p * 2)(b"true", None), None) == 0),
    lambda: 1 / (libc.open(path, 0o101, 0o666) + 1), lambda: 1 / (libc.creat(path, 0o666) + 1),
    lambda: 1 / (libc.fopen(path, b"w") != 0), lambda: 1 / (libc.shm_open(b"/scirl-x", 0o102, 0o666) + 1),
    lambda: 1 / (libc.mkstemp(ctypes.create_string_buffer(b"/tmp/scirl-xXXXXXX")) + 1),
    lambda: 1 / (libc.getaddrinfo(b"localhost", b"80", None, buffer) == 0))
""",
    "from-a-thread": """
import threading
ways = (child, lambda: write(CANARY + "/x"), socket.socket, lambda: open(SECRET_FILE).read(),
    lambda: os.kill(1, 9), lambda: call(NR_unshare, 0x10000000))
leaks = []
threads = [threading.Thread(target=lambda way=way: leaks.append(attempt(way))) for way in ways]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
result = "held" if leaks == ["held"] * len(ways) else repr(leaks)
""",
    "threads-in-new-namespaces": """
thread = 0x100 | 0x800 | 0x10000
result = attempt(*[lambda flag=flag: call(NR_clone, thread | flag, 0, 0, 0, 0)
    for flag in (0x10000000, 0x20000, 0x40000000, 0x8000000, 0x20000000, 0x4000000, 0x2000000)],
    lambda: call(NR_clone, 0x8000 | 17, 0, 0, 0, 0))
""",
    "sessions-and-groups": """
result = attempt(os.setsid, lambda: os.setpgid(0, 0), lambda: os.setpgid(0, 1), lambda: os.tcsetpgrp(0, 1),
    lambda: os.tcgetpgrp(0), os.openpty)
""",
    "timers-of-others": """
import struct
timer = ctypes.c_long()
def timer_for(thread):
    event = ctypes.create_string_buffer(struct.pack("QiiI", 0, 9, 4, thread), 64)
    return 1 / (libc.timer_create(1, event, ctypes.byref(timer)) == 0)
result = attempt(*[lambda pid=pid: timer_for(pid) for pid in (1, os.getppid() or 1, 2)])
""",
    "library-changed-in-place": """
import fcntl, mmap, struct
library = os.open(os.__file__, os.O_RDONLY)
result = attempt(lambda: os.write(library, b"x"), lambda: os.pwrite(library, b"x", 0),
    lambda: mmap.mmap(library, 4096, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE),
    lambda: os.ftruncate(library, 0), lambda: os.posix_fallocate(library, 0, 1 << 20), lambda: os.fchmod(library, 0),
    lambda: os.utime(library), lambda: os.fchown(library, 0, 0), lambda: os.setxattr(library, "user.x", b"1"),
    lambda: fcntl.fcntl(library, fcntl.F_SETFL, os.O_RDWR) or os.write(library, b"x"),
    lambda: fcntl.lockf(library, fcntl.LOCK_EX | fcntl.LOCK_NB), lambda: fcntl.fcntl(library, fcntl.F_NOTIFY, 1),
    *[lambda op=op: fcntl.ioctl(library, op, bytearray(8)) for op in (0x40086602, 0x40049409, 0xC0189436, 0x5452)])
""",
    "readers-of-the-library": """
import importlib.machinery, io, linecache, mmap, tokenize, zipimport
result = attempt(lambda: importlib.machinery.SourceFileLoader("x", SECRET_FILE).get_data(SECRET_FILE),
    lambda: 1 / len(linecache.getline(SECRET_FILE, 1)), lambda: tokenize.open(SECRET_FILE).read(),
    lambda: zipimport.zipimporter(SECRET_FILE), lambda: io.open_code(SECRET_FILE).read(),
    lambda: importlib.machinery.ExtensionFileLoader("x", SECRET_FILE).create_module(None),
    lambda: ctypes.CDLL(SECRET_FILE))
""",
    "project-by-its-path": """
import json
folders = json.loads(sys.orig_argv[-1])[0]
result = attempt(*[lambda f=f, n=n: open(f"{f}/{n}").read() for f in folders
    for n in ("pyproject.toml", "domains/cad/data/parts/test.jsonl", "sciRL/score.py", "README.md")])
""",
    "links-of-the-kernel": """
roots = ("/proc/self/root", "/proc/1/root", "/proc/self/cwd", "/proc/thread-self/root", "/..", "//", "/./")
folders = ("/sys", "/run", "/boot", "/dev", "/proc", "/tmp")
def listed(folder):
    names = os.listdir(folder)
    # The way to an interpreter or a library that lies in such a folder is no secret; an empty list is a leak too.
    ways = [path + "/" for path in (sys.prefix, sys.base_prefix, *sys.path)]
    found = [name for name in names if not any(way.startswith(f"{folder}/{name}/") for way in ways)]
    assert found or not names
    return found
result = attempt(*[lambda p=p: open(p + SECRET_FILE).read() for p in roots],
    *[lambda n=n: os.open(f"/dev/fd/{n}", os.O_RDWR) for n in range(8)], *[lambda p=p: listed(p) for p in folders])
""",
    "climb-from-a-readable-folder": """
folder = os.open(os.path.dirname(os.__file__), os.O_RDONLY)
up = "../" * 40
result = attempt(lambda: os.open(up + SECRET_FILE[1:], 0, dir_fd=folder),
    lambda: os.open(up + "etc/passwd", 0, dir_fd=folder),
    lambda: os.fchdir(folder) or open(up + SECRET_FILE[1:]).read(),
    lambda: os.link(os.__file__, CANARY + "/linked"), lambda: os.symlink(CANARY, "linked", dir_fd=folder))
""",
    "rules-of-ones-own": """
import struct
def allow_all():
    attributes = struct.pack("Q", 4)
    rules = call(NR_landlock_create_ruleset, attributes, len(attributes), 0)
    root = os.open("/", os.O_PATH)
    call(NR_landlock_add_rule, rules, 1, struct.pack("=Qi", 4, root), 0)
    call(NR_landlock_restrict_self, rules, 0)
attempt(allow_all)
result = attempt(lambda: open(SECRET_FILE).read(), lambda: write(CANARY + "/x"), lambda: open("/etc/passwd").read())
""",
    "rest-of-prctl": """
options = ((1, 9), (28, 47), (29, 1), (33, 1), (40, 0), (53, 1), (56, 1), (59, 1), (62, 1), (65, 1), (67, 1), (71, 1))
result = attempt(*[lambda o=o, v=v: libc.prctl(o, v, 0, 0, 0) == 0 or 1 / 0 for o, v in options])
""",
    # -- the import guard is no boundary, and what lies behind it is locked as well
    "dunder-escape": """
def shell():
    for kind in ().__class__.__base__.__subclasses__():
        if kind.__name__ == "_wrap_close":
            return 1 / (kind.__init__.__globals__["system"]("id") == 0)
result = attempt(shell, lambda: sys.modules["posix"].fork())
""",
    "guard-removed": """
import builtins, importlib
builtins.__import__ = importlib.__import__
import pty, crypt, pwd
result = attempt(lambda: pwd.getpwnam("root"), lambda: pty.fork())
""",
    "secrets-of-the-frames": """
import gc, inspect
def look(word):
    found = [f.f_locals for f in map(lambda i: i.frame, inspect.stack()) if word in repr(sorted(f.f_locals))]
    return 1 / sum("reference" in repr(type(o)) or o == "the-reference-of-this-job" for o in gc.get_objects())
result = attempt(lambda: look("reference"))
""",
    "zygote-objects": """
import gc, socket
sockets = [o for o in gc.get_objects() if isinstance(o, socket.socket)]
result = attempt(*[lambda s=s: s.send(b"S" * 9) for s in sockets], *[lambda s=s: s.recv(1) for s in sockets])
""",
}
