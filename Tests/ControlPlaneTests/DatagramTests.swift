import Addressing
import Routing
import ServiceModel
import Testing

@testable import ControlPlane

/// What a UDP port is told of its Service, and what its notices say.
@Suite struct DatagramTests {
    private static func datagrams(
        _ port: Int, appProtocol: String? = nil, _ transport: TransportProtocol = .udp,
        _ change: (inout Service.Settings) -> Void = { _ in }
    ) throws -> DatagramSettings {
        var compiler = SnapshotCompiler()
        let listen = "\(transport == .udp ? "udp " : "")127.0.0.1:\(port)"
        let object = Objects.echo("a", listen, ["10.0.0.1:80"]) {
            $0.ports[0].appProtocol = appProtocol
            change(&$0.settings)
        }
        return try #require(compiler.compile([object]).snapshot?.group(listen)).settings.datagrams
    }

    // MARK: Classes

    static let usual: [(Int, String?, UDPClass)] = [
        (53, nil, .oneReply), (123, nil, .oneReply), (514, nil, .oneWay), (8125, nil, .oneWay), (9300, nil, .session), (443, nil, .session),
        (9300, "dns", .oneReply), (9300, "domain", .oneReply), (9300, "example.com/DNS", .oneReply), (9300, "ntp", .oneReply),
        (9300, "syslog", .oneWay), (9300, "statsd", .oneWay), (9300, "kubernetes.io/dnstap", .session),
        // What a port says of itself counts before its number.
        (53, "statsd", .oneWay), (53, "quic", .session), (514, "dns.example.com/quic", .session),
    ]

    @Test(arguments: usual)
    func theClassFollowsFromTheProtocolThatAPortNamesElseFromItsNumber(_ port: Int, _ appProtocol: String?, _ expected: UDPClass) throws {
        #expect(try Self.datagrams(port, appProtocol: appProtocol).udpClass == expected)
    }

    @Test(arguments: Service.UDPClass.allCases)
    func theAnnotationCountsBeforeBoth(_ udpClass: Service.UDPClass) throws {
        #expect(try Self.datagrams(53, appProtocol: "syslog") { $0.udpClass = udpClass }.udpClass.rawValue == udpClass.rawValue)
    }

    // MARK: Settings

    @Test func timesAndLimitsReachTheGroup() throws {
        let plain = try Self.datagrams(9300)
        #expect(plain == DatagramSettings())
        #expect(plain.unansweredTimeout == .seconds(30) && plain.answeredTimeout == .seconds(120))
        #expect(plain.replyRatioMax == nil && plain.datagramsPerSourceMax == nil)
        let set = try Self.datagrams(9300) {
            $0.udpTimeout = .seconds(5)
            $0.udpStreamTimeout = .seconds(600)
            $0.udpReplyRatioMax = 10
            $0.udpRatePerSource = 1000
        }
        #expect(set.unansweredTimeout == .seconds(5) && set.answeredTimeout == .seconds(600))
        #expect(set.replyRatioMax == 10 && set.datagramsPerSourceMax == 1000)
    }

    @Test func algorithmLimitsAndEjectionAreThoseOfTCP() throws {
        var compiler = SnapshotCompiler()
        let object = Objects.echo("a", "udp 127.0.0.1:53", ["10.0.0.1:53", "10.0.0.2:53"]) {
            $0.affinity = .clientIP
            $0.settings.connectionsMax = 10
            $0.settings.connectionsPerSourceMax = 2
            $0.settings.ejectAfter = 3
            $0.settings.weights = [EndpointWeight(address: Objects.ip("10.0.0.2"), weight: 3)]
        }
        let group = try #require(compiler.compile([object]).snapshot?.group("udp 127.0.0.1:53"))
        #expect(group.selection == .clientIP && group.settings.connectionsMax == 10 && group.settings.connectionsPerSourceMax == 2)
        #expect(group.settings.ejectAfter == 3 && group.endpoints.map(\.weight) == [1, 3])
        #expect(group.service == ServicePortName(namespace: "default", name: "a", port: "", transport: .udp))
    }

    @Test func whatIsOfOneProtocolIsNoneOfTheOthersBusiness() throws {
        func dns(_ change: (inout Service.Settings) -> Void = { _ in }) -> KubernetesObject {
            Objects.service("dns") {
                $0.externalIPs = [.loopbackIPv4]
                $0.ports = [Objects.servicePort(53, "dns", .udp), Objects.servicePort(53, "dns-tcp")]
                $0.inlineEndpoints = [Objects.socket("10.0.0.1:53")]
                change(&$0.settings)
            }
        }
        var compiler = SnapshotCompiler()
        let plain = try #require(compiler.compile([dns()]).snapshot)
        #expect(plain.group("127.0.0.1:53")?.settings.datagrams == DatagramSettings())
        let ofUDP = try #require(compiler.compile([dns { $0.udpClass = .session }]).snapshot)
        #expect(ofUDP.group("127.0.0.1:53") === plain.group("127.0.0.1:53"))
        #expect(ofUDP.group("udp 127.0.0.1:53") !== plain.group("udp 127.0.0.1:53"))
        let range = try #require(IPRange("10.0.0.0/8"))
        let ofTCP = try #require(
            compiler.compile([
                dns {
                    $0.udpClass = .session
                    $0.proxyProtocol = .v2
                    $0.acceptProxyProtocolFrom = [range]
                    $0.unexpectedProxyHeader = .close
                    $0.idleTimeout = .seconds(5)
                }
            ]).snapshot)
        #expect(ofTCP.group("127.0.0.1:53") !== plain.group("127.0.0.1:53"))
        #expect(ofTCP.group("127.0.0.1:53")?.settings.proxyProtocol == .v2)
        #expect(ofTCP.group("udp 127.0.0.1:53") === ofUDP.group("udp 127.0.0.1:53"))
    }

    @Test func theEndpointsOfAUDPPortAreAskedAsTheServiceSaysAndWithoutAProxyHeader() throws {
        var compiler = SnapshotCompiler()
        let object = Objects.echo("dns", "udp 127.0.0.1:53", ["10.0.0.1:53"]) {
            $0.settings.healthCheck = .probe(.httpGet(path: "/ready", headers: []), port: PortNumber(8181))
            $0.settings.proxyProtocol = .v2
        }
        let probes = compiler.compile([object]).probes
        let key = EndpointKey(
            service: ServicePortName(namespace: "default", name: "dns", port: "", transport: .udp), endpoint: Objects.socket("10.0.0.1:53"))
        #expect(probes[key]?.map(\.destination) == [Objects.socket("10.0.0.1:8181")])
        #expect(probes[key]?.map(\.proxyProtocol) == [nil])
    }

    // MARK: Notices

    @Test func noticesSayTheProtocolOfTheirPort() {
        func notices(_ objects: KubernetesObject...) -> [String] {
            var compiler = SnapshotCompiler()
            return compiler.compile(objects).notices.map(\.message)
        }
        func dns(_ transport: TransportProtocol) -> KubernetesObject {
            Objects.service("dns") {
                $0.externalIPs = [.loopbackIPv4]
                $0.ports = [Objects.servicePort(53, "dns", transport)]
            }
        }
        let slice = Objects.slice(
            "dns-1", of: "dns", ports: [Objects.port(53, "dns-udp", .udp), Objects.port(53, "dns")], [Objects.ready("10.0.0.1")])
        #expect(notices(dns(.tcp), slice) == [])
        #expect(
            notices(dns(.udp), slice) == [
                "Service default/dns:dns has no endpoints: no EndpointSlice of it has a UDP port named \"dns\" "
                    + "(UDP ports there: \"dns-udp\")"
            ])
        #expect(
            notices(dns(.udp), Objects.slice("dns-1", of: "dns", ports: [Objects.port(53, "dns")], [Objects.ready("10.0.0.1")])) == [
                "Service default/dns:dns has no endpoints: no EndpointSlice of it has a UDP port named \"dns\" "
                    + "(none of its ports is UDP)"
            ])
        let idle = [EndpointWeight(address: Objects.ip("10.0.0.1"), weight: 0)]
        #expect(
            notices(Objects.echo("a", "udp 127.0.0.1:53", ["10.0.0.1:53"]) { $0.settings.weights = idle }) == [
                "Service default/a: every endpoint has weight 0, so clients are refused"
            ])
        #expect(
            notices(
                Objects.echo("a", "udp 127.0.0.1:53", ["10.0.0.1:53"]), Objects.echo("b", "udp 127.0.0.1:53", ["10.0.0.1:53"]),
                Objects.echo("c", "127.0.0.1:53", ["10.0.0.1:53"])) == [
                    "Service default/b can't have udp 127.0.0.1:53 (externalIP): Service default/a has it; give one of them another "
                        + "address or port"
                ])
    }
}
