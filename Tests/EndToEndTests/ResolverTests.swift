import Foundation
import Fuzz
import Testing

/// The cluster's DNS among others: unbound is asked for the names of the world, a host finds every sample's Service by name, and other
/// name servers ask Ringway.
///
///     dig, getent, sockets ──► ringway run --dns-listen ──► unbound, with zones of its own
///     sockets ──► unbound, dnsmasq, as Config/examples/dns has them ──► ringway run --dns-listen
extension EndToEndTests {
    @Suite struct ResolverTests {
        private func withNames(
            _ engine: String, upstream: String, options: [String] = [], _ body: (NameClient) throws -> Void
        ) throws {
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            try directory.replace("names.yaml", with: NameManifests.all)
            try withRingway(
                engine, [directory.path("names.yaml")],
                options: ["--dns-listen", "127.0.0.1:\(port)", "--dns-upstream", upstream, "--workers", "1"] + options,
                directory: directory
            ) { _ in
                try body(NameClient("127.0.0.1", port))
            }
        }

        // MARK: - Names of the world

        @Test(arguments: Engines.available)
        func unboundIsAskedOnceForNamesOfTheWorld(engine: String) throws {
            let unbound = try Unbound.world()
            try withNames(engine, upstream: unbound.place) { (client) throws in
                for overTCP in [false, true] {
                    func data(_ name: String, _ type: String = "A") throws -> [String] {
                        let message = try client.ask(name, type, overTCP: overTCP)
                        #expect(message.code == 0 && message.flags & 0x80 != 0, "\(name)")
                        return message.answers.map(\.data)
                    }
                    #expect(try data("service.test") == ["192.0.2.7"])
                    #expect(try data("service.test", "AAAA") == ["2001:db8::7"])
                    #expect(try data("alias.test") == ["service.test.", "192.0.2.7"])
                    #expect(try data("example.org") == ["service.test.", "192.0.2.7"])
                    #expect(try data("warehouse.example.com") == ["192.0.2.20"])
                    #expect(try data("7.2.0.192.in-addr.arpa", "PTR") == ["service.test."])
                    // An alias of ours.
                    #expect(try data("out.prod.svc.cluster.local") == ["example.org.", "service.test.", "192.0.2.7"])
                }
                for question in ["service.test. A", "service.test. AAAA", "alias.test. A", "warehouse.example.com. A"] {
                    #expect(unbound.queries(question) == 1, "\(question)")
                }
            }
        }

        @Test(arguments: Engines.available)
        func denialsComeWithTheirTimeAndAreKeptForIt(engine: String) throws {
            let unbound = try Unbound.world()
            try withNames(engine, upstream: unbound.place) { (client) throws in
                for (name, type, code) in [("nobody.test", "A", 3), ("service.test", "MX", 0)] as [(String, String, UInt16)] {
                    for overTCP in [false, true, false] {
                        let message = try client.ask(name, type, overTCP: overTCP)
                        #expect(message.code == code && message.answers.isEmpty)
                        let authority = try #require(message.authorities.first)
                        #expect(message.authorities.count == 1 && authority.name == "test." && authority.typeName == "SOA")
                        // The last number of the SOA, and not the 600 s that it has itself (RFC 2308, 5).
                        #expect((1...30).contains(authority.ttl), "\(authority)")
                    }
                    #expect(unbound.queries("\(name). \(type)") == 1)
                }
                // After its second it is asked for anew.
                #expect(try client.answer("nobody.org") == ["code 3"])
                #expect(
                    try wait {
                        try #require(try client.answer("nobody.org") == ["code 3"])
                        return unbound.queries("nobody.org. A") == 2
                    })
            }
        }

        @Test(arguments: Engines.available)
        func whatIsTooLongForADatagramIsHadFromUnboundOverTCP(engine: String) throws {
            let unbound = try Unbound.world()
            try withNames(engine, upstream: unbound.place) { (client) throws in
                // Nothing is cut between the two as long as EDNS has room for it; to a client without EDNS it is.
                let medium = try client.ask("medium.test", "TXT")
                #expect(!medium.isTruncated && medium.answers.count == 1 && medium.opt != nil)
                let short = try client.ask("medium.test", "TXT", payload: nil)
                #expect(short.isTruncated && short.answers.isEmpty && short.opt == nil)
                #expect(try unbound.count("num.query.tcp") == 0)

                func dig(_ port: Int, _ options: String...) throws -> [String] {
                    let outcome = try ChildProcess.run(["dig", "@127.0.0.1", "-p", "\(port)", "large.test", "TXT", "+short"] + options)
                    return outcome.output.split(separator: "\n").map(String.init).sorted()
                }
                // dig asks by UDP first, and over TCP when it is told to.
                let whole = try dig(unbound.port)
                let before = try unbound.count("num.query.tcp")
                #expect(whole.count == 4 && before == 1)
                #expect(try client.ask("large.test", "TXT").isTruncated)
                #expect(try dig(client.port) == whole)
                #expect(try unbound.count("num.query.tcp") == before + 1)
                #expect(try dig(client.port, "+tcp") == whole)
                #expect(try unbound.count("num.query.tcp") == before + 1)
                // Each of ours had EDNS, and so had dig's.
                #expect(try unbound.count("num.query.edns.present") == unbound.count("total.num.queries"))
            }
        }

        // MARK: - Every sample by name

        /// A Service as `ringway get services -o json` shows it.
        private struct Service: Decodable {
            struct Metadata: Decodable { var name: String }
            struct Port: Decodable {
                var name: String?
                var port: Int
                var `protocol`: String?
            }
            struct Specification: Decodable {
                var type: String?
                var clusterIPs: [String]?
                var externalName: String?
                var ports: [Port]?
            }
            struct List: Decodable { var items: [Service] }

            var metadata: Metadata
            var spec: Specification

            var addresses: [String] {
                if spec.externalName != nil { return ["192.0.2.20"] }
                let addresses = spec.clusterIPs ?? []
                return addresses == ["None"] ? ["127.0.0.21", "127.0.0.22", "127.0.0.23"] : addresses
            }
            var kind: String { spec.externalName != nil ? "ExternalName" : spec.clusterIPs == ["None"] ? "headless" : spec.type ?? "" }
        }

        ///     namespace: getent, dig ──► 10.96.0.10:53 ringway run Config/examples ──► 127.0.0.1 unbound
        @Test(.enabled(if: Namespace.canBeMade, "no network namespace can be made here"), arguments: Engines.available)
        func aHostFindsEveryServiceOfTheSamples(engine: String) throws {
            let host = try NamedHost(resolver: Samples.text("dns/resolv.conf"))
            let unbound = try Unbound.world(port: 1053, prefix: host.namespace.enter)
            let manifests = try FileManager.default.contentsOfDirectory(atPath: Samples.folder.path).filter { $0.hasSuffix(".yaml") }
            let count = try manifests.reduce(0) { count, name in
                try count + Samples.text(name).split(separator: "\n").count { $0 == "kind: Service" }
            }
            try withRingway(
                engine, [Samples.folder.path],
                options: [
                    "--dns-listen", "10.96.0.10", "--dns-upstream", unbound.place, "--host-network", "auto", "--node-port-range",
                    "30000-32767", "--service-cidr", "10.96.0.0/12,fd00:10:96::/112", "--load-balancer-pool", "127.112.0.10-127.112.0.19",
                ], prefix: host.namespace.enter
            ) { (ringway) throws in
                let shown = try ChildProcess.run(
                    [RunningRingway.binary, "get", "services", "-o", "json", "--admin-socket", ringway.adminSocket])
                let services = try JSONDecoder().decode(Service.List.self, from: Data(shown.output.utf8)).items
                try #require(services.count == count && count > 12)
                #expect(Set(services.map(\.kind)) == ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName", "headless"])

                var questions: [(command: String, answers: Set<String>)] = []
                for service in services {
                    let (name, addresses) = (service.metadata.name, service.addresses)
                    let (narrow, wide) = (addresses.filter { !$0.contains(":") }, addresses.filter { $0.contains(":") })
                    // Of both families, `hosts` shows IPv6.
                    questions.append(("getent hosts \(name)", Set(wide.isEmpty ? narrow : wide)))
                    questions.append(("getent ahostsv4 \(name).default", Set(narrow)))
                    questions.append(("dig +search +short \(name) AAAA | grep -v '[.]$'", Set(wide)))
                    questions.append(("dig +short \(name).default.svc.cluster.local | grep -v '[.]$'", Set(narrow)))
                    guard service.kind != "ExternalName", service.kind != "headless" else { continue }
                    for address in addresses { questions.append(("dig +short -x \(address)", ["\(name).default.svc.cluster.local."])) }
                    for port in service.spec.ports ?? [] where port.name != nil {
                        let label = "_\(port.name ?? "")._\((port.protocol ?? "TCP").lowercased()).\(name)"
                        questions.append(("dig +search +short \(label) SRV | cut -d' ' -f3", ["\(port.port)"]))
                    }
                }
                // Pods of a StatefulSet, and of the world.
                questions += [
                    ("getent hosts store-1.store", ["127.0.0.22"]), ("getent hosts alias.test", ["2001:db8::7"]),
                    ("getent ahostsv4 service.test", ["192.0.2.7"]), ("getent hosts 192.0.2.7", ["192.0.2.7"]),
                    ("getent hosts nobody", []), ("getent hosts nobody.test", []),
                ]
                for (question, answer) in zip(questions, try host.firstWords(of: questions.map(\.command))) {
                    #expect(Set(answer) == question.answers, "\(question.command)")
                }
                // All three, and each comes first at times.
                let orders = try host.firstWords(of: Array(repeating: "dig +search +short store", count: 30))
                #expect(orders.allSatisfy { $0.sorted() == ["127.0.0.21", "127.0.0.22", "127.0.0.23"] })
                #expect(Set(orders.compactMap(\.first)).count == 3 && Set(orders).count > 2)
                // The search list's names are not the world's.
                #expect(unbound.queries("cluster.local.") == 0)
            }
        }

        // MARK: - Others who ask Ringway

        /// Both would refuse: what nobody has signed, and names of the world that lead to private addresses.
        @Test(arguments: ["unbound", "dnsmasq"])
        func otherNameServersAskForTheClusterAsTheSamplesHaveIt(kind: String) throws {
            try withNames(Engines.available[0], upstream: "none") { (ringway) throws in
                let settings = try Samples.text("dns/\(kind).conf").replacing("1053", with: "\(ringway.port)")
                try #require(settings.contains("127.0.0.1") && settings.contains("\(ringway.port)"))
                let directory = try TemporaryDirectory()
                var (unbound, dnsmasq): (Unbound?, ChildProcess?) = (nil, nil)
                let port: Int
                if kind == "unbound" {
                    let anchor = ". DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"
                    let server =
                        "    module-config: \"validator iterator\"\n    trust-anchor: \"\(anchor)\"\n    private-address: 10.0.0.0/8"
                    let other = try Unbound(server: server, clauses: settings)
                    (unbound, port) = (other, other.port)
                } else {
                    port = try FreePort.take()
                    let options = "port=\(port)\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nstop-dns-rebind\n"
                    let file = try directory.write("\(options)user=root\ngroup=root\npid-file=\n\(settings)", to: "dnsmasq.conf")
                    dnsmasq = try ChildProcess(["dnsmasq", "--keep-in-foreground", "--conf-file=\(file)"], in: directory)
                }
                defer { withExtendedLifetime((unbound, dnsmasq)) {} }
                let client = NameClient("127.0.0.1", port)
                try waitUntil("\(kind) answers") { (try? client.answer("web.prod.svc.cluster.local")) == ["10.96.0.20"] }
                for overTCP in [false, true] {
                    try NameManifests.expectAnswers(of: client, overTCP: overTCP)
                    if kind == "dnsmasq" {
                        #expect(try client.answer("20.0.96.10.in-addr.arpa", "PTR", overTCP: overTCP) == ["web.prod.svc.cluster.local."])
                    }
                }
            }
        }
    }
}
