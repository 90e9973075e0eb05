import Addressing
import ControlPlane
import Routing
import ServiceModel
import Testing

/// Objects in, and where a client's connection goes out.
struct PacketFlow: Sendable, CustomTestStringConvertible {
    var name: String
    var objects: [KubernetesObject]
    var flows: [(to: String, verdict: Verdict)]

    var testDescription: String { name }

    static let all: [PacketFlow] = [
        PacketFlow(
            name: "inline endpoints replace slices",
            objects: [
                Objects.service("echo") {
                    $0.externalIPs = [.loopbackIPv4]
                    $0.ports = [Objects.servicePort(9300)]
                    $0.inlineEndpoints = [
                        Objects.socket("127.0.0.1:9302"), Objects.socket("127.0.0.1:9301"), Objects.socket("127.0.0.1:9301"),
                    ]
                },
                Objects.slice("echo-1", of: "echo", [Objects.ready("10.0.0.1")]),
            ],
            flows: [("127.0.0.1:9300", ["127.0.0.1:9301", "127.0.0.1:9302"]), ("127.0.0.1:9301", .notHandled)]),
        PacketFlow(
            name: "clusterIP, externalIP, load balancer IP and node port all lead to the endpoints",
            objects: [
                Objects.service("web") {
                    $0.type = .loadBalancer
                    $0.clusterIPs = [Objects.ip("172.30.0.41")]
                    $0.externalIPs = [Objects.ip("192.168.99.11")]
                    $0.loadBalancerIPs = [Objects.ip("1.2.3.4"), Objects.ip("5.6.7.8")]
                    $0.ports = [Objects.servicePort(80, nodePort: 30080)]
                },
                Objects.slice("web-1", of: "web", [Objects.ready("10.180.0.1")]),
            ],
            flows: [
                ("172.30.0.41:80", ["10.180.0.1:8080"]), ("192.168.99.11:80", ["10.180.0.1:8080"]), ("1.2.3.4:80", ["10.180.0.1:8080"]),
                ("5.6.7.8:80", ["10.180.0.1:8080"]), ("192.168.0.2:30080", ["10.180.0.1:8080"]),
                ("[2001:db8::1]:30080", ["10.180.0.1:8080"]), ("192.168.0.2:80", .notHandled), ("172.30.0.41:8080", .notHandled),
            ]),
        PacketFlow(
            name: "a nodePort of a ClusterIP Service opens nothing",
            objects: [
                Objects.service("web") {
                    $0.clusterIPs = [Objects.ip("172.30.0.41")]
                    $0.ports = [Objects.servicePort(80, nodePort: 30080)]
                },
                Objects.slice("web-1", of: "web", [Objects.ready("10.180.0.1")]),
            ],
            flows: [("192.168.0.2:30080", .notHandled), ("172.30.0.41:80", ["10.180.0.1:8080"])]),
        PacketFlow(
            name: "slices merge, by port name and protocol, and only those of the Service's namespace",
            objects: [
                Objects.service("web") {
                    $0.clusterIPs = [Objects.ip("172.30.0.41")]
                    $0.ports = [Objects.servicePort(80, "http"), Objects.servicePort(443, "https")]
                },
                Objects.slice(
                    "web-1", of: "web", ports: [Objects.port(8080, "http"), Objects.port(8443, "https")], [Objects.ready("10.0.0.1")]),
                Objects.slice(
                    "web-2", of: "web", ports: [Objects.port(9090, "http"), Objects.port(1, "https", .udp)], [Objects.ready("10.0.0.2")]),
                Objects.slice("web-3", of: "web", ports: [Objects.port(nil, "http")], [Objects.ready("10.0.0.3")]),
                Objects.slice("web-4", of: "web", namespace: "other", ports: [Objects.port(8080, "http")], [Objects.ready("10.0.0.4")]),
                Objects.slice("web-5", of: nil, ports: [Objects.port(8080, "http")], [Objects.ready("10.0.0.5")]),
            ],
            flows: [("172.30.0.41:80", ["10.0.0.1:8080", "10.0.0.2:9090"]), ("172.30.0.41:443", ["10.0.0.1:8443"])]),
        PacketFlow(
            name: "endpoints that are not ready are left out",
            objects: web(
                Objects.slice("web-1", of: "web", [Objects.ready("10.0.0.1"), Objects.unready("10.0.0.2"), Objects.draining("10.0.0.3")])),
            flows: [("172.30.0.41:80", ["10.0.0.1:8080"])]),
        PacketFlow(
            name: "with no ready endpoint those that serve while terminating are used",
            objects: web(
                Objects.slice(
                    "web-1", of: "web",
                    [Objects.unready("10.0.0.2"), Objects.draining("10.0.0.3"), Objects.draining("10.0.0.4", serving: false)])),
            flows: [("172.30.0.41:80", ["10.0.0.3:8080"])]),
        PacketFlow(
            name: "with no usable endpoint clients are refused",
            objects: web(Objects.slice("web-1", of: "web", [Objects.unready("10.0.0.2")])),
            flows: [("172.30.0.41:80", .refused)]),
        PacketFlow(
            name: "with no slice at all clients are refused",
            objects: web(),
            flows: [("172.30.0.41:80", .refused)]),
        PacketFlow(
            name: "an address in two slices counts once, and the entry that does not terminate is the true one",
            objects: web(
                Objects.slice("web-1", of: "web", [Objects.ready("10.0.0.1"), Objects.draining("10.0.0.2")]),
                Objects.slice("web-2", of: "web", [Objects.draining("10.0.0.1"), Objects.ready("10.0.0.2")])),
            flows: [("172.30.0.41:80", ["10.0.0.1:8080", "10.0.0.2:8080"])]),
        PacketFlow(
            name: "each family goes to its own endpoints",
            objects: [
                dualStackService,
                Objects.slice("web-4", of: "web", [Objects.ready("10.0.0.1")]),
                Objects.slice("web-6", of: "web", family: .ipv6, [Objects.ready("fd00:10::1")]),
            ],
            flows: [
                ("172.30.0.41:80", ["10.0.0.1:8080"]), ("[fd00:172::41]:80", ["[fd00:10::1]:8080"]), ("192.0.2.1:30080", ["10.0.0.1:8080"]),
                ("[2001:db8::1]:30080", ["[fd00:10::1]:8080"]),
            ]),
        PacketFlow(
            name: "slices of one family serve the frontends of both",
            objects: [dualStackService, Objects.slice("web-6", of: "web", family: .ipv6, [Objects.ready("fd00:10::1")])],
            flows: [("172.30.0.41:80", ["[fd00:10::1]:8080"]), ("[fd00:172::41]:80", ["[fd00:10::1]:8080"])]),
        PacketFlow(
            name: "a family whose endpoints have all gone is refused, not sent to the other family",
            objects: [
                dualStackService,
                Objects.slice("web-4", of: "web", [Objects.ready("10.0.0.1")]),
                Objects.slice("web-6", of: "web", family: .ipv6, [Objects.unready("fd00:10::1")]),
            ],
            flows: [("172.30.0.41:80", ["10.0.0.1:8080"]), ("[fd00:172::41]:80", .refused)]),
        PacketFlow(
            name: "FQDN slices and slices of headless Services are left out",
            objects: web(
                Objects.slice("web-1", of: "web", family: nil, [Objects.ready("10.0.0.1")]),
                Objects.slice("web-2", of: "web", labels: ["service.kubernetes.io/headless": ""], [Objects.ready("10.0.0.2")]),
                Objects.slice("web-3", of: "web", [Objects.ready("10.0.0.3")])),
            flows: [("172.30.0.41:80", ["10.0.0.3:8080"])]),
        PacketFlow(
            name: "Endpoints stand in where there is no slice",
            objects: web(Objects.endpoints("web", [subset(["10.0.0.1"], notReady: ["10.0.0.2"], 8080), subset(["10.0.0.3"], 9090)])),
            flows: [("172.30.0.41:80", ["10.0.0.1:8080", "10.0.0.3:9090"])]),
        PacketFlow(
            name: "Endpoints are not looked at where there is a slice",
            objects: web(
                Objects.slice("web-1", of: "web", [Objects.ready("10.0.0.9")]), Objects.endpoints("web", [subset(["10.0.0.1"], 8080)])),
            flows: [("172.30.0.41:80", ["10.0.0.9:8080"])]),
        PacketFlow(
            name: "ExternalName and headless Services and those of another proxy have no listener",
            objects: [
                Objects.service("alias") {
                    $0.type = .externalName
                    $0.clusterIPs = [Objects.ip("172.30.0.1")]
                    $0.ports = [Objects.servicePort(80)]
                },
                Objects.service("headless") {
                    $0.isHeadless = true
                    $0.externalIPs = [Objects.ip("172.30.0.2")]
                    $0.ports = [Objects.servicePort(80)]
                },
                Objects.service("foreign", labels: ["service.kubernetes.io/service-proxy-name": "other"]) {
                    $0.clusterIPs = [Objects.ip("172.30.0.3")]
                    $0.ports = [Objects.servicePort(80)]
                },
                Objects.slice("headless-1", of: "headless", [Objects.ready("10.0.0.1")]),
            ],
            flows: [("172.30.0.1:80", .notHandled), ("172.30.0.2:80", .notHandled), ("172.30.0.3:80", .notHandled)]),
        PacketFlow(
            name: "an endpoint that is one of our own listeners is left out",
            objects: [
                Objects.service("front") {
                    $0.externalIPs = [.loopbackIPv4]
                    $0.ports = [Objects.servicePort(80)]
                    $0.inlineEndpoints = [Objects.socket("127.0.0.1:81"), Objects.socket("127.0.0.1:30000"), Objects.socket("10.0.0.1:80")]
                },
                Objects.service("next") {
                    $0.externalIPs = [.loopbackIPv4]
                    $0.ports = [Objects.servicePort(81)]
                    $0.inlineEndpoints = [Objects.socket("127.0.0.1:81")]
                },
                Objects.service("node") {
                    $0.type = .nodePort
                    $0.ports = [Objects.servicePort(80, nodePort: 30000)]
                    $0.inlineEndpoints = [Objects.socket("10.0.0.7:30000")]
                },
            ],
            flows: [("127.0.0.1:80", ["10.0.0.1:80"]), ("127.0.0.1:81", .refused), ("192.0.2.1:30000", ["10.0.0.7:30000"])]),
    ]

    static let datagrams: [PacketFlow] = [
        PacketFlow(
            name: "a UDP port is served on every address that a TCP port is",
            objects: [
                Objects.service("dns") {
                    $0.type = .loadBalancer
                    $0.clusterIPs = [Objects.ip("172.30.0.10"), Objects.ip("fd00:172::10")]
                    $0.externalIPs = [Objects.ip("192.168.99.11")]
                    $0.loadBalancerIPs = [Objects.ip("1.2.3.4")]
                    $0.ports = [Objects.servicePort(53, "", .udp, nodePort: 30053)]
                },
                Objects.slice("dns-1", of: "dns", ports: [Objects.port(5353, "", .udp)], [Objects.ready("10.180.0.1")]),
            ],
            flows: [
                ("udp 172.30.0.10:53", ["10.180.0.1:5353"]), ("udp [fd00:172::10]:53", ["10.180.0.1:5353"]),
                ("udp 192.168.99.11:53", ["10.180.0.1:5353"]), ("udp 1.2.3.4:53", ["10.180.0.1:5353"]),
                ("udp 192.168.0.2:30053", ["10.180.0.1:5353"]), ("udp [2001:db8::1]:30053", ["10.180.0.1:5353"]),
                ("172.30.0.10:53", .notHandled), ("192.168.0.2:30053", .notHandled),
            ]),
        PacketFlow(
            name: "one number on TCP and UDP is two frontends, each with the ports of its protocol",
            objects: [
                Objects.service("dns") {
                    $0.type = .nodePort
                    $0.clusterIPs = [Objects.ip("172.30.0.10")]
                    $0.ports = [
                        Objects.servicePort(53, "dns", .udp, nodePort: 30053), Objects.servicePort(53, "dns-tcp", nodePort: 30053),
                    ]
                },
                Objects.slice(
                    "dns-1", of: "dns", ports: [Objects.port(5353, "dns", .udp), Objects.port(5354, "dns-tcp")],
                    [Objects.ready("10.0.0.1")]),
                // A TCP port of the UDP port's name is not that port.
                Objects.slice("dns-2", of: "dns", ports: [Objects.port(53, "dns")], [Objects.ready("10.0.0.2")]),
            ],
            flows: [
                ("udp 172.30.0.10:53", ["10.0.0.1:5353"]), ("172.30.0.10:53", ["10.0.0.1:5354"]),
                ("udp 192.168.0.2:30053", ["10.0.0.1:5353"]), ("192.168.0.2:30053", ["10.0.0.1:5354"]),
            ]),
        PacketFlow(
            name: "inline endpoints and Endpoints serve both protocols",
            objects: [
                Objects.service("dns") {
                    $0.externalIPs = [Objects.ip("172.30.0.10")]
                    $0.ports = [Objects.servicePort(53, "dns", .udp), Objects.servicePort(53, "dns-tcp")]
                    $0.inlineEndpoints = [Objects.socket("10.0.0.1:53"), Objects.socket("10.0.0.2:53")]
                },
                Objects.service("ntp") {
                    $0.externalIPs = [Objects.ip("172.30.0.11")]
                    $0.ports = [Objects.servicePort(123, "", .udp)]
                },
                Objects.endpoints("ntp", [subset(["10.0.0.3"], notReady: ["10.0.0.4"], 123, .udp)]),
            ],
            flows: [
                ("udp 172.30.0.10:53", ["10.0.0.1:53", "10.0.0.2:53"]), ("172.30.0.10:53", ["10.0.0.1:53", "10.0.0.2:53"]),
                ("udp 172.30.0.11:123", ["10.0.0.3:123"]),
            ]),
        PacketFlow(
            name: "a UDP port without endpoints refuses its clients, and its TCP twin goes on",
            objects: [
                Objects.service("dns") {
                    $0.clusterIPs = [Objects.ip("172.30.0.10")]
                    $0.ports = [Objects.servicePort(53, "dns", .udp), Objects.servicePort(53, "dns-tcp")]
                },
                Objects.slice("dns-1", of: "dns", ports: [Objects.port(53, "dns-tcp")], [Objects.ready("10.0.0.1")]),
            ],
            flows: [("udp 172.30.0.10:53", .refused), ("172.30.0.10:53", ["10.0.0.1:53"])]),
        PacketFlow(
            name: "an endpoint is one of our own listeners only where it is asked by the same protocol",
            objects: [
                Objects.echo("tcp", "127.0.0.1:53", ["127.0.0.1:5300"]),
                Objects.echo("udp", "udp 127.0.0.1:5300", ["127.0.0.1:53", "127.0.0.1:5301"]),
                Objects.echo("loop", "udp 127.0.0.1:5301", ["127.0.0.1:5300", "127.0.0.1:30053"]),
                Objects.service("node") {
                    $0.type = .nodePort
                    $0.ports = [Objects.servicePort(53, nodePort: 30053)]
                    $0.inlineEndpoints = [Objects.socket("127.0.0.1:5301")]
                },
            ],
            flows: [
                ("127.0.0.1:53", ["127.0.0.1:5300"]), ("udp 127.0.0.1:5300", ["127.0.0.1:53"]),
                ("udp 127.0.0.1:5301", ["127.0.0.1:30053"]), ("127.0.0.1:30053", ["127.0.0.1:5301"]),
            ]),
    ]

    private static func web(_ dependents: KubernetesObject...) -> [KubernetesObject] {
        [
            Objects.service("web") {
                $0.clusterIPs = [Objects.ip("172.30.0.41")]
                $0.ports = [Objects.servicePort(80)]
            }
        ] + dependents
    }

    private static let dualStackService = Objects.service("web") {
        $0.type = .nodePort
        $0.clusterIPs = [Objects.ip("172.30.0.41"), Objects.ip("fd00:172::41")]
        $0.ports = [Objects.servicePort(80, nodePort: 30080)]
    }

    private static func subset(
        _ addresses: [String], notReady: [String] = [], _ port: Int, _ transport: TransportProtocol = .tcp
    ) -> Endpoints.Subset {
        var subset = Endpoints.Subset()
        subset.addresses = addresses.map { Endpoints.Address(Objects.ip($0)) }
        subset.notReadyAddresses = notReady.map { Endpoints.Address(Objects.ip($0)) }
        subset.ports = [Objects.port(port, "", transport)]
        return subset
    }
}

struct PacketFlowTests {
    @Test(arguments: PacketFlow.all + PacketFlow.datagrams)
    func clientsReachExactlyTheEndpointsExpected(of scenario: PacketFlow) {
        var compiler = SnapshotCompiler()
        _ = compiler.compile(scenario.objects)
        for flow in scenario.flows {
            #expect(compiler.snapshot.verdict(to: flow.to) == flow.verdict, "to \(flow.to)")
        }
    }

    @Test(arguments: PacketFlow.all + PacketFlow.datagrams)
    func theOrderOfObjectsDoesNotMatter(in scenario: PacketFlow) {
        var compiler = SnapshotCompiler()
        _ = compiler.compile(scenario.objects.reversed())
        for flow in scenario.flows {
            #expect(compiler.snapshot.verdict(to: flow.to) == flow.verdict, "to \(flow.to)")
        }
    }

    @Test func clientIPAffinitySendsOneClientToOneEndpointOnEveryAddressOfThePort() {
        var compiler = SnapshotCompiler()
        _ = compiler.compile([
            Objects.service("web") {
                $0.clusterIPs = [Objects.ip("172.30.0.41")]
                $0.externalIPs = [Objects.ip("192.0.2.9")]
                $0.affinity = .clientIP
                $0.ports = [Objects.servicePort(80)]
            },
            Objects.slice("web-1", of: "web", (1...9).map { Objects.ready("10.0.0.\($0)") }),
        ])
        let verdict = compiler.snapshot.verdict(client: "198.51.100.7", to: "172.30.0.41:80")
        guard case .reaches(let endpoints) = verdict else {
            Issue.record("\(verdict)")
            return
        }
        #expect(endpoints.count == 1)
        #expect(compiler.snapshot.verdict(client: "198.51.100.7", to: "192.0.2.9:80") == verdict)
    }
}
