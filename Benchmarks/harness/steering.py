"""Steers a running program's new connections from outside, to learn what it would be worth if it did so itself."""

import ctypes
import os
import socket
import struct

from processes import Failure

_PIDFD_OPEN, _PIDFD_GETFD = 434, 438  # the same on every architecture
_SO_ATTACH_REUSEPORT_CBPF = 51
_libc = ctypes.CDLL(None, use_errno=True)


def by_cpu(pid, port):
    """From now on the n-th listener of a port, in the order they were opened, gets what CPU n handles the SYN of (root only)."""
    inodes = _listening(pid, port)
    number = next((int(name) for name in os.listdir(f"/proc/{pid}/fd") if _inode(f"/proc/{pid}/fd/{name}") in inodes), None)
    if number is None:
        raise Failure(f"nothing listens on port {port}")
    code = [
        (0x20, 0, 0, 0xFFFF_F000 + 36),  # load the CPU's number (SKF_AD_OFF + SKF_AD_CPU)
        (0x94, 0, 0, len(inodes)),       # modulo the listeners
        (0x16, 0, 0, 0),                 # and return it
    ]
    instructions = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
    process = _call(_PIDFD_OPEN, pid, 0)
    with socket.socket(fileno=_call(_PIDFD_GETFD, process, number, 0)) as listener:
        listener.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, struct.pack("HxxxxxxP", len(code), ctypes.addressof(instructions)))
    os.close(process)


def _listening(pid, port):
    with open(f"/proc/{pid}/net/tcp") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return {row[9] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port}


def _inode(path):
    try:
        return os.readlink(path).removeprefix("socket:[").removesuffix("]")
    except OSError:
        return None


def _call(number, *arguments):
    result = _libc.syscall(number, *arguments)
    if result < 0:
        raise Failure(f"can't take the listener of process {arguments[0]}: {os.strerror(ctypes.get_errno())}")
    return result
