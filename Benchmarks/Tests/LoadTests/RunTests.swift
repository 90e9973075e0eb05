import Glibc
import Testing

@testable import Load

/// Runs against real servers on loopback. Bounds are wide: they must hold on a busy machine.
@Suite(.serialized)
struct RunTests {
    private func settings(rate: Double, seconds: Double, connections: Int = 4) -> OpenLoop.Settings {
        var settings = OpenLoop.Settings()
        settings.rate = rate
        settings.seconds = seconds
        settings.warmUpSeconds = 0
        settings.connections = connections
        settings.path = "/"
        return settings
    }

    // MARK: Open loop

    @Test(arguments: [(0, 0), (0.000_1, 0), (0, 0.000_2), (0.000_1, 0.000_2)])
    func everyScheduledRequestIsMadeAndMeasured(spinSeconds: Double, gatherSeconds: Double) throws {
        let server = try TestServer(.respond(TestServer.ok))
        defer { server.stop() }
        var settings = settings(rate: 500, seconds: 0.6)
        settings.warmUpSeconds = 0.2
        settings.spinSeconds = spinSeconds
        settings.gatherSeconds = gatherSeconds
        let figures = try OpenLoop(server.target, settings).run()
        #expect((200...400).contains(figures.scheduled))
        #expect(figures.completed == figures.scheduled && figures.failures.total == 0)
        // The warm-up is sent and not counted.
        #expect(server.requests > figures.scheduled)
        #expect(server.connections == 4)
        #expect(figures.seconds >= 0.6 && figures.latency.percentile(0) > 0)
    }

    /// The test that a client which waits before it sends its next request would not pass: it would see four slow responses, one for
    /// each connection, where 200 requests were due in the stall.
    @Test(arguments: [0, 0.000_2]) func aStallIsSeenByEveryRequestThatWasDueInIt(gatherSeconds: Double) throws {
        let server = try TestServer(.stall(afterNanoseconds: 500_000_000, nanoseconds: 200_000_000))
        defer { server.stop() }
        var settings = settings(rate: 1000, seconds: 1.5)
        settings.arrivals = .uniform
        settings.gatherSeconds = gatherSeconds
        let figures = try OpenLoop(server.target, settings).run()
        #expect(figures.completed == figures.scheduled)
        #expect(figures.latency.percentile(99) > 150_000)
        // Those due in its first half waited for more than half of it.
        #expect(figures.latency.count(atLeastNanoseconds: 100_000_000) >= 90)
        #expect(figures.latency.count(atLeastNanoseconds: 10_000_000) >= 180)
        #expect(figures.queuedForConnection >= 180)
        // And the client was not the one that was late.
        #expect(figures.sendLag.count(atLeastNanoseconds: 100_000_000) < 50)
    }

    /// The client reads a second after the response has come; its latency is that of the server, and no timeout is seen in it.
    @Test func whenAResponseCameIsNotWhenTheClientReadIt() throws {
        let server = try TestServer(.respond(TestServer.ok))
        defer { server.stop() }
        var settings = settings(rate: 2, seconds: 3)
        settings.arrivals = .uniform
        settings.gatherSeconds = 1
        settings.timeoutSeconds = 0.9
        let figures = try OpenLoop(server.target, settings).run()
        #expect(figures.completed == figures.scheduled && figures.scheduled > 0, "\(figures.json.text)")
        #expect(figures.latency.percentile(100) < 500_000)
    }

    @Test func aConnectionForEachRequestIsANewOne() throws {
        let server = try TestServer(.respond(TestServer.ok))
        defer { server.stop() }
        var settings = settings(rate: 300, seconds: 0.5)
        settings.connectionPerRequest = true
        let figures = try OpenLoop(server.target, settings).run()
        #expect(figures.completed == figures.scheduled)
        #expect(server.connections == figures.scheduled)
    }

    @Test func aConnectionThatEndedBetweenRequestsIsOpenedAgain() throws {
        let server = try TestServer(.closeAfterResponse)
        defer { server.stop() }
        let figures = try OpenLoop(server.target, settings(rate: 20, seconds: 1, connections: 1)).run()
        #expect(figures.completed > 0 && figures.closedWhileIdle > 0)
        #expect(figures.completed + figures.failures[.closed] + figures.failures[.reset] == figures.scheduled)
    }

    @Test func timeoutsCountFromWhenARequestWasDue() throws {
        let server = try TestServer(.silence)
        defer { server.stop() }
        var settings = settings(rate: 100, seconds: 0.5)
        settings.timeoutSeconds = 0.1
        let figures = try OpenLoop(server.target, settings).run()
        #expect(figures.failures[.timeout] == figures.scheduled && figures.completed == 0)
        #expect(figures.seconds < 1)
        #expect(figures.failureTimeline.counts.reduce(0, +) == figures.scheduled)
        #expect(figures.failureTimeline.counts.first == 0)
    }

    // MARK: Failures

    @Test(arguments: [
        ("reset", TestServer.Behaviour.reset, FailureKind.reset), ("ended half-way", .closeEarly, .closed),
        ("404", .respond("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), .status), ("not HTTP", .respond("hello\r\n"), .other),
    ])
    func failuresAreCountedByTheirKind(name: String, behaviour: TestServer.Behaviour, kind: FailureKind) throws {
        let server = try TestServer(behaviour)
        defer { server.stop() }
        let open = try OpenLoop(server.target, settings(rate: 200, seconds: 0.3)).run()
        #expect(open.failures[kind] == open.scheduled && open.completed == 0, "\(open.failures.json.text)")
        var settings = ClosedLoop.Settings()
        settings.connections = 3
        settings.requests = 20
        let closed = try ClosedLoop(server.target, settings).run()
        #expect(closed.failures[kind] == 20 && closed.completed == 0, "\(closed.failures.json.text)")
    }

    @Test func whereNobodyListensThereIsAnErrorAndNoFigure() throws {
        let target = try TestServer.refusingTarget()
        usleep(50_000)
        #expect { try OpenLoop(target, settings(rate: 100, seconds: 0.1)).run() } throws: {
            ($0 as? LoadError)?.description == "no connection to \(target.text): 4 connect_refused"
        }
        var perRequest = settings(rate: 100, seconds: 0.1)
        perRequest.connectionPerRequest = true
        #expect(throws: LoadError.self) { try OpenLoop(target, perRequest).run() }
        #expect(throws: LoadError.self) { try ClosedLoop(target, ClosedLoop.Settings()).run() }
        #expect(throws: LoadError.self) { try Hold(target, Hold.Settings()).establish() }
    }

    // MARK: Closed loop

    @Test func theClosedLoopMakesExactlyItsRequests() throws {
        let server = try TestServer(.respond(TestServer.ok))
        defer { server.stop() }
        var settings = ClosedLoop.Settings()
        settings.connections = 7
        settings.requests = 1001
        let figures = try ClosedLoop(server.target, settings).run()
        #expect(figures.completed == 1001 && figures.failures.total == 0)
        #expect(server.requests == 1001 && server.connections == 7)
    }

    @Test func theClosedLoopGivesUpOnSilence() throws {
        let server = try TestServer(.silence)
        defer { server.stop() }
        var settings = ClosedLoop.Settings()
        settings.connections = 2
        settings.requests = 4
        settings.timeoutSeconds = 0.1
        let figures = try ClosedLoop(server.target, settings).run()
        #expect(figures.failures[.timeout] == 4)
    }

    // MARK: Hold

    @Test func heldConnectionsHaveCarriedARequestAndTheirEndIsNoticed() throws {
        let server = try TestServer(.respond(TestServer.ok))
        defer { server.stop() }
        var settings = Hold.Settings()
        settings.connections = 300
        settings.sources = [try #require(Target(source: "127.0.0.2")), try #require(Target(source: "127.0.0.3"))]
        let hold = Hold(server.target, settings)
        let line = try hold.establish().text
        #expect(hold.held == 300 && hold.closedByPeer == 0, "\(line)")
        #expect(server.connections == 300 && server.requests == 300)
        server.endConnections(5)
        let deadline = Clock.nanoseconds() + 5_000_000_000
        while hold.closedByPeer < 5, Clock.nanoseconds() < deadline { hold.holdOn(untilNanoseconds: deadline) }
        #expect(hold.closedByPeer == 5)
    }

    @Test func whatCanNotBeHeldIsCounted() throws {
        let server = try TestServer(.reset)
        defer { server.stop() }
        var settings = Hold.Settings()
        settings.connections = 10
        let hold = Hold(server.target, settings)
        let line = try hold.establish().text
        #expect(hold.held == 0 && line.contains(#""reset":10"#), "\(line)")
    }
}
