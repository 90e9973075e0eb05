import Foundation
import Glibc
import Testing

/// Addresses of `--load-balancer-pool`, in a range that anybody may bind.
extension EndToEndTests {
    @Suite struct LoadBalancerTests {
        private static func service(_ name: String, port: Int, backend: Int, _ spec: String = "", annotations: String = "") -> String {
            """
            apiVersion: v1
            kind: Service
            metadata: {name: \(name), annotations: {ringway.dev/endpoints: "127.0.0.1:\(backend)"\(annotations)}}
            spec: {type: LoadBalancer, allocateLoadBalancerNodePorts: false, \(spec)ports: [{port: \(port)}]}

            """
        }

        /// Name, EXTERNAL-IP.
        private static func shown(by ringway: RunningRingway) throws -> [String: String] {
            let outcome = try ChildProcess.run([RunningRingway.binary, "get", "svc", "--admin-socket", ringway.adminSocket])
            let rows = outcome.output.split(separator: "\n").dropFirst().map { $0.split(separator: " ") }
            return Dictionary(uniqueKeysWithValues: rows.map { (String($0[0]), String($0[3])) })
        }

        @Test(arguments: Engines.available)
        func anAddressIsServedShownAndKept(engine: String) throws {
            let directory = try TemporaryDirectory()
            let nginx = try Nginx(["one", "two"])
            let port = try FreePort.take(on: "127.77.1.1")
            let shared = ", metallb.io/allow-shared-ip: key"
            let services = [
                Self.service("asks", port: port, backend: nginx.ports[0], "loadBalancerIP: 127.77.1.9, "),
                Self.service("first", port: port, backend: nginx.ports[0]),
                Self.service("other", port: port, backend: nginx.ports[0], "loadBalancerClass: example.com/other, "),
                Self.service("second", port: port, backend: nginx.ports[1], annotations: shared),
                Self.service("third", port: port + 1, backend: nginx.ports[0], annotations: shared),
                Self.service("too-many", port: port, backend: nginx.ports[0], annotations: ", metallb.io/address-pool: small"),
            ]
            let expected = [
                "asks": "127.77.1.9", "first": "127.77.1.1", "other": "<pending>", "second": "127.77.1.2", "third": "127.77.1.2",
                "too-many": "<pending>",
            ]
            try directory.write(services.joined(separator: "---\n"), to: "f.yaml")
            func start() throws -> RunningRingway {
                try RunningRingway(
                    engine, [directory.path("f.yaml")],
                    options: [
                        "--load-balancer-pool", "127.77.1.1-127.77.1.9", "--load-balancer-pool", "small=2001:db8::/126",
                        "--state-directory", directory.path("state"),
                    ], directory: directory)
            }
            func expectServed(_ ringway: RunningRingway) throws {
                #expect(try Self.shown(by: ringway) == expected)
                for (address, port, answer) in [
                    ("127.77.1.9", port, "one"), ("127.77.1.1", port, "one"), ("127.77.1.2", port, "two"), ("127.77.1.2", port + 1, "one"),
                ] {
                    #expect(try curl(port, at: address) == answer)
                }
            }
            do {
                let ringway = try start()
                defer { ringway.process.end() }
                try expectServed(ringway)
                #expect(
                    ringway.log.contains("Service \"too-many\": its EXTERNAL-IP is pending: the pool \"small\" has no IPv4 address left"),
                    "\(ringway.log)")
                #expect(!ringway.log.contains("Service \"other\": its"))
                // From first to last, whoever comes first after the restart.
                let written = try ChildProcess.run(
                    [RunningRingway.binary, "get", "svc", "first", "-o", "json", "--admin-socket", ringway.adminSocket])
                #expect(written.output.contains("\"ipMode\": \"VIP\"") || written.output.contains("\"ipMode\":\"VIP\""))
                ringway.process.signal(SIGKILL)
                _ = try ringway.process.wait()
            }
            try directory.replace(
                "f.yaml", with: ([Self.service("a", port: port, backend: nginx.ports[1])] + services).joined(separator: "---\n"))
            let ringway = try start()
            defer { ringway.process.end() }
            #expect(try curl(port, at: "127.77.1.3") == "two", "the new one takes what is free")
            try directory.replace("f.yaml", with: services.joined(separator: "---\n"))
            try waitUntil("it is gone") { try Self.shown(by: ringway)["a"] == nil }
            try expectServed(ringway)
            try ringway.expectCleanEnd(sourceLocation: #_sourceLocation)
        }

        @Test(arguments: [
            (
                ["--load-balancer-pool", "10.0.0.0/24", "--load-balancer-pool", "b=10.0.0.9-10.0.1.9"],
                "overlaps 10.0.0.0/24 of the pool \"default\""
            ),
            (["--load-balancer-pool", "10.96.1.0/24"], "10.96.1.0/24 overlaps 10.96.0.0/12 of --service-cidr"),
            (["--load-balancer-pool", "10.0.0.1"], "'10.0.0.1' is invalid"),
            (["--load-balancer-pool", "A b=10.0.0.0/24"], "is invalid"),
        ])
        func poolsThatCannotBeAreNamed(options: [String], message: String) throws {
            for command in ["run", "check"] {
                let outcome = try ChildProcess.run([RunningRingway.binary, command, "x.yaml"] + options)
                #expect(outcome.exit == .code(64) && outcome.error.contains(message), "\(outcome.error)")
            }
        }
    }
}
