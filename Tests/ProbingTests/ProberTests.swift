import Addressing
import Glibc
import Routing
import Synchronization
import Testing

@testable import Probing

/// Probes against servers of the test's own, on the loopback interface.
@Suite struct ProberTests {
    /// What was reported, in order.
    private final class Reports: Sendable {
        private let all = Mutex<[(EndpointKey, String?)]>([])

        func add(_ key: EndpointKey, _ failure: String?) { all.withLock { $0.append((key, failure)) } }
        var count: Int { all.withLock { $0.count } }
        func of(_ key: EndpointKey) -> [String?] { all.withLock { $0.filter { $0.0 == key }.map(\.1) } }

        func wait(for count: Int) async {
            for _ in 0..<3000 where self.count < count { try? await Task.sleep(for: .milliseconds(10)) }
        }
    }

    private static func key(_ number: Int = 1) -> EndpointKey {
        EndpointKey(
            service: ServicePortName(namespace: "default", name: "s\(number)", port: "", transport: .tcp),
            endpoint: SocketAddress(IPAddress(ipv4: 0x7f00_0001), PortNumber(80)!))
    }

    /// - Parameter timeout: so long by itself that the machine may be as slow as it likes; short where it is what the test is about.
    private static func probe(_ server: LocalServer, _ action: Probe.Action = .tcp, timeout: Duration = .seconds(60)) -> Probe {
        var probe = Probe(action, at: server.address)
        probe.period = .milliseconds(20)
        probe.timeout = timeout
        probe.fall = 2
        return probe
    }

    private static let get = Probe.Action.http(request: "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    /// Probes a server until its verdict turns for the worse, and answers what was wrong.
    private static func failure(
        _ server: LocalServer, _ action: Probe.Action = get, timeout: Duration = .seconds(60)
    ) async -> String? {
        let reports = Reports()
        let prober = Prober { reports.add($0, $1) }
        prober.probe([key(): [probe(server, action, timeout: timeout)]])
        await reports.wait(for: 1)
        prober.probe([:])
        await reports.wait(for: 2)
        #expect(reports.of(key()).count == 2 && reports.of(key()).last == .some(nil))
        return reports.of(key()).first ?? nil
    }

    /// Probes a server a few times, and expects no report.
    private static func expectWell(_ server: LocalServer, _ probe: Probe) async {
        let reports = Reports()
        let prober = Prober { reports.add($0, $1) }
        prober.probe([key(): [probe]])
        for _ in 0..<3000 where server.accepted < 6 { try? await Task.sleep(for: .milliseconds(10)) }
        #expect(server.accepted >= 6 && reports.count == 0, "\(reports.of(key()))")
        prober.probe([:])
    }

    // MARK: Verdicts

    @Test(arguments: [(1, 1), (2, 3), (5, 1)])
    func aVerdictTurnsAfterSoManyInARow(_ rise: Int, _ fall: Int) {
        var series = ProbeSeries()
        func add(_ answer: String?) -> Bool { series.add(answer, rise: rise, fall: fall) }
        for _ in 0..<3 {
            #expect((0..<10).allSatisfy { _ in !add(nil) })
            // One good answer among them, and the row starts anew.
            for _ in 1..<fall { #expect(!add("a")) }
            #expect(!add(nil))
            for _ in 1..<fall { #expect(!add("a")) }
            #expect(add("b") && series.failure == "b")
            for _ in 1..<rise { #expect(!add(nil)) }
            #expect(!add("c") && series.failure == "b")
            for _ in 1..<rise { #expect(!add(nil)) }
            #expect(add(nil) && series.failure == nil)
        }
    }

    // MARK: Answers

    @Test func aPortThatIsOpenIsWell() async throws {
        let server = try LocalServer { _ in }
        await Self.expectWell(server, Self.probe(server))
    }

    @Test func aPortThatIsClosedIsNot() async throws {
        let server = try LocalServer { _ in }
        server.stop()
        #expect(await Self.failure(server, .tcp) == "connect-refused")
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 204 No Content\r\n\r\n", "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "HTTP/1.1 399\r\n\r\n",
    ])
    func aStatusFrom200To399IsWell(_ answer: String) async throws {
        let server = try LocalServer { connection in
            _ = connection.receive()
            connection.send(answer)
        }
        await Self.expectWell(server, Self.probe(server, Self.get))
    }

    @Test(arguments: [
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "status 503"), ("HTTP/1.1 404 Not Found\r\n\r\n", "status 404"),
        ("HTTP/1.1 199 x\r\n\r\n", "status 199"), ("220 mail.example.com ESMTP\r\n", "no HTTP answer"),
        ("HTTP/2.0 200 OK\r\n", "no HTTP answer"),
        ("HTTP/1.1 2x0 OK\r\n", "no HTTP answer"), ("", "closed without an answer"), ("HTTP/1.1 20", "closed without an answer"),
    ])
    func anotherAnswerIsNot(_ answer: String, _ failure: String) async throws {
        let server = try LocalServer { connection in
            _ = connection.receive()
            connection.send(answer)
        }
        #expect(await Self.failure(server) == failure)
    }

    @Test func anAnswerMayComeByteByByteWithinItsTime() async throws {
        let server = try LocalServer { connection in
            _ = connection.receive()
            for byte in "HTTP/1.1 200 OK" { connection.send(String(byte)) }
        }
        await Self.expectWell(server, Self.probe(server, Self.get))
    }

    // F38: never, slowly, and without end.
    @Test func whatNeverAnswersIsGivenUpInTime() async throws {
        let server = try LocalServer { connection in while !connection.receive().isEmpty {} }
        #expect(await Self.failure(server, timeout: .seconds(1)) == "no answer")
    }

    @Test func whatAnswersTooSlowlyIsGivenUpInTime() async throws {
        let server = try LocalServer { connection in
            for byte in "HTTP/1.1 200 OK\r\n\r\n" {
                usleep(100_000)
                guard connection.send(String(byte)) else { return }
            }
        }
        #expect(await Self.failure(server, timeout: .seconds(1)) == "no answer")
    }

    @Test func whatSendsWithoutEndIsCutOff() async throws {
        let sent = Atomic<Int>(0)
        let server = try LocalServer { connection in
            _ = connection.receive()
            guard connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n") else { return }
            let block = String(repeating: "x", count: 65_536)
            var bytes = 0
            while bytes < 1 << 30, connection.send(block) { bytes += block.utf8.count }
            sent.store(max(sent.load(ordering: .relaxed), bytes), ordering: .relaxed)
        }
        await Self.expectWell(server, Self.probe(server, Self.get))
        // What the kernels' buffers took.
        #expect(sent.load(ordering: .relaxed) < 64 << 20, "\(sent.load(ordering: .relaxed)) bytes were taken")
    }

    @Test(arguments: [(nil, ""), (.v1, "PROXY UNKNOWN\r\n"), (.v2, "\r\n\r\n\0\r\nQUIT\n \0\0\0")] as [(ProxyProtocolVersion?, String)])
    func theProxyHeaderOfAProbeTellsNoClient(_ version: ProxyProtocolVersion?, _ header: String) async throws {
        let heard = Mutex<Set<String>>([])
        let server = try LocalServer { connection in
            let request = connection.receive()
            heard.withLock { _ = $0.insert(String(decoding: request, as: UTF8.self)) }
            connection.send("HTTP/1.1 200 OK\r\n\r\n")
        }
        var probe = Self.probe(server, Self.get)
        probe.proxyProtocol = version
        await Self.expectWell(server, probe)
        #expect(heard.withLock { $0 } == [header + "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"])
    }

    // MARK: The schedule

    @Test func oneProbeServesAllWhoWantItAndAnEndpointNeedsAllOfIts() async throws {
        let (up, down) = (try LocalServer { _ in }, try LocalServer { _ in })
        down.stop()
        let reports = Reports()
        let prober = Prober { reports.add($0, $1) }
        let (good, bad) = (Self.probe(up), Self.probe(down))
        prober.probe([Self.key(1): [good], Self.key(2): [bad], Self.key(3): [good, bad]])
        await reports.wait(for: 2)
        #expect(reports.of(Self.key(1)).isEmpty)
        #expect(reports.of(Self.key(2)) == ["connect-refused"] && reports.of(Self.key(3)) == ["connect-refused"])
        // Who comes later knows at once what is known.
        prober.probe([Self.key(2): [bad], Self.key(4): [bad]])
        await reports.wait(for: 4)
        #expect(reports.of(Self.key(3)) == ["connect-refused", nil] && reports.of(Self.key(4)) == ["connect-refused"])
        #expect(reports.of(Self.key(2)).count == 1)
        prober.probe([:])
    }

    @Test func noMoreAreUnderWayThanMayBe() async throws {
        let open = Atomic<Int>(0)
        let most = Atomic<Int>(0)
        let server = try LocalServer { connection in
            let now = open.add(1, ordering: .relaxed).newValue
            most.max(now, ordering: .relaxed)
            while !connection.receive().isEmpty {}
            open.subtract(1, ordering: .relaxed)
        }
        let reports = Reports()
        let prober = Prober(underWayMax: 3) { reports.add($0, $1) }
        var endpoints: [EndpointKey: [Probe]] = [:]
        for number in 0..<12 {
            var probe = Self.probe(server, .http(request: "GET /\(number) HTTP/1.1\r\n\r\n"), timeout: .milliseconds(500))
            probe.fall = 1
            endpoints[Self.key(number)] = [probe]
        }
        prober.probe(endpoints)
        await reports.wait(for: 12)
        prober.probe([:])
        #expect(reports.count >= 12)
        // A server may hear of an end after the next has come.
        #expect(most.load(ordering: .relaxed) <= 6, "\(most.load(ordering: .relaxed))")
    }

    /// The first of many come spread over a period, and not at once.
    @Test func probesAreSpreadOverTheirPeriod() async throws {
        let server = try LocalServer { _ in }
        let prober = Prober { _, _ in }
        var endpoints: [EndpointKey: [Probe]] = [:]
        for number in 0..<400 {
            var probe = Self.probe(server)
            probe.period = .seconds(3600 * 24 * 30)
            // Otherwise they would be one.
            probe.fall = 3 + number
            endpoints[Self.key(number)] = [probe]
        }
        prober.probe(endpoints)
        try await Task.sleep(for: .seconds(2))
        prober.probe([:])
        // 400 in a month: hardly one in two hours, however long the machine takes over its two seconds.
        #expect(server.accepted <= 2, "\(server.accepted)")
    }
}
