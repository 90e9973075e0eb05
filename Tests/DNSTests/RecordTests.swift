import Addressing
import Testing

@testable import DNS
@testable import Fuzz

/// What each kind of name answers.
struct RecordTests {
    private let world = World.cluster

    @Test(arguments: [
        // A Service with virtual addresses, whatever its type.
        ("web.prod.svc", "A", ["10.96.0.7"]), ("web.prod.svc", "AAAA", ["fd00:10:96::7"]), ("balanced.prod.svc", "A", ["10.96.0.9"]),
        ("balanced.prod.svc", "AAAA", []), ("web.prod.svc", "TXT", []), ("lonely.prod.svc", "A", ["10.96.0.8"]),
        ("nothing.prod.svc", "A", ["NXDOMAIN"]), ("web.other.svc", "A", ["NXDOMAIN"]), ("web.prod", "A", ["NXDOMAIN"]),
        // Its ports.
        ("_http._tcp.web.prod.svc", "SRV", ["0 100 80 web.prod.svc.cluster.local."]),
        ("_dns._udp.web.prod.svc", "SRV", ["0 100 53 web.prod.svc.cluster.local."]),
        ("_dns._tcp.web.prod.svc", "SRV", ["NXDOMAIN"]), ("_http._tcp.web.prod.svc", "A", []), ("_tcp.web.prod.svc", "SRV", []),
        ("_udp.lonely.prod.svc", "SRV", ["NXDOMAIN"]),
        ("web.prod.svc", "SRV", ["0 50 53 web.prod.svc.cluster.local.", "0 50 80 web.prod.svc.cluster.local."]),
        ("lonely.prod.svc", "SRV", ["0 100 80 lonely.prod.svc.cluster.local."]),
        // Its endpoints.
        ("one.web.prod.svc", "A", ["10.1.0.1"]), ("10-1-0-3.web.prod.svc", "A", ["10.1.0.3"]),
        ("10-1-0-2.web.prod.svc", "A", ["NXDOMAIN"]), ("one.web.prod.svc", "AAAA", []), ("one.web.prod.svc", "SRV", []),
        // A Service without.
        ("db.prod.svc", "A", ["10.1.1.1", "10.1.1.2"]), ("db.prod.svc", "AAAA", ["fd00:1::1"]), ("db-0.db.prod.svc", "A", ["10.1.1.1"]),
        ("db-0.db.prod.svc", "AAAA", ["fd00:1::1"]), ("db-2.db.prod.svc", "A", ["NXDOMAIN"]), ("a.db-0.db.prod.svc", "A", ["NXDOMAIN"]),
        ("_admin._tcp.db.prod.svc", "SRV", ["0 50 81 db-0.db.prod.svc.cluster.local.", "0 50 81 db-1.db.prod.svc.cluster.local."]),
        ("idle.prod.svc", "A", ["NXDOMAIN"]), ("idle.prod.svc", "SRV", ["NXDOMAIN"]),
        // Pods that it selects, with ports of their own.
        ("set.prod.svc", "A", ["10.1.2.1", "10.1.2.2"]), ("set-1.set.prod.svc", "A", ["10.1.2.2"]),
        ("_raft._tcp.set.prod.svc", "SRV", ["0 50 7001 set-0.set.prod.svc.cluster.local.", "0 50 7001 set-1.set.prod.svc.cluster.local."]),
        // Aliases.
        ("out.prod.svc", "CNAME", ["www.example.com."]), ("out.prod.svc", "A", ["www.example.com."]), ("out.prod.svc", "SRV", []),
        ("a.out.prod.svc", "A", ["NXDOMAIN"]), ("in.prod.svc", "AAAA", ["fd00:10:96::7", "web.prod.svc.cluster.local."]),
        ("in.prod.svc", "CNAME", ["web.prod.svc.cluster.local."]), ("in.prod.svc", "MX", ["web.prod.svc.cluster.local."]),
        ("gone.prod.svc", "A", ["NXDOMAIN"]),
        // What is above them.
        ("prod.svc", "A", []), ("empty.svc", "A", []), ("other.svc", "A", ["NXDOMAIN"]), ("svc", "A", []), ("pod", "A", ["NXDOMAIN"]),
        ("dns", "A", []), ("dns-version", "TXT", ["1.1.0"]), ("dns-version", "A", []), ("default", "A", ["NXDOMAIN"]),
    ])
    func namesOfTheDomainAreAnswered(name: String, type: String, expected: [String]) throws {
        #expect(try world.answer("\(name).cluster.local", type) == expected)
    }

    @Test func additionalRecordsAreTheTargetsAddresses() throws {
        let message = try world.ask("_sql._tcp.db.prod.svc.cluster.local", "SRV")
        #expect(
            message.answers.map(\.data).sorted() == [
                "0 33 15432 db-0.db.prod.svc.cluster.local.", "0 33 5432 db-0.db.prod.svc.cluster.local.",
                "0 33 5432 db-1.db.prod.svc.cluster.local.",
            ])
        #expect(
            message.additionals.map { "\($0.name) \($0.data)" }.sorted() == [
                "db-0.db.prod.svc.cluster.local. 10.1.1.1", "db-0.db.prod.svc.cluster.local. fd00:1::1",
                "db-1.db.prod.svc.cluster.local. 10.1.1.2",
            ])
        let all = try world.ask("web.prod.svc.cluster.local", "SRV")
        #expect(all.additionals.map(\.data).sorted() == ["10.96.0.7", "fd00:10:96::7"])
    }

    @Test func theAliasOfANameThatIsNotThereIsToldWithNXDOMAIN() throws {
        let message = try world.ask("gone.prod.svc.cluster.local")
        #expect(message.code == 3 && message.answers.map(\.typeName) == ["CNAME"] && message.authorities.map(\.typeName) == ["SOA"])
    }

    @Test func anAliasOutOfTheDomainTellsWhereTheRestIs() throws {
        let query = Packet.query("out.prod.svc.cluster.local", 1)
        let exchange = world.exchange(query)
        guard case .alias(let length, let target, let read) = exchange.outcome else {
            Issue.record("\(exchange.outcome)")
            return
        }
        #expect(length == exchange.reply.count && Array(exchange.reply[target...]) == Packet.name("www.example.com"))
        #expect(read.type == .a && read.id == 0x1234)
        for type in ["CNAME", "SRV", "ANY"] {
            let exchange = world.exchange(Packet.query("out.prod.svc.cluster.local", try #require(DNSMessage.type(named: type))))
            guard case .reply = exchange.outcome else {
                Issue.record("\(type): \(exchange.outcome)")
                continue
            }
        }
    }

    @Test func chainsEndAfterTenLinksAndAtTheFirstRepetition() throws {
        var manifests = Manifests.cluster + "\n"
        for link in 0..<12 {
            manifests += Manifests.alias(
                "link-\(link)", to: link == 11 ? "web.prod.svc.cluster.local" : "link-\(link + 1).prod.svc.cluster.local")
        }
        for (name, target) in [("ring", "rung"), ("rung", "ring"), ("self", "self")] {
            manifests += Manifests.alias(name, to: "\(target).prod.svc.cluster.local")
        }
        let world = try World(manifests)
        #expect(try world.ask("link-2.prod.svc.cluster.local").answers.map(\.typeName) == Array(repeating: "CNAME", count: 10) + ["A"])
        #expect(try world.ask("link-1.prod.svc.cluster.local").answers.map(\.typeName) == Array(repeating: "CNAME", count: 10))
        #expect(try world.answer("ring.prod.svc.cluster.local") == ["ring.prod.svc.cluster.local.", "rung.prod.svc.cluster.local."])
        #expect(try world.answer("self.prod.svc.cluster.local") == ["self.prod.svc.cluster.local."])
    }

    @Test func reverseNamesAreTheServicesOrTheirEndpoints() throws {
        #expect(try world.answer("7.0.96.10.in-addr.arpa", "PTR") == ["web.prod.svc.cluster.local."])
        #expect(try world.answer("1.0.1.10.in-addr.arpa", "PTR") == ["one.web.prod.svc.cluster.local."])
        #expect(try world.answer("1.1.1.10.IN-ADDR.ARPA", "PTR") == ["db-0.db.prod.svc.cluster.local."])
        let digits = "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f"
        #expect(try world.answer("\(digits).ip6.arpa", "PTR") == ["web.prod.svc.cluster.local."])
    }

    @Test func whatIsNotThereOfTheServicesRangesIsDenied() throws {
        for (name, type, code, zone) in [
            ("99.0.96.10.in-addr.arpa", "PTR", 3, "96.10.in-addr.arpa."), ("7.0.96.10.in-addr.arpa", "A", 0, "96.10.in-addr.arpa."),
            ("0.96.10.in-addr.arpa", "PTR", 0, "96.10.in-addr.arpa."), ("1.7.0.96.10.in-addr.arpa", "PTR", 3, "96.10.in-addr.arpa."),
            ("x.0.111.10.in-addr.arpa", "PTR", 3, "111.10.in-addr.arpa."), ("07.0.96.10.in-addr.arpa", "PTR", 3, "96.10.in-addr.arpa."),
        ] {
            let message = try world.ask(name, type)
            #expect(message.code == UInt16(code) && message.answers.isEmpty, "\(name)")
            #expect(message.authorities.map { "\($0.typeName) \($0.name)" } == ["SOA \(zone)"], "\(name)")
            #expect(message.authorities[0].data.hasPrefix("ns.dns.\(zone) hostmaster.\(zone) "))
        }
        #expect(try world.ask("96.10.in-addr.arpa", "SOA").answers.map(\.name) == ["96.10.in-addr.arpa."])
        #expect(try world.ask("7.0.96.10.in-addr.arpa", "ANY").answers.map(\.typeName) == ["HINFO"])
    }

    @Test(arguments: [
        "www.example.com", ".", "local", "cluster.local.example.com", "xcluster.local", "1.0.0.10.in-addr.arpa", "10.in-addr.arpa",
        "in-addr.arpa", "112.10.in-addr.arpa", "1.ip6.arpa", "a.b", "web.prod.svc",
    ])
    func othersNamesAreLeftToOthers(name: String) throws {
        guard case .forward(let query) = world.exchange(Packet.query(name, 12)).outcome else {
            Issue.record("\(name) was answered")
            return
        }
        #expect(query.nameLength == Packet.name(name).count && query.questionEnd == 12 + query.nameLength + 4)
    }

    @Test func endpointsOfOneAddressAreAllNamed() throws {
        let world = try World(
            ["a", "b"].map { name in
                """
                ---
                {apiVersion: v1, kind: Service, metadata: {name: \(name)}, spec: {clusterIP: None, ports: [{port: 80}]}}
                ---
                apiVersion: v1
                kind: Endpoints
                metadata: {name: \(name)}
                subsets: [{addresses: [{ip: 10.1.0.1, hostname: host}, {ip: 10.96.0.7}], ports: [{port: 80}]}]

                """
            }.joined() + """
                ---
                apiVersion: v1
                kind: Service
                metadata: {name: c}
                spec: {clusterIP: 10.96.0.7, clusterIPs: [10.96.0.7], ports: [{port: 80}]}
                """)
        #expect(
            try world.answer("1.0.1.10.in-addr.arpa", "PTR") == ["host.a.default.svc.cluster.local.", "host.b.default.svc.cluster.local."])
        // An address of a Service is its own.
        #expect(try world.answer("7.0.96.10.in-addr.arpa", "PTR") == ["c.default.svc.cluster.local."])
    }

    @Test func inlineEndpointsHaveNamesToo() throws {
        let world = try World(
            """
            apiVersion: v1
            kind: Service
            metadata: {name: db, annotations: {ringway.dev/endpoints: "10.1.0.1:5000,10.1.0.2:5001"}}
            spec: {clusterIP: None, ports: [{name: sql, port: 5432}]}
            """)
        #expect(try world.answer("db.default.svc.cluster.local") == ["10.1.0.1", "10.1.0.2"])
        #expect(
            try world.answer("_sql._tcp.db.default.svc.cluster.local", "SRV") == [
                "0 50 5000 10-1-0-1.db.default.svc.cluster.local.", "0 50 5001 10-1-0-2.db.default.svc.cluster.local.",
            ])
    }

    // MARK: - Pods

    @Test(arguments: [
        ("10-1-2-1.prod.pod", "A", ["NXDOMAIN"], ["10.1.2.1"], ["10.1.2.1"]), ("10-1-2-1.prod.pod", "AAAA", ["NXDOMAIN"], [], []),
        ("10-9-9-9.prod.pod", "A", ["NXDOMAIN"], ["10.9.9.9"], ["NXDOMAIN"]),
        ("10-1-2-1.empty.pod", "A", ["NXDOMAIN"], ["10.1.2.1"], ["NXDOMAIN"]),
        ("10-1-2-1.other.pod", "A", ["NXDOMAIN"], ["NXDOMAIN"], ["NXDOMAIN"]),
        ("10-1-2.prod.pod", "A", ["NXDOMAIN"], ["NXDOMAIN"], ["NXDOMAIN"]),
        ("010-1-2-1.prod.pod", "A", ["NXDOMAIN"], ["NXDOMAIN"], ["NXDOMAIN"]),
        ("fd00--1.prod.pod", "AAAA", ["NXDOMAIN"], ["fd00::1"], ["NXDOMAIN"]),
        ("a.10-1-2-1.prod.pod", "A", ["NXDOMAIN"], ["NXDOMAIN"], ["NXDOMAIN"]), ("prod.pod", "A", ["NXDOMAIN"], [], []),
        ("other.pod", "A", ["NXDOMAIN"], ["NXDOMAIN"], ["NXDOMAIN"]), ("pod", "A", ["NXDOMAIN"], [], []),
    ])
    func podsAreNamedByTheirAddress(name: String, type: String, disabled: [String], insecure: [String], verified: [String]) throws {
        for (mode, expected) in [(PodNames.disabled, disabled), (.insecure, insecure), (.verified, verified)] {
            var world = world
            world.settings.podNames = mode
            #expect(try world.answer("\(name).cluster.local", type) == expected, "\(mode)")
        }
    }

    @Test(arguments: [
        ("1-2-3-4", "1.2.3.4"), ("5678-abcd--1", "5678:abcd::1"), ("--1", "::1"), ("fd00--0", "fd00::"),
        ("1-2-3-4-5-6-7-8", "1:2:3:4:5:6:7:8"),
        ("FD00--A", "fd00::a"), ("1--2-3", "1::2:3"), ("1-2-3-4-5-6-7", nil), ("1-2-3-4-5-6-7-8-9", nil), ("1--2--3", nil), ("1-2-3-", nil),
        ("-1-2-3", nil), ("256-1-1-1", nil), ("1-2-3-x", nil), ("12345--1", nil), ("1--2-", nil), ("-1--2", nil), ("x", nil),
        ("1---2", nil),
        ("1-2-3-4-5-6-7--8", nil),
    ])
    func aLabelIsAnAddressOrNot(label: String, expected: String?) {
        let bytes = Array("<\(label)>".utf8)
        #expect(IPAddress(dashed: bytes.span, 1..<bytes.count - 1)?.description == expected)
    }

    // MARK: - The apex

    @Test func theApexHasAnAuthorityAndNameServers() throws {
        var world = world
        world.settings.serverAddresses = ["192.0.2.53", "2001:db8::53"].map(DNSFuzzing.address)
        let soa = try world.ask("cluster.local", "SOA")
        #expect(soa.answers.map(\.data) == ["ns.dns.cluster.local. hostmaster.cluster.local. 2 7200 1800 86400 5"])
        let servers = try world.ask("cluster.local", "NS")
        #expect(servers.answers.map(\.data) == ["ns.dns.cluster.local."])
        #expect(
            servers.additionals.map { "\($0.name) \($0.data)" } == [
                "ns.dns.cluster.local. 192.0.2.53", "ns.dns.cluster.local. 2001:db8::53",
            ])
        #expect(try world.answer("ns.dns.cluster.local", "AAAA") == ["2001:db8::53"])
        #expect(try world.answer("ns.dns.cluster.local", "TXT") == [])
        #expect(try world.answer("cluster.local", "A") == [])
    }

    @Test func aServerThatIsAServiceIsNamedByIt() throws {
        var world = world
        world.settings.serverAddresses = ["10.1.0.1", "10.1.0.3", "10.1.1.2", "10.96.0.8"].map(DNSFuzzing.address)
        let servers = try world.ask("cluster.local", "NS")
        #expect(
            servers.answers.map(\.data).sorted() == [
                "db-1.db.prod.svc.cluster.local.", "lonely.prod.svc.cluster.local.", "web.prod.svc.cluster.local.",
            ])
        #expect(
            servers.additionals.map { "\($0.name) \($0.data)" }.sorted() == [
                "db-1.db.prod.svc.cluster.local. 10.1.1.2", "lonely.prod.svc.cluster.local. 10.96.0.8",
                "web.prod.svc.cluster.local. 10.96.0.7",
                "web.prod.svc.cluster.local. fd00:10:96::7",
            ])
    }

    @Test func beforeTheFirstObjectsMissingNamesAreAFailure() throws {
        let message = try world.ask("web.prod.svc.cluster.local", zone: .empty)
        #expect(message.code == 2 && message.authorities.map(\.typeName) == ["SOA"])
        #expect(try world.ask("dns-version.cluster.local", "TXT", zone: .empty).answers.map(\.data) == ["1.1.0"])
    }

    @Test func anyGetsOneRecord() throws {
        #expect(try world.answer("web.prod.svc.cluster.local", "ANY") == ["RFC8482 "])
        #expect(try world.answer("in.prod.svc.cluster.local", "ANY") == ["web.prod.svc.cluster.local."])
        #expect(try world.answer("nothing.prod.svc.cluster.local", "ANY") == ["NXDOMAIN"])
        #expect(try world.answer("prod.svc.cluster.local", "ANY") == ["RFC8482 "])
    }

    @Test func servicesWithoutEndpointsAreHiddenOnRequest() throws {
        var world = world
        world.settings.hidesServicesWithoutEndpoints = true
        #expect(try world.answer("lonely.prod.svc.cluster.local") == ["NXDOMAIN"])
        #expect(try world.answer("_https._tcp.balanced.prod.svc.cluster.local", "SRV") == ["NXDOMAIN"])
        #expect(try world.answer("web.prod.svc.cluster.local") == ["10.96.0.7"])
        #expect(try world.answer("_http._tcp.web.prod.svc.cluster.local", "SRV") == ["0 100 80 web.prod.svc.cluster.local."])
    }

    @Test func anotherDomainIsServedAlike() throws {
        let world = try World(Manifests.cluster, domain: "k8s.example.org")
        #expect(try world.answer("web.prod.svc.k8s.example.org") == ["10.96.0.7"])
        #expect(try world.answer("7.0.96.10.in-addr.arpa", "PTR") == ["web.prod.svc.k8s.example.org."])
        // A target by the usual domain is somebody else's here.
        #expect(try world.answer("in.prod.svc.k8s.example.org") == ["web.prod.svc.cluster.local."])
    }

    // MARK: - Order and case

    @Test func addressesComeInChangingOrder() throws {
        var manifests = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {clusterIP: None, ports: [{port: 80}]}\n---\n"
        manifests += "apiVersion: v1\nkind: Endpoints\nmetadata: {name: s}\nsubsets: [{ports: [{port: 80}], addresses: "
        manifests += "[{ip: 10.1.0.1}, {ip: 10.1.0.2}, {ip: 10.1.0.3}]}]\n"
        let world = try World(manifests)
        var orders: [[String]: Int] = [:]
        for seed in 0..<600 {
            orders[try world.ask("s.default.svc.cluster.local", seed: UInt64(seed)).answers.map(\.data), default: 0] += 1
        }
        // Six orders, each a sixth of 600.
        #expect(orders.count == 6 && orders.values.allSatisfy { (60...140).contains($0) }, "\(orders)")
    }

    @Test func theCaseOfTheQuestionIsTheAnswers() throws {
        for name in ["WEB.prod.SVC.Cluster.LOCAL.", "web.PROD.svc.cluster.local."] {
            let message = try world.ask(name)
            #expect(message.questionName == name && message.answers.map(\.name) == [name])
        }
        let negative = try world.ask("x.Cluster.Local")
        #expect(negative.authorities.map(\.name) == ["Cluster.Local."])
    }
}
