"""The measuring half of Benchmarks/compare, which installs and builds first."""

import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

BACKEND_PORTS = [9001, 9002, 9003]
PORTS = {"ringway io_uring": 9311, "ringway epoll": 9312, "haproxy": 9313, "reference": 8010}


def main():
    arguments = [int(word) for word in sys.argv[1:]] + [5, 10, 64][len(sys.argv) - 1:]
    rounds, seconds, connections = arguments
    refuse_taken_ports()
    folder = tempfile.mkdtemp(prefix="ringway-compare-")
    processes = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        start(processes, nginx(folder), folder)
        proxies = start_proxies(processes, folder)
        describe(rounds, seconds, connections)
        report(measure(proxies, rounds, seconds, connections))
    finally:
        for process in processes:
            process.kill()
            process.wait()
        shutil.rmtree(folder)


def refuse_taken_ports():
    for port in BACKEND_PORTS + list(PORTS.values()):
        if is_open(port):
            sys.exit(f"compare: port {port} of 127.0.0.1 is in use")


def is_open(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def start(processes, command, folder):
    log = open(os.path.join(folder, f"log-{len(processes)}"), "w")
    process = subprocess.Popen(command, stdout=log, stderr=log)
    processes.append(process)
    return process


def nginx(folder):
    servers = "".join(
        f'server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "{"x" * 64}"; }} }}\n' for port in BACKEND_PORTS)
    temporary = "".join(f"{name}_temp_path {folder}/{name};\n" for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
    path = os.path.join(folder, "nginx.conf")
    with open(path, "w") as file:
        file.write(
            f"daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;\n"
            "events { worker_connections 4096; }\n"
            f"http {{ access_log off; keepalive_requests 100000000; {temporary} {servers} }}\n")
    return [find("nginx"), "-p", folder, "-c", path]


def haproxy(folder):
    servers = "".join(f"    server s{port} 127.0.0.1:{port}\n" for port in BACKEND_PORTS)
    path = os.path.join(folder, "haproxy.cfg")
    with open(path, "w") as file:
        file.write(
            "global\n    nbthread 1\n    maxconn 8192\n"
            "defaults\n    mode tcp\n    timeout connect 3s\n    timeout client 1h\n    timeout server 1h\n"
            f"listen all\n    bind 127.0.0.1:{PORTS['haproxy']}\n    balance random\n{servers}")
    return [find("haproxy"), "-db", "-f", path]


def ringway(engine, folder):
    backends = ",".join(map(str, BACKEND_PORTS))
    return [
        os.environ["RINGWAY"], "run", "--engine", engine, "--workers", "1", "--pin", "off", "--admin-socket",
        os.path.join(folder, f"{engine}.sock"), f"{PORTS['ringway ' + engine]}={backends}"]


def reference(folder):
    source = os.environ.get("REFERENCE", "")
    if not os.path.exists(source):
        return None
    program = os.path.join(folder, "reference")
    built = subprocess.run(["cc", "-O2", "-o", program, source, "-luring"], capture_output=True, text=True)
    if built.returncode != 0:
        print(f"no reference: {built.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return [program, "-p", str(PORTS["reference"])]


def start_proxies(processes, folder):
    commands = {
        "ringway io_uring": ringway("io_uring", folder),
        "ringway epoll": ringway("epoll", folder),
        "haproxy": haproxy(folder),
        "reference": reference(folder),
    }
    proxies = {}
    for name, command in commands.items():
        if command is None:
            continue
        process = start(processes, command, folder)
        deadline = time.monotonic() + 20
        while not is_open(PORTS[name]) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if process.poll() is None and is_open(PORTS[name]):
            proxies[name] = process
        else:
            print(f"{name} does not run here", file=sys.stderr)
    return proxies


def find(name):
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin") or sys.exit(f"compare: there is no {name}")


def cpu_seconds(process):
    with open(f"/proc/{process.pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(name, seconds, connections):
    extra = ["-H", "Connection: close"] if os.environ.get("NEW_CONNECTIONS") else []
    result = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *extra, f"http://127.0.0.1:{PORTS[name]}/"],
        capture_output=True, text=True, check=True).stdout
    if "Socket errors" in result or "Non-2xx" in result:
        print(f"{name}: {[line.strip() for line in result.splitlines() if 'errors' in line or 'Non-2xx' in line]}")
    return int(re.search(r"(\d+) requests in", result).group(1))


def measure(proxies, rounds, seconds, connections):
    for name in proxies:
        load(name, 1, connections)
    results = {name: {"cost": [], "rate": []} for name in proxies}
    for _ in range(rounds):
        for name, process in proxies.items():
            before = cpu_seconds(process)
            requests = load(name, seconds, connections)
            results[name]["cost"].append((cpu_seconds(process) - before) / requests * 1e6)
            results[name]["rate"].append(requests / seconds)
    return results


def describe(rounds, seconds, connections):
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), platform.machine())
    print(f"machine   {model}, {os.cpu_count()} CPUs, Linux {platform.release()}")
    versions = [
        ["ringway", os.environ["RINGWAY"], "--version"], ["haproxy", find("haproxy"), "-v"], ["nginx", find("nginx"), "-v"],
        ["wrk", "wrk", "-v"]]
    for name, *command in versions:
        done = subprocess.run(command, capture_output=True, text=True)
        print(f"{name:9} {(done.stdout + done.stderr).splitlines()[0]}")
    kind = "a connection for each request" if os.environ.get("NEW_CONNECTIONS") else "keep-alive"
    print(f"load      wrk -t1 -c{connections} -d{seconds}s, {kind}, {rounds} paired rounds\n")


def report(results):
    print("                   CPU us per request        requests/s")
    print("                   median    min    max         median")
    for name, result in results.items():
        cost = result["cost"]
        print(f"{name:17} {statistics.median(cost):8.2f} {min(cost):6.2f} {max(cost):6.2f} {statistics.median(result['rate']):14.0f}")
    print("\nratio of CPU per request in the same round: median (min to max)")
    for name in [name for name in results if name.startswith("ringway")]:
        for other in [other for other in results if not other.startswith("ringway")]:
            ratios = [ours / theirs for ours, theirs in zip(results[name]["cost"], results[other]["cost"])]
            print(f"{name:17} / {other:10} {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


main()
