import Foundation
import Synchronization

/// Four hosts for tests of UDP. The client reaches ringway over two links, and an address behind both; `far` is reached through
/// `back`, over a link with a smaller MTU.
///
///     client                        front: ringway                    back                          far
///    ┌───────────┐ 10.98.1.0/24  ┌──────────────────┐             ┌───────────────────┐          ┌───────────┐
///    │ 10.98.1.2 ════════════════ 10.98.1.1         │ 10.99.0/24  │ 10.99.0.2 to .5   │ 10.97.0  │           │
///    │ fd98:1::2 │ fd98:1::/64   │        10.99.0.1 ══════════════ fd99::2 to ::5    ═════════════ 10.97.0.2 │
///    │           │               │        fd99::1   │ fd99::/64   │ nft: 4 prohibited │ fd97::   │ fd97::2   │
///    │ 10.98.2.2 ════════════════ 10.98.2.1         │             │                   │ MTU 1400 │           │
///    │ fd98:2::2 │ 10.98.2.0/24  │                  │             │ routes; 10.97.0.1 │          │           │
///    │           │ fd98:2::/64   │ lo: 10.98.9.1    │             │         fd97::1   │          │           │
///    └───────────┘ MTU 1400      │     fd98:9::1    │             └───────────────────┘          └───────────┘
///                                └──────────────────┘
final class DatagramHosts {
    let client: Namespace
    let front: Namespace
    let back: Namespace
    let far: Namespace

    init() throws {
        client = try Namespace()
        front = try Namespace(beside: client)
        back = try Namespace(beside: client)
        far = try Namespace(beside: client)
        // Answers leave by another link than the one that the question came by: no host may mind.
        let loose = "for n in all default; do echo 0 >/proc/sys/net/ipv4/conf/$n/rp_filter; done\n"
        try Self.run(
            loose + """
                for n in 1 2; do
                    ip link add eth$n type veth peer name eth$n netns \(client.identifier)
                    ip address add 10.98.$n.1/24 dev eth$n
                    ip address add fd98:$n::1/64 dev eth$n nodad
                done
                ip link set eth2 mtu 1400
                ip link set eth1 up
                ip link set eth2 up
                ip address add 10.98.9.1/32 dev lo
                ip address add fd98:9::1/128 dev lo nodad
                ip link add eth0 type veth peer name eth0 netns \(back.identifier)
                ip address add 10.99.0.1/24 dev eth0
                ip address add fd99::1/64 dev eth0 nodad
                ip link set eth0 up
                ip route add 10.97.0.0/24 via 10.99.0.2
                ip route add fd97::/64 via fd99::2
                """, in: front)
        try Self.run(
            loose + """
                for n in 1 2; do
                    ip address add 10.98.$n.2/24 dev eth$n
                    ip address add fd98:$n::2/64 dev eth$n nodad
                done
                ip link set eth2 mtu 1400
                ip link set eth1 up
                ip link set eth2 up
                ip route add 10.98.9.1/32 via 10.98.1.1
                ip route add fd98:9::1/128 via fd98:1::1
                """, in: client)
        try Self.run(
            """
            for n in 2 3 4 5; do
                ip address add 10.99.0.$n/24 dev eth0
                ip address add fd99::$n/64 dev eth0 nodad
            done
            ip link set eth0 up
            ip link add eth1 type veth peer name eth0 netns \(far.identifier)
            ip link set eth1 mtu 1400
            ip address add 10.97.0.1/24 dev eth1
            ip address add fd97::1/64 dev eth1 nodad
            ip link set eth1 up
            echo 1 >/proc/sys/net/ipv4/ip_forward
            echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
            # By default a host sends one ICMP error a second and no more.
            echo 0 >/proc/sys/net/ipv4/icmp_ratelimit
            echo 0 >/proc/sys/net/ipv6/icmp/ratelimit
            nft add table inet faults
            nft add chain inet faults input '{ type filter hook input priority 0 ; }'
            nft add rule inet faults input ip daddr 10.99.0.4 meta l4proto udp reject with icmp type admin-prohibited
            nft add rule inet faults input ip6 daddr fd99::4 meta l4proto udp reject with icmpv6 type admin-prohibited
            """, in: back)
        try Self.run(
            """
            ip link set eth0 mtu 1400
            ip address add 10.97.0.2/24 dev eth0
            ip address add fd97::2/64 dev eth0 nodad
            ip link set eth0 up
            ip route add default via 10.97.0.1
            ip route add default via fd97::1
            """, in: far)
    }

    /// A shell's commands, all of which must succeed.
    static func run(_ script: String, in namespace: Namespace) throws {
        let outcome = try namespace.run(["sh", "-ec", script])
        guard outcome.isSuccess else { throw ChildProcess.Failure(description: "\(outcome.exit): \(outcome.error)") }
    }
}

/// Numbers that datagrams carry, in the order of their arrival.
final class Numbers: Sendable {
    private let values = Mutex<[Int]>([])

    var all: [Int] { values.withLock { $0 } }

    func note(_ datagram: [UInt8]) {
        let number = Int(String(decoding: datagram, as: UTF8.self)) ?? -1
        values.withLock { $0.append(number) }
    }

    /// A server that notes what it gets, and answers nothing.
    func backend(on host: String, _ port: Int, in namespace: Namespace) throws -> DatagramBackend {
        try DatagramBackend(on: host, port, in: namespace) { [self] datagram in
            note(datagram)
            return []
        }
    }
}

/// Sends 0, 1, 2, … from one socket, about a thousand a second, until it is stopped.
final class NumberSender: Sendable {
    private let counter = Counter()

    /// Those that were sent: from 0 to one less.
    var sent: Int { counter.value }

    init(from socket: DatagramSocket) {
        let counter = counter
        onThread {
            while !counter.isStopped {
                socket.send("\(counter.value)")
                counter.add(1)
                usleep(1000)
            }
        }
    }

    deinit { counter.stop() }

    /// Stops; what it has sent by then is all there is.
    func stop() throws -> Int {
        counter.stop()
        var last = -1
        try waitUntil("the sender stops") {
            defer { last = sent }
            return last == sent
        }
        return sent
    }
}

/// dnsmasq: it knows `service.test`, both addresses; `who.test`, its own name; and `large.test`, too much for a datagram.
final class Dnsmasq: Sendable {
    let process: ChildProcess
    private let directory: TemporaryDirectory

    init(_ name: String, on address: String, in namespace: Namespace) throws {
        directory = try TemporaryDirectory()
        let text = Array(repeating: String(repeating: "x", count: 200), count: 3).joined(separator: ",")
        let large = (0..<4).map { "txt-record=large.test,\($0),\(text)" }.joined(separator: "\n")
        let configuration = try directory.write(
            """
            port=53
            listen-address=\(address)
            bind-interfaces
            no-resolv
            no-hosts
            local=/test/
            host-record=service.test,192.0.2.7,2001:db8::7
            txt-record=who.test,\(name)
            \(large)
            # Who is root in a user namespace of their own can't become anybody else.
            user=root
            group=root
            pid-file=\(directory.path("pid"))

            """, to: "dnsmasq.conf")
        process = try ChildProcess(
            namespace.enter + ["dnsmasq", "--keep-in-foreground", "--log-facility=-", "--conf-file=\(configuration)"], in: directory)
        let (process, pid) = (process, directory.path("pid"))
        try waitUntil("dnsmasq writes its pid") {
            guard process.isRunning else { throw ChildProcess.Failure(description: "dnsmasq ended: \(process.error)") }
            return FileManager.default.fileExists(atPath: pid)
        }
    }

    deinit { process.end() }
}
