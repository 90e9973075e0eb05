"""The measuring half of Benchmarks/bulk, which installs and builds first."""

import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

BACKEND_PORT = 5201
# HAProxy with pipes as the kernel makes them (64 KB), which ratios refer to, and with pipes as large as Ringway's.
PORTS = {"io_uring": 9321, "epoll": 9322, "haproxy": 9323, "haproxy 1M": 9324}


def main():
    arguments = [int(word) for word in sys.argv[1:]] + [5, 4][len(sys.argv) - 1:]
    rounds, gigabytes = arguments
    for port in [BACKEND_PORT, *PORTS.values()]:
        if is_open(port):
            sys.exit(f"bulk: port {port} of 127.0.0.1 is in use")
    folder = tempfile.mkdtemp(prefix="ringway-bulk-")
    processes = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        start(processes, [find("iperf3"), "-s", "-B", "127.0.0.1", "-p", str(BACKEND_PORT)], folder)
        proxies = {name: start(processes, command, folder) for name, command in commands(folder).items()}
        for port in [BACKEND_PORT, *(PORTS[name] for name in proxies)]:
            wait_for(port)
        describe(rounds, gigabytes)
        for streams in (1, 8):
            for direction in ("upload", "download"):
                report(streams, direction, measure(proxies, rounds, gigabytes, streams, direction))
    finally:
        for process in processes:
            process.kill()
            process.wait()
        shutil.rmtree(folder)


def commands(folder):
    program = os.environ["RINGWAY"]
    found = {}
    for engine in ("io_uring", "epoll"):
        found[engine] = [
            program, "run", "--engine", engine, "--workers", "1", "--pin", "off", "--admin-socket", os.path.join(folder, engine),
            f"127.0.0.1:{PORTS[engine]}=127.0.0.1:{BACKEND_PORT}"]
    for name, size in (("haproxy", ""), ("haproxy 1M", "    tune.pipesize 1048576\n")):
        path = os.path.join(folder, f"{name}.cfg")
        with open(path, "w") as file:
            file.write(
                f"global\n    nbthread 1\n    maxconn 4000\n{size}"
                "defaults\n    mode tcp\n    timeout connect 3s\n    timeout client 1h\n    timeout server 1h\n"
                "    option splice-request\n    option splice-response\n"
                f"listen all\n    bind 127.0.0.1:{PORTS[name]}\n    server s 127.0.0.1:{BACKEND_PORT}\n")
        found[name] = [find("haproxy"), "-db", "-f", path]
    return found


def start(processes, command, folder):
    log = open(os.path.join(folder, f"log-{len(processes)}"), "w")
    process = subprocess.Popen(command, stdout=log, stderr=log)
    processes.append(process)
    return process


def is_open(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_for(port):
    for _ in range(100):
        if is_open(port):
            # iperf3's server takes one client at a time: let it see that this one is gone.
            time.sleep(0.3)
            return
        time.sleep(0.1)
    sys.exit(f"bulk: nothing listens at {port}")


def find(name):
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin") or sys.exit(f"bulk: {name} is not installed")


def cpu_seconds(process):
    with open(f"/proc/{process.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(proxies, rounds, gigabytes, streams, direction):
    """CPU seconds and wall-clock seconds per 10^9 bytes, by proxy; each round takes every proxy in turn."""
    results = {name: [] for name in proxies}
    for _ in range(rounds):
        for name, process in proxies.items():
            command = [
                find("iperf3"), "-c", "127.0.0.1", "-p", str(PORTS[name]), "-P", str(streams), "-n", str(gigabytes * 10**9), "--json"]
            before = cpu_seconds(process)
            output = subprocess.run(command + (["-R"] if direction == "download" else []), capture_output=True, text=True)
            spent = cpu_seconds(process) - before
            end = json.loads(output.stdout).get("end", {}).get("sum_received")
            if not end:
                sys.exit(f"bulk: iperf3 through {name} failed: {output.stdout[-400:]}")
            results[name].append((spent / end["bytes"] * 1e9, end["seconds"] / end["bytes"] * 1e9))
            time.sleep(0.2)
    return results


def describe(rounds, gigabytes):
    print(f"{rounds} rounds of {gigabytes} GB; Linux {platform.release()}, {os.cpu_count()} CPUs")
    for command in ([os.environ["RINGWAY"], "--version"], [find("haproxy"), "-v"], [find("iperf3"), "--version"]):
        print(subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0])


def report(streams, direction, results):
    print(f"\n{streams} stream{'s' if streams > 1 else ''}, {direction}: CPU s/GB, ratio to HAProxy in the same round, GB/s")
    for name, found in results.items():
        cost = [cpu for cpu, _ in found]
        ratios = [cpu / peer for (cpu, _), (peer, _) in zip(found, results["haproxy"])]
        speed = [1 / wall for _, wall in found]
        print(f"{name:10} {spread(cost)}  {spread(ratios)}  {spread(speed)}", flush=True)


def spread(values):
    return f"{statistics.median(values):5.2f} ({min(values):.2f}-{max(values):.2f})"


if __name__ == "__main__":
    main()
