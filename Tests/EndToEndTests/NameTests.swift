import Foundation
import Fuzz
import Glibc
import Testing

/// The cluster's DNS as the program serves it: over UDP and TCP, to real resolvers, and never out of date.
///
///     dig, getent, sockets ──► 127.0.0.1:PORT, 0.0.0.0:PORT, [::1]:PORT   ringway run --dns-listen
extension EndToEndTests {
    @Suite struct NameTests {
        private func withNames(
            _ engine: String, _ manifests: String = NameManifests.all, on addresses: [String] = ["127.0.0.1"], options: [String] = [],
            prefix: [String] = [],
            _ body: (_ ringway: RunningRingway, _ client: NameClient, _ directory: TemporaryDirectory) throws -> Void
        ) throws {
            let port = try FreePort.take(on: "0.0.0.0")
            let directory = try TemporaryDirectory()
            try directory.replace("names.yaml", with: manifests)
            let places = addresses.map { $0.contains(":") ? "[\($0)]:\(port)" : "\($0):\(port)" }
            try withRingway(
                engine, [directory.path("names.yaml")],
                options: ["--dns-listen", places.joined(separator: ","), "--dns-upstream", "none"] + options, prefix: prefix,
                directory: directory
            ) { ringway in
                try body(ringway, NameClient(addresses[0] == "0.0.0.0" ? "127.0.0.1" : addresses[0], port), directory)
            }
        }

        @Test(arguments: Engines.available)
        func namesOfAllKindsAreAnsweredOverBothTransports(engine: String) throws {
            try withNames(engine) { ringway, client, _ in
                for overTCP in [false, true] {
                    func answer(_ name: String, _ type: String = "A") throws -> [String] {
                        try client.answer(name, type, overTCP: overTCP)
                    }
                    try NameManifests.expectAnswers(of: client, overTCP: overTCP)
                    #expect(try answer("out.prod.svc.cluster.local") == ["example.org."])
                    #expect(try answer("20.0.96.10.in-addr.arpa", "PTR") == ["web.prod.svc.cluster.local."])
                    #expect(try answer("dns-version.cluster.local", "TXT").count == 1)
                    #expect(try answer("www.example.com") == ["code 5"])
                }
                let page = try ringway.statistics().names
                #expect(page?.responses["NXDOMAIN"] == 2 && page?.responses["REFUSED"] == 2 && page?.requests["PTR"] == 2)
                #expect(page?.connections == 11 && page?.domain == "cluster.local")
            }
        }

        @Test(arguments: Engines.available)
        func answersComeFromTheAddressThatWasAsked(engine: String) throws {
            try withNames(engine, on: ["0.0.0.0", "::1"]) { _, client, _ in
                // A connected socket hears the address it asked and no other.
                for address in ["127.0.0.1", "127.0.0.9", "127.1.2.3", "::1"] {
                    let client = NameClient(address, client.port)
                    let overUDP = try client.answer("web.prod.svc.cluster.local")
                    let overTCP = try client.answer("web.prod.svc.cluster.local", overTCP: true)
                    #expect(overUDP == ["10.96.0.20"] && overTCP == ["10.96.0.20"])
                }
            }
        }

        @Test(arguments: Engines.available)
        func whatIsTooLongForUDPIsHadOverTCP(engine: String) throws {
            let addresses = (0..<3000).map { "10.2.\($0 / 250).\($0 % 250 + 1)" }
            let slices = stride(from: 0, to: 3000, by: 1000).map { first in
                NameManifests.headless("many", Array(addresses[first..<first + 1000]))
                    .replacing("name: many-1", with: "name: many-\(first)")
            }
            // One Service, three slices.
            let manifests = slices[0] + slices[1...].map { "---\n" + $0.split(separator: "---\n")[1] }.joined()
            try withNames(engine, manifests) { _, client, _ in
                let name = "many.prod.svc.cluster.local"
                for (payload, most) in [(nil, 512), (512, 512), (1232, 1232), (65_535, 1232)] as [(Int?, Int)] {
                    let socket = try DatagramSocket(to: (client.address, client.port))
                    socket.send(NameClient.query(name, payload: payload))
                    let bytes = try #require(socket.receive()).bytes
                    #expect(bytes.count <= most)
                    #expect(try DNSMessage(bytes).isTruncated)
                }
                let whole = try client.ask(name, overTCP: true)
                #expect(!whole.isTruncated && Set(whole.answers.map(\.data)) == Set(addresses))
            }
        }

        @Test(arguments: Engines.available)
        func aThousandPipelinedQueriesAreAnsweredInTheirOrder(engine: String) throws {
            try withNames(engine) { ringway, client, _ in
                let names = ["web", "db", "nobody", "db-0.db"].map { "\($0).prod.svc.cluster.local" }
                let queries = (0..<1000).flatMap { NameClient.framed(NameClient.query(names[$0 % 4], id: $0)) }
                let connection = try TestSocket(to: client.address, client.port)
                var sent = 0
                var generator = SystemRandomNumberGenerator()
                while sent < queries.count {
                    let piece = min(Int.random(in: 1...3000, using: &generator), queries.count - sent)
                    try connection.send(Array(queries[sent..<sent + piece]))
                    sent += piece
                }
                connection.shutdownWrite()
                for id in 0..<1000 {
                    let message = try DNSMessage(try NameClient.receive(from: connection))
                    try #require(Int(message.id) == id && message.answers.count == [1, 3, 0, 1][id % 4])
                }
                #expect(connection.ending() == nil)
                #expect(try wait { try ringway.statistics().names?.connectionsActive == 0 })
            }
        }

        @Test(arguments: Engines.available)
        func garbageIsMetWithSilenceOrAnErrorAndNeverACrash(engine: String) throws {
            try withNames(engine) { ringway, client, _ in
                var generator = SystemRandomNumberGenerator()
                let query = NameClient.query("db-1.db.prod.svc.cluster.local")
                func garbage() -> [UInt8] {
                    switch Int.random(in: 0..<4, using: &generator) {
                    case 0:
                        return (0..<Int.random(in: 0...600, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator) }
                    case 1: return Array(query.prefix(Int.random(in: 0...query.count, using: &generator)))
                    case 2: return query + [UInt8](repeating: 0xc0, count: Int.random(in: 1...60_000, using: &generator))
                    default:
                        var bytes = query
                        for _ in 0..<Int.random(in: 1...4, using: &generator) {
                            bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
                        }
                        return bytes
                    }
                }
                let socket = try DatagramSocket(to: (client.address, client.port))
                for round in 0..<3000 {
                    socket.send(garbage())
                    // What is said to it is a response, and no longer than a response may be.
                    while let answer = socket.receive(within: round % 100 == 0 ? 20 : 0) {
                        #expect(answer.bytes.count >= 12 && answer.bytes.count <= 1232 && answer.bytes[2] & 0x80 != 0)
                    }
                }
                for _ in 0..<200 {
                    let connection = try TestSocket(to: client.address, client.port)
                    try? connection.send(NameClient.framed(query) + garbage())
                    connection.shutdownWrite()
                    _ = connection.ending()
                }
                #expect(try client.answer("db-1.db.prod.svc.cluster.local") == ["10.1.0.2"])
                #expect(try wait { try ringway.statistics().names?.connectionsActive == 0 })
            }
        }

        /// Each change gives three addresses that say its number. Whoever asks once the workers have acknowledged it sees them; before that
        /// the old ones, or these, and never a mixture.
        @Test(arguments: Engines.available)
        func noAnswerIsOutOfDateInAThousandChanges(engine: String) throws {
            let changes = 1000
            func addresses(_ change: Int) -> [String] { (1...3).map { "10.\(10 + change / 250).\(change % 250).\($0)" } }
            func manifests(_ change: Int) -> String { NameManifests.headless("db", addresses(change)) }
            try withNames(engine, manifests(0)) { ringway, client, directory in
                let applied = try AppliedGenerations(ringway)
                let name = "db.prod.svc.cluster.local"
                let sockets = try (0..<8).map { _ in try DatagramSocket(to: (client.address, client.port)) }
                let connection = try TestSocket(to: client.address, client.port)
                func ask(_ number: Int) throws -> [String] {
                    let query = NameClient.query(name, id: number & 0xffff)
                    if number % 10 == 0 {
                        try connection.send(NameClient.framed(query))
                        return try DNSMessage(try NameClient.receive(from: connection)).answers.map(\.data).sorted()
                    }
                    let socket = sockets[number % sockets.count]
                    socket.send(query)
                    while let answer = socket.receive() {
                        let message = try DNSMessage(answer.bytes)
                        if Int(message.id) == number & 0xffff { return message.answers.map(\.data).sorted() }
                    }
                    throw ChildProcess.Failure(description: "query \(number) is not answered")
                }
                var generation = try ringway.statistics().generation
                var queries = 0
                for change in 1...changes {
                    try directory.replace("names.yaml", with: manifests(change))
                    while try applied.last() <= generation {
                        let seen = try ask(queries)
                        queries += 1
                        try #require(seen == addresses(change) || seen == addresses(change - 1))
                    }
                    generation = try applied.last()
                    for _ in 0..<10 {
                        try #require(try ask(queries) == addresses(change), "change \(change)")
                        queries += 1
                    }
                }
                #expect(try ringway.statistics().generation == generation)
            }
        }

        // MARK: - Resolvers

        @Test func digGetsWhatItAsksFor() throws {
            try withNames(Engines.available[0]) { _, client, _ in
                func dig(_ arguments: String...) throws -> [String] {
                    let outcome = try ChildProcess.run(
                        ["dig", "@\(client.address)", "-p", "\(client.port)", "+short", "+tries=3", "+timeout=5"] + arguments)
                    #expect(outcome.isSuccess, "\(outcome.output)")
                    return outcome.output.split(separator: "\n").map(String.init).sorted()
                }
                let all = ["10.1.0.1", "10.1.0.2", "10.1.0.3"]
                #expect(try dig("db.prod.svc.cluster.local") == all)
                #expect(try dig("+tcp", "db.prod.svc.cluster.local") == all)
                #expect(try dig("+noedns", "+nocookie", "db.prod.svc.cluster.local") == all)
                #expect(try dig("+tcp", "+keepopen", "web.prod.svc.cluster.local", "db-0.db.prod.svc.cluster.local").count == 2)
                #expect(try dig("-x", "10.96.0.20") == ["web.prod.svc.cluster.local."])
                #expect(try dig("db.prod.svc.cluster.local", "SRV").count == 3)
                let orders = try Set(
                    (0..<40).map { _ in
                        try ChildProcess.run(
                            ["dig", "@\(client.address)", "-p", "\(client.port)", "+short", "db.prod.svc.cluster.local"]).output
                    })
                #expect(orders.count > 1, "the order of addresses must change")
            }
        }

        /// A host whose resolv.conf names the program, as a Pod's does: its C library finds a Service by its short name.
        ///
        ///     namespace: lo 127.0.0.1:53 ringway ◄── getent, /etc/resolv.conf: nameserver 127.0.0.1, search prod.svc.cluster.local …
        @Test(.enabled(if: Namespace.canBeMade, "no network namespace can be made here"))
        func aHostResolvesByItsResolvConf() throws {
            let host = try NamedHost(
                resolver: "nameserver 127.0.0.1\nsearch prod.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n")
            let directory = try TemporaryDirectory()
            try directory.replace("names.yaml", with: NameManifests.all)
            try withRingway(
                Engines.available[0], [directory.path("names.yaml")], options: ["--dns-listen", "127.0.0.1,[::1]"],
                prefix: host.namespace.enter, directory: directory
            ) { _ in
                func getent(_ database: String, _ name: String) throws -> [String] {
                    try host.firstWords(of: ["getent \(database) \(name)"])[0]
                }
                let web = try getent("hosts", "web")
                #expect(web == ["10.96.0.20"])
                #expect(try getent("hosts", "web.prod") == ["10.96.0.20"])
                #expect(try Set(getent("ahostsv4", "db")) == ["10.1.0.1", "10.1.0.2", "10.1.0.3"])
                #expect(try getent("hosts", "db-2.db") == ["10.1.0.3"])
                #expect(try getent("hosts", "alias") == ["10.96.0.20"])
                #expect(try getent("hosts", "nobody") == [])
            }
        }

        /// A link that takes 600 bytes, and an answer of more: it is asked for by TCP, and doesn't come in pieces.
        @Test(.enabled(if: Namespace.canBeMade, "no network namespace can be made here"), arguments: Engines.available)
        func anAnswerIsNotCutOnItsWay(engine: String) throws {
            let namespace = try Namespace()
            try namespace.set("ip link set lo mtu 600")
            let directory = try TemporaryDirectory()
            let endpoints = (1...60).map { "- {addresses: [10.1.0.\($0)]}" }.joined(separator: "\n")
            try directory.replace(
                "names.yaml",
                with: """
                    apiVersion: v1
                    kind: Service
                    metadata: {name: many, namespace: prod}
                    spec: {clusterIP: None, ports: [{name: http, port: 80}]}
                    ---
                    apiVersion: discovery.k8s.io/v1
                    kind: EndpointSlice
                    metadata: {name: many-1, namespace: prod, labels: {kubernetes.io/service-name: many}}
                    addressType: IPv4
                    ports: [{name: http, port: 80}]
                    endpoints:
                    \(endpoints)
                    """)
            try withRingway(
                engine, [directory.path("names.yaml")], options: ["--dns-listen", "127.0.0.1"], prefix: namespace.enter,
                directory: directory
            ) { ringway in
                func dig(_ arguments: String...) throws -> String {
                    try namespace.run(["dig", "@127.0.0.1", "+tries=2", "+timeout=5", "many.prod.svc.cluster.local"] + arguments).output
                }
                let cut = try dig("+ignore", "+bufsize=1232")
                #expect(cut.contains("flags: qr aa tc rd") && cut.contains("ANSWER: 0") && cut.contains("udp: 1232"), "\(cut)")
                #expect(try dig("+bufsize=1232").contains("ANSWER: 60"))
                // What has room comes: 29 addresses and 45 bytes are 509 of the 512 that a client takes who doesn't say.
                #expect(try dig("+noedns", "+ignore").contains("ANSWER: 29"))
                let names = try #require(try ringway.statistics().names)
                #expect(names.dropped == [:], "\(names)")
            }
        }

        /// Two addresses of the documentation's network: strangers, of which one asks faster than it may.
        @Test(.enabled(if: Namespace.canBeMade, "no network namespace can be made here"))
        func strangersAreHeldToTheirRate() throws {
            let namespace = try Namespace()
            try namespace.set("ip address add 203.0.113.1/32 dev lo\nip address add 198.51.100.1/32 dev lo")
            let directory = try TemporaryDirectory()
            try directory.replace("names.yaml", with: NameManifests.all)
            try withRingway(
                Engines.available[0], [directory.path("names.yaml")], options: ["--dns-listen", "203.0.113.1", "--dns-rate-limit", "20"],
                prefix: namespace.enter, directory: directory
            ) { ringway in
                let socket = try DatagramSocket(on: "203.0.113.1", to: ("203.0.113.1", 53), in: namespace)
                for id in 0..<500 { socket.send(NameClient.query("web.prod.svc.cluster.local", id: id)) }
                var (whole, truncated) = (0, 0)
                while let answer = socket.receive(within: 300) {
                    let message = try DNSMessage(answer.bytes)
                    if message.isTruncated { truncated += 1 } else { whole += 1 }
                }
                #expect(whole >= 10 && whole < 100 && truncated > 100 && whole + truncated < 450, "\(whole) \(truncated)")
                let dropped = try #require(try ringway.statistics().names).dropped
                #expect(dropped["rate-limit-truncated"] == UInt64(truncated))
                let other = try DatagramSocket(on: "198.51.100.1", to: ("203.0.113.1", 53), in: namespace)
                other.send(NameClient.query("web.prod.svc.cluster.local"))
                #expect(try !DNSMessage(try #require(other.receive()).bytes).isTruncated)
            }
        }

        // MARK: - Explanations

        @Test func queriesAreExplained() throws {
            try withNames(Engines.available[0]) { ringway, _, _ in
                func query(_ arguments: String...) throws -> (lines: [String], exit: Bool) {
                    let outcome = try ChildProcess.run(
                        [RunningRingway.binary, "dns", "query", "--admin-socket", ringway.adminSocket] + arguments)
                    let lines = outcome.output.split(separator: "\n").map { line in
                        line.split(separator: " ").joined(separator: " ")
                    }
                    return (lines + outcome.error.split(separator: "\n").map(String.init), outcome.isSuccess)
                }
                let web = "web.prod.svc.cluster.local. 5 A 10.96.0.20 ; Service prod/web clusterIP"
                #expect(try query("web.prod.svc.cluster.local") == (["; web.prod.svc.cluster.local. A: NOERROR", web], true))
                #expect(try query("web", "--namespace", "prod") == (["; web.prod.svc.cluster.local. A: NOERROR", web], true))
                let headless = try query("db.prod.svc.cluster.local")
                #expect(headless.lines.count == 4 && headless.exit)
                #expect(headless.lines.contains("db.prod.svc.cluster.local. 5 A 10.1.0.2 ; Service prod/db, EndpointSlice prod/db-1"))
                let alias = try query("alias.prod", "-n", "default")
                #expect(
                    alias.lines == [
                        "; alias.prod.default.svc.cluster.local. A: NXDOMAIN", "; alias.prod.svc.cluster.local. A: NOERROR",
                        "alias.prod.svc.cluster.local. 5 CNAME web.prod.svc.cluster.local. ; Service prod/alias externalName", web,
                    ], "\(alias.lines)")
                for (name, reason) in [
                    ("nobody.prod.svc.cluster.local", "; there is no Service nobody in the namespace prod"),
                    ("web.shop.svc.cluster.local", "; there is no namespace shop: no object stands in it"),
                    ("db-7.db.prod.svc.cluster.local", "; Service prod/db has no ready endpoint named db-7"),
                    ("10-1-0-1.prod.pod.cluster.local", "; names of Pods are disabled (--dns-pods)"),
                ] {
                    let answer = try query(name)
                    #expect(answer.lines.contains(reason) && !answer.exit, "\(answer.lines)")
                }
                #expect(try query("example.com").lines.contains { $0.hasPrefix("; the name is not below cluster.local") })
                #expect(try query("web.prod.svc.cluster.local", "NONSENSE").lines == ["ringway: \"NONSENSE\" is no type of a record"])
            }
        }

        // MARK: - Beginning and end

        @Test(arguments: Engines.available)
        func anAddressThatIsTakenIsSaidAndEndsTheStart(engine: String) throws {
            let directory = try TemporaryDirectory()
            try directory.replace("names.yaml", with: NameManifests.all)
            let holder = try TestSocket(listeningOn: "127.0.0.1", 0)
            let port = try DatagramSocket().port
            for (address, words) in [
                ("127.0.0.1:\(try boundPort(of: holder))", "is in use by another process"),
                ("192.0.2.1:\(port)", "is not an address of this host"),
            ] {
                let ringway = try RunningRingway(
                    engine, [directory.path("names.yaml")], options: ["--dns-listen", address], directory: directory)
                defer { ringway.process.end() }
                #expect(try ringway.process.wait(within: .seconds(20)) == .code(1))
                #expect(ringway.log.contains("can't answer queries at \(address)") && ringway.log.contains(words), "\(ringway.log)")
            }
        }

        private func boundPort(of socket: TestSocket) throws -> Int {
            var name = sockaddr_in()
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let result = unsafe withUnsafeMutablePointer(to: &name) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe getsockname(socket.descriptor, $0, &length) }
            }
            try #require(result == 0)
            return Int(UInt16(bigEndian: name.sin_port))
        }

        @Test func withoutServicesThereIsNobodyToName() throws {
            try withNames(Engines.available[0], "# nothing yet\n") { _, client, directory in
                #expect(try client.answer("web.prod.svc.cluster.local") == ["code 3"])
                try directory.replace("names.yaml", with: NameManifests.all)
                #expect(try wait { try client.answer("web.prod.svc.cluster.local") == ["10.96.0.20"] })
            }
        }

        @Test(arguments: Engines.available)
        func nothingIsDeniedAsLongAsASourceCouldNeverBeRead(engine: String) throws {
            let port = try FreePort.take()
            let directory = try TemporaryDirectory()
            try directory.replace("names.yaml", with: NameManifests.all)
            try withRingway(
                engine, [directory.path("names.yaml"), directory.path("late.yaml")],
                options: ["--dns-listen", "127.0.0.1:\(port)", "--dns-upstream", "none"], directory: directory
            ) { (_) throws in
                let client = NameClient("127.0.0.1", port)
                #expect(try client.answer("web.prod.svc.cluster.local") == ["10.96.0.20"])
                #expect(try client.answer("nobody.prod.svc.cluster.local") == ["code 2"])
                try directory.replace("late.yaml", with: "# nothing yet\n")
                #expect(try wait { try client.answer("nobody.prod.svc.cluster.local") == ["code 3"] })
                #expect(try client.answer("web.prod.svc.cluster.local") == ["10.96.0.20"])
            }
        }

        @Test func metricsHaveTheNamesOfCoreDNS() throws {
            try withNames(Engines.available[0], options: ["--admin-listen", "127.0.0.1:0", "--cluster-domain", "k8s.test"]) {
                ringway, client, _ in
                _ = try client.answer("web.prod.svc.k8s.test")
                _ = try client.answer("web.prod.svc.k8s.test", "AAAA", overTCP: true)
                _ = try client.answer("web.prod.svc.cluster.local")
                let page = try MetricsReader(ringway).page()
                let server = "server=\"dns://\(client.address):\(client.port)\""
                for line in [
                    "coredns_dns_requests_total{\(server),proto=\"udp\",zone=\"k8s.test.\",view=\"\",family=\"1\",type=\"A\"} 1",
                    "coredns_dns_requests_total{\(server),proto=\"tcp\",zone=\"k8s.test.\",view=\"\",family=\"1\",type=\"AAAA\"} 1",
                    "coredns_dns_responses_total{\(server),proto=\"udp\",zone=\".\",view=\"\",rcode=\"REFUSED\",plugin=\"\"} 1",
                    "coredns_dns_request_size_bytes_count{\(server),proto=\"udp\"} 2",
                ] { #expect(page.contains(line + "\n"), "\(line)\n\(page)") }
            }
        }
    }
}

/// Follows the log, which says a generation when the workers have acknowledged it: a look costs a read of what is new there.
private final class AppliedGenerations {
    private let file: FileHandle
    private var rest = ""
    private var generation: UInt64 = 0

    init(_ ringway: RunningRingway) throws { file = try #require(FileHandle(forReadingAtPath: ringway.process.errorPath)) }

    func last() throws -> UInt64 {
        guard let new = try file.readToEnd(), !new.isEmpty else { return generation }
        rest += String(decoding: new, as: UTF8.self)
        var lines = rest.split(separator: "\n", omittingEmptySubsequences: false)
        rest = String(lines.removeLast())
        for line in lines where line.contains("configuration applied") {
            let field = line.split(separator: " ").first { $0.hasPrefix("generation=") }
            generation = try #require(field.flatMap { UInt64($0.dropFirst("generation=".count)) }, "\(line)")
        }
        return generation
    }
}

/// The page `/metrics`.
struct MetricsReader {
    private let connection: TestSocket

    init(_ ringway: RunningRingway) throws {
        let line = ringway.log.split(separator: "\n").first { $0.contains("adminListen=") }
        let place = try #require(line?.split(separator: " ").first { $0.hasPrefix("adminListen=") }?.split(separator: "=").last)
        connection = try TestSocket(to: "127.0.0.1", try #require(place.split(separator: ":").last.flatMap { Int($0) }))
    }

    /// The page: its pieces come with their lengths before them (RFC 9112, 7.1).
    func page() throws -> String {
        try connection.send("GET /metrics HTTP/1.1\r\nHost: ringway\r\n\r\n")
        var text: [UInt8] = []
        while !text.ends(with: "\r\n0\r\n\r\n".utf8) { text += try connection.receive() }
        return String(decoding: text, as: UTF8.self)
    }
}

extension Array<UInt8> {
    fileprivate func ends(with other: some Collection<UInt8>) -> Bool { suffix(other.count).elementsEqual(other) }
}
