import Foundation
import Testing

/// A client's way to a Service: where it comes from, what it asks, and what must become of it.
struct Flow: Sendable {
    enum Outcome: Equatable, Sendable {
        /// All of these endpoints, and no other.
        case reaches([String])
        case refused
        case silence
        /// A health check is answered with this status, and so many endpoints.
        case health(Int, endpoints: Int)

        fileprivate var answers: [String] {
            switch self {
            case .reaches(let endpoints): endpoints.sorted()
            case .refused: ["refused"]
            case .silence: ["silence"]
            case .health(let status, let endpoints): ["\(status) \(endpoints)"]
            }
        }
    }

    var name = ""
    var from: String
    var to: String
    var port: Int
    var isUDP = false
    var outcome: Outcome
}

/// A node with Ringway, and the rest of the world: clients of all addresses, and all endpoints.
///
///       node namespace                              world namespace
///     ┌────────────────────────────────┐          ┌─────────────────────────────────┐
///     │ 192.168.0.2 …  ringway         │  veth    │ 203.0.113.2 …  clients outside  │
///     │ virtual addresses: local routes╪══════════╪ 10.0.0.2       a Pod            │
///     │ clients on the node            │          │ 10.180.0.1 …   endpoints        │
///     └────────────────────────────────┘          └─────────────────────────────────┘
final class FlowHosts {
    /// Says at which of its addresses a client has arrived.
    private static let server = """
        import json, selectors, socket, sys
        ready = selectors.DefaultSelector()
        for address, port in json.loads(sys.argv[1]):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            name = (f"[{address}]:{port}" if ":" in address else f"{address}:{port}").encode()
            for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
                listener = socket.socket(family, kind)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((address, port))
                if kind == socket.SOCK_STREAM: listener.listen(512)
                ready.register(listener, selectors.EVENT_READ, name)
        print("ready", flush=True)
        while True:
            for key, _ in ready.select():
                if key.fileobj.type == socket.SOCK_DGRAM:
                    _, peer = key.fileobj.recvfrom(9999)
                    key.fileobj.sendto(key.data, peer)
                else:
                    connection, _ = key.fileobj.accept()
                    with connection: connection.sendall(key.data)
        """

    /// Plays flows side by side. Where something is expected it has the time it needs; nothing is expected for a moment only.
    private static let client = """
        import json, socket, sys, threading
        def ask(flow):
            family = socket.AF_INET6 if ":" in flow["to"] else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM if flow["isUDP"] else socket.SOCK_STREAM) as asker:
                asker.settimeout(1 if flow["answers"] == ["silence"] else 15)
                try:
                    asker.bind((flow["from"], 0))
                    asker.connect((flow["to"], flow["port"]))
                    if flow["isUDP"]: asker.send(b"?")
                    if flow["isHealth"]: asker.send(b"GET / HTTP/1.0\\r\\n\\r\\n")
                    answer = b""
                    while part := asker.recv(9999):
                        answer += part
                        if flow["isUDP"]: break
                    if not flow["isHealth"]: return answer.decode()
                    head, _, body = answer.partition(b"\\r\\n\\r\\n")
                    return f"{int(head.split()[1])} {json.loads(body)['localEndpoints']}"
                except ConnectionRefusedError: return "refused"
                except ConnectionResetError: return "reset"
                except TimeoutError: return "silence"
                except OSError as error: return str(error)
        def play(flow):
            seen = []
            while len(seen) < 12 or len(seen) < 80 and set(seen) < set(flow["answers"]):
                seen.append(ask(flow))
                if seen[-1] == "silence" or seen == ["refused"] * 3: break
            flow["seen"] = sorted(set(seen))
        flows = json.load(open(sys.argv[1]))
        threads = [threading.Thread(target=play, args=[flow]) for flow in flows]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        json.dump([flow["seen"] for flow in flows], sys.stdout)
        """

    let node: Namespace
    private let world: Namespace
    let directory: TemporaryDirectory
    private let endpoints: ChildProcess
    private let nodeAddresses: Set<String>

    /// - Parameters:
    ///   - addresses: those that an interface of the node has.
    ///   - virtual: those that are the node's without an interface.
    ///   - clients: where clients in the world come from.
    init(node addresses: [String], virtual: [String], clients: [String], endpoints: [(address: String, port: Int)]) throws {
        node = try Namespace()
        world = try Namespace(beside: node)
        directory = try TemporaryDirectory()
        nodeAddresses = Set(addresses + virtual + ["127.0.0.1", "::1"])
        func add(_ addresses: [String]) -> String {
            addresses.map { $0.contains(":") ? "ip -6 address add \($0)/128 dev lo nodad\n" : "ip address add \($0)/32 dev lo\n" }.joined()
        }
        try DatagramHosts.run(
            """
            ip link add eth0 type veth peer name eth0 netns \(world.identifier)
            ip address add 169.254.7.1/30 dev eth0
            ip -6 address add fd7f::1/64 dev eth0 nodad
            ip link set eth0 up
            # A host tells one peer of few closed ports a second.
            echo 0 >/proc/sys/net/ipv4/icmp_ratelimit
            ip route add default via 169.254.7.2
            ip -6 route add default via fd7f::2
            \(add(addresses + virtual.filter { $0.contains(":") }))
            \(virtual.filter { !$0.contains(":") }.map { "ip route add local \($0) dev lo\n" }.joined())
            """, in: node)
        let others = Set(clients + endpoints.map(\.address)).subtracting(nodeAddresses)
        try DatagramHosts.run(
            """
            ip address add 169.254.7.2/30 dev eth0
            ip -6 address add fd7f::2/64 dev eth0 nodad
            ip link set eth0 up
            ip route add default via 169.254.7.1
            ip -6 route add default via fd7f::1
            \(add(others.sorted()))
            """, in: world)
        let listens = "[" + endpoints.map { "[\"\($0.address)\", \($0.port)]" }.joined(separator: ",") + "]"
        let server = try ChildProcess(world.enter + ["python3", "-c", Self.server, listens], in: directory)
        self.endpoints = server
        try waitUntil("the endpoints listen") {
            guard server.isRunning else { throw ChildProcess.Failure(description: "no endpoints: \(server.error)") }
            return server.output == "ready\n"
        }
    }

    deinit { endpoints.end() }

    /// Plays flows and expects what is said of each.
    func expect(_ flows: [Flow], sourceLocation: SourceLocation = #_sourceLocation) throws {
        for (host, isNode) in [(world, false), (node, true)] {
            let some = flows.filter { nodeAddresses.contains($0.from) == isNode }
            guard !some.isEmpty else { continue }
            let file = directory.path("flows-\(directory.nextNumber())")
            try JSONEncoder().encode(some.map(Wire.init)).write(to: URL(fileURLWithPath: file))
            let played = try ChildProcess.run(host.enter + ["python3", "-c", Self.client, file], within: .seconds(120))
            guard played.isSuccess else { throw ChildProcess.Failure(description: "no flows were played: \(played.error)") }
            let seen = try JSONDecoder().decode([[String]].self, from: Data(played.output.utf8))
            for (flow, seen) in zip(some, seen) {
                #expect(
                    seen == flow.outcome.answers, "\(flow.name): \(flow.isUDP ? "udp " : "")\(flow.from) to \(flow.to) \(flow.port)",
                    sourceLocation: sourceLocation)
            }
        }
    }

    private struct Wire: Encodable {
        let from: String
        let to: String
        let port: Int
        let isUDP: Bool
        let isHealth: Bool
        let answers: [String]

        init(_ flow: Flow) {
            (from, to, port, isUDP) = (flow.from, flow.to, flow.port, flow.isUDP)
            isHealth = if case .health = flow.outcome { true } else { false }
            answers = flow.outcome.answers
        }
    }
}
