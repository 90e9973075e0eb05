import Engine
import Routing
import Testing

@testable import Forwarding

private let second: UInt64 = 1_000_000_000

/// What an established flow makes of the time that has passed: no worker, no clock.
@Suite struct FlowTimeoutTests {
    struct Case: Sendable {
        var name: String
        var idle: Duration = .seconds(60)
        var halfClose: Duration = .seconds(10)
        var finSentTo: Leg?
        var spokeLast = Leg.client
        /// Seconds since bytes moved.
        var silence: UInt64
        /// nil: it goes on.
        var reason: CloseReason?
    }

    static let cases = [
        Case(name: "young", silence: 59),
        Case(name: "the server owes an answer", silence: 61, reason: .serverIdle),
        Case(name: "the client's turn", spokeLast: .server, silence: 61, reason: .clientIdle),
        Case(name: "no idle timeout", idle: .zero, silence: 100_000_000),
        Case(name: "half-closed by the client, and young", finSentTo: .server, silence: 9),
        Case(name: "half-closed by the client", finSentTo: .server, silence: 11, reason: .halfCloseTimeout),
        Case(name: "half-closed by the server", finSentTo: .client, silence: 11, reason: .halfCloseTimeout),
        Case(name: "half-closed, and no such timeout", halfClose: .zero, finSentTo: .server, silence: 59),
        Case(name: "half-closed and idle", halfClose: .zero, finSentTo: .server, silence: 61, reason: .serverIdle),
        Case(name: "idle comes first", halfClose: .seconds(70), finSentTo: .server, silence: 61, reason: .serverIdle),
        Case(name: "half-closed without idle", idle: .zero, finSentTo: .server, silence: 11, reason: .halfCloseTimeout),
        Case(name: "neither", idle: .zero, halfClose: .zero, finSentTo: .server, silence: 30_000_000),
    ]

    /// Once in the midst of things, and once where the ticks wrap between the last byte and the look.
    @Test(arguments: cases.indices, [77 * second, UInt64(UInt32.max) << 24])
    func silenceEndsAFlow(_ index: Int, _ movedAt: UInt64) {
        let row = Self.cases[index]
        var flow = TCPFlow(generation: 1)
        flow.phase = .established
        flow.timeouts = FlowTimeouts(Timeouts(idle: row.idle, halfClose: row.halfClose))
        flow.spokeLast = row.spokeLast
        if let leg = row.finSentTo { flow[leg].finSent = true }
        flow.movedAt = FlowTime.ticks(at: movedAt)
        let now = movedAt + row.silence * second
        switch flow.expiry(now) {
        case .none: #expect(row.reason == nil && row.idle == .zero, "\(row.name)")
        case .later(let time):
            #expect(row.reason == nil && time > now, "\(row.name)")
            // The look at that time finds it over, and none before.
            if case .later = flow.expiry(time - 1) {} else { Issue.record("\(row.name): early") }
            if case .expired = flow.expiry(time) {} else { Issue.record("\(row.name): not over when it was to be") }
        case .expired(let reason): #expect(reason == row.reason, "\(row.name)")
        }
    }

    @Test func aTimeoutIsNeverEarlyAndAtMostTwoTicksLate() {
        let tick: UInt64 = 1 << 24
        var random = RandomSource(seed: 5)
        for _ in 0..<2000 {
            let movedAt = UInt64(random.below(1 << 40))
            let limit = UInt64(1 + random.below(1 << 36))
            var flow = TCPFlow(generation: 1)
            flow.timeouts = FlowTimeouts(Timeouts(idle: .nanoseconds(limit)))
            flow.movedAt = FlowTime.ticks(at: movedAt)
            guard case .later(let time) = flow.expiry(movedAt) else {
                Issue.record("over at once")
                return
            }
            #expect(time >= movedAt + limit && time <= movedAt + limit + 2 * tick)
        }
    }

    @Test func zeroIsNeverAndLessThanAUnitIsOne() {
        let off = FlowTimeouts(Timeouts(idle: .zero, halfClose: .zero, keepalive: .zero, userTimeout: .zero))
        #expect(off == FlowTimeouts())
        let least = FlowTimeouts(
            Timeouts(idle: .nanoseconds(1), halfClose: .nanoseconds(1), keepalive: .nanoseconds(1), userTimeout: .nanoseconds(1)))
        #expect(least.idle == 1 && least.halfClose == 1)
        #expect(least.liveness == Liveness(keepaliveSeconds: 1, userTimeoutMilliseconds: 1))
        let most = FlowTimeouts(
            Timeouts(idle: .seconds(Int64.max), halfClose: nil, keepalive: .seconds(1 << 40), userTimeout: .seconds(1 << 40)))
        #expect(most.idle == UInt32(Int32.max) - 1 && most.halfClose == 0)
        #expect(most.liveness == Liveness(keepaliveSeconds: 32_767, userTimeoutMilliseconds: UInt32(Int32.max)))
    }

    @Test func whatAServiceDoesNotSetIsTheProcesss() {
        let mixed = Timeouts(idle: .seconds(5), keepalive: .zero).filled(with: .standard)
        #expect(mixed == Timeouts(idle: .seconds(5), halfClose: .seconds(120), keepalive: .zero, userTimeout: .seconds(180)))
    }

    @Test func theUserTimeoutLeavesTheKeepalivesProbesTheirTime() throws {
        let standard = FlowTimeouts(.standard).liveness
        let probing = UInt32(standard.keepaliveSeconds) + UInt32(standard.intervalSeconds) * UInt32(Liveness.probes)
        #expect(standard.intervalSeconds == 15)
        #expect(standard.userTimeoutMilliseconds >= probing * 1000)
    }

    @Test(arguments: [(120, 180, 30), (120, 0, 30), (0, 180, 45), (0, 0, nil)] as [(UInt16, UInt32, UInt64?)])
    func theServersSocketIsGuardedAfterAQuarter(_ keepalive: UInt16, _ userTimeout: UInt32, _ expected: UInt64?) {
        var flow = TCPFlow(generation: 1)
        flow.timeouts.liveness = Liveness(keepaliveSeconds: keepalive, userTimeoutMilliseconds: userTimeout * 1000)
        #expect(flow.guardDelay == expected.map { $0 * second })
        flow.isGuarded = true
        #expect(flow.guardDelay == nil)
    }
}
