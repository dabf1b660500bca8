"""Scripts that turn the interpreter, the result pipe or the harness against itself (see `hostile`)."""

from __future__ import annotations

# Scripts that end only when they are stopped; see `hostile_mischief.ENDLESS`.
ENDLESS_INTERPRETER = frozenset(
    {
        "endless-traceback",
        "fault-handler-loop",
        "hash-collisions",
        "digits-of-a-number",
        "interpreter-lock-kept",
        "lock-taken-twice",
        "main-thread-gone",
        "import-that-loops",
    }
)

# The result pipe is all that is open besides the standard streams.
_PIPE = """
import struct
frames = sys.modules["sciRL.verification.sandbox.frames"]
pipe = next(fd for fd in range(3, 64) if attempt(lambda: os.fstat(fd)) != "held")
"""
# Sends bytes as its result and ends in order, as an honest process does.
_SEND = (
    _PIPE
    + """
def end_with(data):
    os.write(pipe, data)
    os._exit(0)
def framed(header, tail=b""):
    end_with(struct.pack(">I", len(header)) + header + tail)
"""
)

INTERPRETER: dict[str, str] = {
    # -- the result pipe
    "half-a-frame": _SEND + "end_with(frames.encode({'kind': 'payload'}, [b'x' * 1000])[:500])",
    "two-frames": _SEND + "end_with(2 * frames.encode({'kind': 'payload'}, [b'owned']))",
    "two-payloads": _SEND + "end_with(frames.encode({'kind': 'payload'}, [b'owned', b'owned']))",
    "no-payload": _SEND + "end_with(frames.encode({'kind': 'payload'}))",
    "sizes-below-zero": _SEND + "framed(b'[{\"kind\": \"payload\"}, [-1, 6]]', b'owned')",
    "sizes-beyond-64-bits": _SEND + "framed(b'[{\"kind\": \"payload\"}, [%d]]' % 2**70, b'owned')",
    "sizes-of-truth-values": _SEND + "framed(b'[{\"kind\": \"payload\"}, [true]]', b'o')",
    "endless-digits-in-header": _SEND + "framed(b'[{\"kind\": ' + b'9' * 60000 + b'}, []]')",
    "header-of-another-encoding": _SEND + 'framed(\'[{"kind": "failure", "code": "ok"}, []]\'.encode(\'utf-16\'))',
    "failure-without-words": _SEND + "end_with(frames.encode({'kind': 'failure', 'code': ['crash'], 'message': None}))",
    "failure-of-the-meter": _SEND + "end_with(frames.encode({'kind': 'failure', 'code': 'invalid', 'message': ''}))",
    "failure-of-half-a-letter": _SEND
    + "end_with(frames.encode({'kind': 'failure', 'code': 'crash', 'message': '\\ud83d\\u202e' * 300}))",
    "marks-of-the-meter": _SEND + "end_with(b'+<>+<' + frames.encode({'kind': 'measurements', 'measurements': {}}))",
    "slow-but-whole": _PIPE
    + """
for byte in frames.encode({"kind": "payload"}, [b"'held'"]):
    os.write(pipe, bytes([byte]))
    time.sleep(0.002)
os._exit(0)
""",
    "pipe-that-does-not-block": _PIPE + "os.set_blocking(pipe, False); result = 'x' * (2 << 20)",
    "pipe-led-elsewhere": _PIPE + "reader, writer = os.pipe(); os.dup2(writer, pipe); result = 'held'",
    "pipe-copied": _PIPE + "for _ in range(40): os.dup(pipe)\nresult = 'held'",
    "writers-at-the-same-time": _PIPE
    + """
import threading
def write_on():
    while True: os.write(pipe, b"?" * 100)
for _ in range(3): threading.Thread(target=write_on, daemon=True).start()
time.sleep(0.05)
result = "held"
""",
    # -- the harness around the script
    "bytes-that-lie-about-their-length": """
class Long(bytes):
    def __len__(self): return 2**40
runner = sys.modules["toy_sandbox"]
runner.repr = lambda value: type("Text", (), {"encode": lambda self: Long(b"owned")})()
result = "held"
""",
    "failure-by-disguise": """
ScriptFailure = sys.modules["sciRL.verification.sandbox.failure"].ScriptFailure
class Disguised(Exception):
    __class__ = property(lambda self: ScriptFailure)
    code, message = "sandbox_error", "the sandbox is broken"
raise Disguised
""",
    "failure-that-cannot-be-written": """
failure = sys.modules["sciRL.verification.sandbox.failure"].ScriptFailure("crash", "x")
failure.message = [object()]
raise failure
""",
    "failure-of-the-meter-raised": """
raise sys.modules["sciRL.verification.sandbox.failure"].ScriptFailure("multi_solid", "as if it had been measured")
""",
    "endless-traceback": """
class Trace:
    tb_frame = sys._getframe()
    tb_lineno = 1
    tb_next = property(lambda self: self)
class Evil(Exception):
    __traceback__ = property(lambda self: Trace())
raise Evil
""",
    "name-that-raises": """
class Meta(type):
    __name__ = property(lambda cls: 1 / 0)
class Evil(BaseException, metaclass=Meta): pass
raise Evil
""",
    "name-of-ten-megabytes": "raise type('A' * 10**7, (Exception,), {})('B' * 10**7)",
    "groups-of-exceptions": """
error = ValueError("x")
for _ in range(100000): error = BaseExceptionGroup("x", [error])
raise error
""",
    "harness-frames-cleared": """
import traceback
try: 1 / 0
except ZeroDivisionError as error:
    frame = sys._getframe(1)
    while frame:
        attempt(frame.clear)
        frame = frame.f_back
raise GeneratorExit
""",
    # -- the interpreter
    "exit-inside-repr": """
class Evil:
    def __repr__(self): raise SystemExit(0)
result = Evil()
""",
    "interrupt-from-a-timer": """
import signal
def interrupt(*_): raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
time.sleep(0.5)
result = "held"
""",
    "fault-handler-loop": """
import signal
signal.signal(signal.SIGSEGV, lambda *_: None)
ctypes.string_at(0)
""",
    "faults-ignored": "import signal; signal.signal(signal.SIGSEGV, signal.SIG_IGN); ctypes.string_at(0)",
    "abort-handled": "import signal; signal.signal(signal.SIGABRT, lambda *_: None); libc.abort()",
    "signals-queued": """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
for _ in range(100000): os.kill(os.getpid(), signal.SIGRTMIN + 1)
result = "held"
""",
    "audit-hook": """
def hook(event, arguments):
    raise RuntimeError(event)
result = "held"
sys.addaudithook(hook)
""",
    "collector-callbacks": """
import gc
gc.callbacks.append(lambda *_: os._exit(0))
result = "held"
gc.collect()
""",
    "hooks-that-loop": """
def for_ever(*_):
    while True: pass
sys.excepthook = sys.unraisablehook = sys.displayhook = for_ever
raise ValueError
""",
    "import-that-loops": """
import builtins
def for_ever(*_, **__):
    while True: pass
builtins.__import__ = for_ever
import json
""",
    "late-attempts": """
import atexit, gc, threading, weakref
def late(*_):
    attempt(lambda: write(CANARY + "/late"), os.fork,
        lambda: socket.create_connection(("127.0.0.1", PORT), 1))
class Key: pass
key = Key()
weakref.finalize(key, late)
atexit.register(late)
threading._register_atexit(late)
gc.callbacks.append(late)
result = "held"
""",
    "one-becomes-two": "ctypes.memmove(id(1) + 24, id(2) + 24, 4); result = 'held'",
    "none-is-freed": "for _ in range(10**6): ctypes.pythonapi.Py_DecRef(ctypes.py_object(None))",
    "interpreter-ended": "ctypes.pythonapi.Py_FinalizeEx()",
    "interpreter-lock-dropped": "ctypes.pythonapi.PyEval_SaveThread()",
    "interpreter-lock-kept": """
import threading
def hog():
    while True: pass
sys.setswitchinterval(1e6)
threading.Thread(target=hog, daemon=True).start()
time.sleep(0.01)
result = "held"
""",
    "lock-taken-twice": "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "main-thread-gone": """
import threading
threading.Thread(target=time.sleep, args=(60,)).start()
libc.syscall.restype = ctypes.c_long
call(60 if os.uname().machine == "x86_64" else 93, 0)
""",
    "exit-from-a-thread": """
import threading
threading.Timer(0.02, os._exit, (0,)).start()
while True: pass
""",
    "hash-collisions": "table = {number * (2**61 - 1): None for number in range(10**6)}",
    "digits-of-a-number": "sys.set_int_max_str_digits(0); result = str(7 ** (10**7))",
    "unmapped": """
libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
libc.munmap(ctypes.cast(libc.munmap, ctypes.c_void_p).value & -4096, 4096)
""",
    "stack-of-a-gigabyte": """
import threading
threading.stack_size(1 << 30)
threading.Thread(target=time.sleep).start()
""",
    "nested-list": """
result = []
for _ in range(10**6): result = [result]
""",
    "nested-closures": """
def wrap(inner): return lambda: inner()
result = lambda: None
for _ in range(10**6): result = wrap(result)
sys.setrecursionlimit(10**9)
result()
""",
    "sum-of-many": "result = " + "+".join(["1"] * 100_000),
    "ladder-of-elif": "if 0: pass\n" + "elif 0: pass\n" * 20_000 + "result = 'held'",
    "attributes-of-attributes": "result = ''" + ".real" * 100_000,
    "locked-memory": """
import mmap
result = attempt(lambda: 1 / (libc.mlockall(3) == 0), lambda: 1 / (libc.mlock(buffer, 4096) == 0),
    lambda: mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | 0x2000))
""",
    "descriptors-of-all-kinds": """
import select
held = []
def take(make):
    while True: held.append(make())
for make in (lambda: os.eventfd(0), select.epoll, lambda: os.dup(0), lambda: os.open("/", os.O_PATH)):
    attempt(lambda: take(make))
result = "held"
""",
    "time-zone-file": "os.environ['TZ'] = ':' + SECRET_FILE; time.tzset(); result = 'held' if time.tzname else 0",
}
