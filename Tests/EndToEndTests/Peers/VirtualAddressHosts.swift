import Foundation
import Glibc
import Testing

/// Hosts for virtual addresses that no interface has, of both families.
///
///       front namespace                                 client namespace
///     ┌─────────────────────────────────┐             ┌───────────────────────────────────────┐
///     │ 10.99.0.1, fd99::1   ringway    │    veth     │ 10.99.0.2, fd99::2                    │
///     │ 127.0.0.1:8081       nginx     ═╪═════════════╪═ 10.96.0.0/16 via 10.99.0.1           │
///     │ 0.0.0.0:2222, [::]:2222  another│             │  fd00:10:96::/112 via fd99::1         │
///     └─────────────────────────────────┘             └───────────────────────────────────────┘
final class VirtualAddressHosts {
    let front: Namespace
    let client: Namespace
    let directory: TemporaryDirectory
    let nginx: Nginx
    let other: ChildProcess

    init() throws {
        front = try Namespace()
        client = try Namespace(beside: front)
        directory = try TemporaryDirectory()
        try front.set(
            """
            ip link add eth0 type veth peer name eth0 netns \(client.identifier)
            ip address add 10.99.0.1/24 dev eth0
            ip address add fd99::1/64 dev eth0 nodad
            ip link set eth0 up
            """)
        try client.set(
            """
            ip address add 10.99.0.2/24 dev eth0
            ip address add fd99::2/64 dev eth0 nodad
            ip link set eth0 up
            ip route add 10.96.0.0/16 via 10.99.0.1
            ip route add fd00:10:96::/112 via fd99::1
            """)
        nginx = try Nginx(["web"], addresses: ["127.0.0.1"], port: 8081, prefix: front.enter)
        other = try ChildProcess(
            front.enter + ["socat", "TCP6-LISTEN:2222,fork,reuseaddr,ipv6only=0", "EXEC:echo other"], in: directory)
        try waitUntil("the other server listens") { try said(by: front, "127.0.0.1", 2222) == "other" }
    }

    deinit { other.end() }

    /// What a server says that speaks first; nil where it refuses.
    func said(by host: Namespace, _ address: String, _ port: Int) throws -> String? {
        let place = address.contains(":") ? "TCP6:[\(address)]" : "TCP4:\(address)"
        let outcome = try host.run(["socat", "-u", "-T5", "\(place):\(port),connect-timeout=5", "-"])
        return outcome.isSuccess ? outcome.output.trimmingCharacters(in: .whitespacesAndNewlines) : nil
    }

    func network(_ arguments: String...) throws -> String {
        let outcome = try front.run([RunningRingway.binary, "network"] + arguments)
        #expect(outcome.isSuccess, "\(outcome.error)")
        return outcome.output
    }

    func writeService(_ addresses: [String] = ["10.96.0.10"]) throws -> String {
        let services = addresses.enumerated().map { number, address in
            serviceYAML("web-\(number)", port: 80, endpoints: ["127.0.0.1:8081"])
                .replacing("externalIPs: [\"127.0.0.1\"]", with: "clusterIP: \(address)")
        }
        return try directory.write(services.joined(separator: "---\n"), to: "web.yaml")
    }

    func run(_ engine: String, _ file: String, options: [String] = [], prefix: [String] = []) throws -> RunningRingway {
        let network = options.contains("--host-network") ? [] : ["--host-network", "auto"]
        return try RunningRingway(
            engine, [file], options: options + network + ["--node-port-range", "30000-32767"], prefix: front.enter + prefix,
            directory: directory)
    }
}
