"""Scripts that ruin their own process; whatever comes of it is their failure or an honest result (see `hostile`)."""

from __future__ import annotations

# Scripts that end only when they are stopped, for want of CPU, wall time or both.
ENDLESS = frozenset(
    {
        "loop",
        "sleep",
        "loop-in-c",
        "power",
        "regex",
        "ignore-signals",
        "catch-everything",
        "evil-repr",
        "evil-exception",
        "drip-on-pipe",
        "close-pipe-and-sleep",
        "traced-runner",
        "timer-storm",
        "stop-itself",
    }
)

MISCHIEF: dict[str, str] = {
    "loop": "while True: pass",
    "sleep": "time.sleep(60)",
    "loop-in-c": "sum(range(10**12))",
    "power": "result = 10**10**9",
    "regex": "import re; re.match('(a+)+$', 'a' * 40 + 'b')",
    "memory-bomb": "hoard = []\nwhile True: hoard.append(bytearray(1 << 20))",
    "memory-at-once": "result = bytearray(1 << 40)",
    "memory-map": "import mmap\nmaps = [mmap.mmap(-1, 1 << 28) for _ in range(1000)]",
    "thread-bomb": """
import threading
threading.stack_size(32768)
threads = []
while True:
    threads.append(threading.Thread(target=time.sleep, args=(60,), daemon=True))
    threads[-1].start()
""",
    "orphan-threads": """
import threading
def for_ever():
    while True:
        try:
            os.write(3, b"x")
        except BaseException:
            pass
[threading.Thread(target=for_ever).start() for _ in range(4)]
result = "held"
""",
    "deep-recursion": "sys.setrecursionlimit(10**9)\ndef f(): return f()\nf()",
    "nested-parentheses": "result = eval('(' * 300 + ')' * 300)",
    "null-read": "ctypes.string_at(0)",
    "wild-write": "ctypes.memset(0x1000, 1, 1 << 20)",
    "abort": "os.abort()",
    "callback-crash": """
bad = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: ctypes.string_at(0))
bad()
""",
    "faulthandler": "import faulthandler; faulthandler.enable(); faulthandler._sigsegv()",
    "free-twice": "p = ctypes.c_void_p(12345678); libc.free(p); libc.free(p)",
    "exit-0": "sys.exit(0)",
    "exit-after-result": "result = 'held'; sys.exit(0)",
    "hard-exit-0": "os._exit(0)",
    "hard-exit-after-result": "result = 'held'; os._exit(0)",
    "exit-by-libc": "libc.exit(0)",
    "exit-thread": "call(60 if os.uname().machine == 'x86_64' else 93, 0)",
    "stop-itself": "import signal; os.kill(os.getpid(), signal.SIGSTOP); result = 'held'",
    "kill-itself": "import signal; os.kill(os.getpid(), signal.SIGKILL)",
    "ignore-signals": """
import signal
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True: pass
""",
    "catch-everything": """
def again():
    while True:
        try:
            while True: pass
        except BaseException:
            pass
again()
""",
    "slow-atexit": "import atexit; atexit.register(time.sleep, 60); result = 'held'",
    "del-at-exit": """
class Late:
    def __del__(self): time.sleep(60)
keep = Late()
keep.me = keep
result = 'held'
""",
    "evil-repr": """
class Evil:
    def __repr__(self):
        while True: pass
result = Evil()
""",
    "evil-exception": """
class Evil(BaseException):
    def __str__(self):
        while True: pass
    __repr__ = __str__
raise Evil
""",
    "escape-codes-in-message": "raise RuntimeError('\\x1b[31m\\x00\\u202e\\ud800' + 'A' * 100000)",
    "forged-failure": """
raise type("ScriptFailure", (Exception,), {})("sandbox_error")
""",
    "forged-code": """
failure = sys.modules["sciRL.verification.sandbox.failure"].ScriptFailure("timeout", "x")
failure.code = "sandbox_error"
raise failure
""",
    "forged-status-frame": """
import json, struct
header = json.dumps([{"kind": "measurements", "measurements": {"length": 10**9, "score": 1.0}}, []]).encode()
for fd in range(3, 64):
    attempt(lambda: os.write(fd, struct.pack(">I", len(header)) + header))
os._exit(0)
""",
    "forged-not-started": """
[attempt(lambda fd=fd: os.write(fd, b'!the sandbox is broken')) for fd in range(3, 64)]; os._exit(1)
""",
    "huge-length-on-pipe": """
[attempt(lambda fd=fd: os.write(fd, b'\\xff' * 4 + b'{}')) for fd in range(3, 64)]; os._exit(0)
""",
    "nested-json-on-pipe": """
data = b"[" * 60000
import struct
[attempt(lambda fd=fd: os.write(fd, struct.pack(">I", len(data)) + data)) for fd in range(3, 64)]
os._exit(0)
""",
    "flood-on-pipe": """
def flood(fd):
    while True: os.write(fd, bytes(1 << 20))
for fd in range(3, 64): attempt(lambda: flood(fd))
""",
    "drip-on-pipe": """
def drip(fd):
    while True:
        os.write(fd, b"x")
        time.sleep(0.05)
for fd in range(3, 64): attempt(lambda: drip(fd))
""",
    "close-pipe": "os.closerange(0, 256); result = 'held'",
    "close-pipe-and-sleep": "os.closerange(0, 256); time.sleep(60)",
    "garbage-before-result": """
[attempt(lambda fd=fd: os.write(fd, b'garbage')) for fd in range(3, 64)]; result = 'held'
""",
    "too-big-result": "result = 'x' * (8 << 20)",
    "stdout-flood": """
deadline = time.monotonic() + 0.2
while time.monotonic() < deadline: print("x" * 100000); os.write(2, b"x" * 100000)
result = "held"
""",
    "patched-json-and-os": """
import builtins, json, struct
json.dumps = json.loads = lambda *a, **k: "{}"
os.write = lambda fd, data: len(data)
struct.Struct = None
builtins.len = builtins.isinstance = builtins.repr = lambda *a: 1 / 0
result = "held"
""",
    "patched-harness": """
child = sys.modules["sciRL.verification.sandbox.child"]
frames = sys.modules["sciRL.verification.sandbox.frames"]
child.frames.encode = lambda *a, **k: b"+" * 100
child._write = lambda *a: None
result = "held"
""",
    "traced-runner": """
import threading
def trace(frame, event, argument):
    frame.f_trace_lines = True
    while True: pass
sys.settrace(trace)
frame = sys._getframe()
while frame: frame.f_trace = trace; frame = frame.f_back
result = "held"
""",
    "changed-frames": """
frame = sys._getframe()
while frame:
    for name in list(frame.f_locals): frame.f_locals[name] = None
    ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(1))
    frame = frame.f_back
""",
    "fake-result": """
class Payload(str):
    def __repr__(self): return Payload("held")
    def encode(self, *a): return b"not", "bytes"
result = Payload()
""",
    "modules-erased": "sys.modules.clear(); result = 'held'",
    "import-hooks-erased": "sys.meta_path.clear(); sys.path_hooks.clear(); sys.path.clear(); result = 'held'",
    "null-bytes-in-source": "result = '\0'",
    "surrogate-in-source": "result = '\ud800'",
    "alarm": "import signal; signal.setitimer(signal.ITIMER_REAL, 0.01); time.sleep(1)",
    "timer-storm": """
import signal
signal.signal(signal.SIGALRM, lambda *a: None)
signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
while True: pass
""",
    "many-descriptors": "ends = [os.pipe() for _ in range(10**6)]",
    "executable-memory": """
import mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(b"\\x0f\\x0b" * 100)
ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
""",
    "32-bit-calls": """
import mmap
code = b"\\xb8\\x02\\x00\\x00\\x00\\xcd\\x80\\xc3"  # mov eax, 2 (fork); int 0x80; ret
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(code)
result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
""",
    "megabyte-of-text": "# " + "x" * (1 << 20) + "\nresult = 'held'",
    "empty": "",
}
