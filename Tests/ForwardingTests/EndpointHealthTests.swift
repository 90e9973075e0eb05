import Engine
import Synchronization
import Testing

@testable import Forwarding

/// The state machine of an endpoint's health, with a time of the test's own.
@Suite struct EndpointHealthTests {
    private static func ticks(_ seconds: Double) -> UInt64 { EndpointHealth.ticks(UInt64(seconds * 1_000_000_000)) }
    private static let start = ticks(1000)

    /// An endpoint that was ejected at `start`.
    private static func ejected(_ reason: CloseReason = .connectRefused) -> EndpointHealth {
        var health = EndpointHealth()
        for _ in 0..<5 { health.failed(reason, limit: 5, isProbe: false, start) }
        return health
    }

    /// Seconds from `now` until it may be tried, to the tenth.
    private static func seconds(_ health: EndpointHealth, _ now: UInt64) -> Double {
        (Double((health.time - now) << TimerWheel.bucketShift) / 100_000_000).rounded() / 10
    }

    @Test func failuresInARowEjectAndASuccessStartsTheRowAnew() {
        var health = EndpointHealth()
        for _ in 0..<4 { health.failed(.connectTimeout, limit: 5, isProbe: false, Self.start) }
        #expect(health.state == .active && health.isUsable(Self.start, asFirst: true, ejects: true))
        health.connected(isProbe: false, Self.start)
        for _ in 0..<4 { health.failed(.connectTimeout, limit: 5, isProbe: false, Self.start) }
        #expect(health.state == .active)
        health.failed(.connectUnreachable, limit: 5, isProbe: false, Self.start)
        #expect(health.state == .ejected && health.reason == .connectUnreachable)
        #expect(!health.isUsable(Self.start, asFirst: true, ejects: true))
        #expect(health.isUsable(Self.start, asFirst: true, ejects: false))
    }

    @Test(arguments: [1, 2, 100])
    func theLimitIsWhatTheServiceSays(_ limit: UInt8) {
        var health = EndpointHealth()
        for number in 1...limit {
            #expect(health.state == .active)
            health.failed(number % 2 == 0 ? .connectRefused : .serverFin, limit: limit, isProbe: false, Self.start)
        }
        #expect(health.state == .ejected)
    }

    /// A connect says nothing about what is closed at once; a byte does.
    @Test func anEarlyCloseIsForgivenByAByteAndNotByAConnect() {
        var health = EndpointHealth()
        for _ in 0..<4 {
            health.connected(isProbe: false, Self.start)
            health.failed(.serverFin, limit: 5, isProbe: false, Self.start)
        }
        health.proved(Self.start)
        for _ in 0..<4 {
            health.connected(isProbe: false, Self.start)
            health.failed(.serverReset, limit: 5, isProbe: false, Self.start)
        }
        #expect(health.state == .active)
        health.connected(isProbe: false, Self.start)
        health.failed(.serverFin, limit: 5, isProbe: false, Self.start)
        #expect(health.state == .ejected)
    }

    @Test func theTimeDoublesUpToFiveMinutes() {
        var health = Self.ejected()
        var now = Self.start
        for expected in [5.0, 10, 20, 40, 80, 160, 300, 300, 300] {
            #expect(Self.seconds(health, now) == expected)
            #expect(!health.isUsable(health.time - 1, asFirst: true, ejects: true))
            now = health.time
            #expect(health.isUsable(now, asFirst: true, ejects: true) && !health.isUsable(now, asFirst: false, ejects: true))
            #expect(health.began(now) == true)
            health.failed(.connectRefused, limit: 5, isProbe: true, now)
        }
    }

    @Test func theTimeIsShortAgainOnceItWasWellForAsLong() {
        func again(after seconds: Double) -> Double {
            var health = Self.ejected()
            for _ in 0..<2 {
                _ = health.began(health.time)
                health.failed(.connectRefused, limit: 5, isProbe: true, health.time)
            }
            // The last ejection lasts 20 s.
            let back = health.time
            _ = health.began(back)
            health.connected(isProbe: true, back)
            #expect(health.state == .active)
            let now = back + Self.ticks(seconds)
            for _ in 0..<5 { health.failed(.connectRefused, limit: 5, isProbe: false, now) }
            return Self.seconds(health, now)
        }
        #expect(again(after: 19) == 40)
        #expect(again(after: 21) == 5)
    }

    @Test func oneConnectionAtATimeTriesIt() {
        var health = Self.ejected()
        let now = health.time
        #expect(health.began(now) == true)
        #expect(health.began(now) == false)
        #expect(health.state == .probing && !health.isUsable(now, asFirst: true, ejects: true))
        // One that was begun before tells nothing.
        health.failed(.connectRefused, limit: 5, isProbe: false, now)
        #expect(health.state == .probing)
        // One that never tells doesn't hold it for ever.
        let later = now + EndpointHealth.ticks(Forwarding.Limits.probeHoldNanoseconds)
        #expect(health.began(later - 1) == false)
        #expect(health.began(later) == true)
        // And one that ends without a verdict gives way at once.
        health.abandoned(later)
        #expect(health.state == .ejected)
        #expect(health.began(later) == true)
    }

    @Test func aConnectBringsBackWhatRefused() {
        var health = Self.ejected()
        health.connected(isProbe: false, Self.start)
        #expect(health.state == .active)
        health = Self.ejected()
        _ = health.began(health.time)
        health.connected(isProbe: true, health.time)
        #expect(health.state == .active)
    }

    @Test func aByteBringsBackWhatClosedAtOnceAndSoDoesAConnectionThatLasts() {
        var health = Self.ejected(.serverFin)
        health.connected(isProbe: false, Self.start)
        #expect(health.state == .ejected)
        var now = health.time
        #expect(health.began(now) == true)
        health.connected(isProbe: true, now)
        #expect(health.state == .proving && !health.isUsable(now, asFirst: true, ejects: true))
        var answered = health
        answered.proved(now)
        #expect(answered.state == .active)
        var closed = health
        closed.failed(.serverReset, limit: 5, isProbe: true, now)
        #expect(closed.state == .ejected && Self.seconds(closed, now) == 10)
        // No byte, but no end either: the next one is no probe any more.
        now += EndpointHealth.ticks(Forwarding.Limits.earlyCloseNanoseconds)
        #expect(health.isUsable(now, asFirst: true, ejects: true))
        #expect(health.began(now) == false)
        #expect(health.state == .active)
    }

    @Test func whatIsDownIsUsableByNobody() {
        var health = EndpointHealth()
        health.isDown = true
        #expect(!health.isUsable(Self.start, asFirst: true, ejects: false) && health.isSuspect)
        for _ in 0..<5 { health.failed(.connectRefused, limit: 5, isProbe: false, Self.start) }
        health.connected(isProbe: false, Self.start)
        #expect(health.isDown)
        health.forgive()
        #expect(health.isDown && health.state == .active)
    }

    @Test func aWordHoldsAllOfIt() {
        var health = Self.ejected(.serverLost)
        for step in 0..<12 {
            #expect(EndpointHealth(word: health.word) == health)
            health.isDown = step % 2 == 0
            if health.began(health.time), step % 3 == 0 { health.failed(.connectTimeout, limit: 100, isProbe: true, health.time) }
            if step % 4 == 3 { health.proved(health.time) }
            health.failed(.serverFin, limit: 100, isProbe: false, health.time)
            health.failed(.connectRefused, limit: 100, isProbe: false, health.time)
        }
        #expect(EndpointHealth().word == 0)
        #expect(CloseReason.allCases.count < 64)
        // 38 bits of ticks are more than a hundred years.
        var late = EndpointHealth()
        let century = Self.ticks(100 * 365 * 86_400)
        late.failed(.connectRefused, limit: 1, isProbe: false, century)
        #expect(EndpointHealth(word: late.word) == late && late.time > century)
    }

    // MARK: The table

    @Test func theTableCountsWhatIsNotWell() {
        let table = HealthTable(rows: 8)
        #expect(table.isQuiet && table.changeCount == 0)
        for number in 1...5 { #expect(table.failed(2, .connectRefused, limit: 5, isProbe: false, Self.start) == (number == 5)) }
        #expect(!table.isQuiet && table[2].state == .ejected && table[3] == EndpointHealth())
        table.update(3) { $0.isDown = true }
        table.connected(2, isProbe: false, Self.start)
        #expect(table[2].state == .active && !table.isQuiet && table.changeCount == 3)
        table.reset(3)
        #expect(table.isQuiet)
    }

    @Test func failuresOfAllWorkersCountTogetherAndOneOfThemTries() {
        let table = HealthTable(rows: 8)
        let now = Self.start
        func onThreads(_ body: @escaping @Sendable () -> Void) {
            let threads = (0..<4).map { _ in WorkerThread(name: "health", cpu: nil, body: body) }
            threads.forEach { $0.join() }
        }
        let ejections = Atomic<Int>(0)
        onThreads {
            for _ in 0..<25 where table.failed(2, .connectRefused, limit: 100, isProbe: false, now) {
                ejections.add(1, ordering: .relaxed)
            }
        }
        #expect(ejections.load(ordering: .relaxed) == 1 && table[2].state == .ejected)
        let due = table[2].time
        let probes = Atomic<Int>(0)
        onThreads {
            for _ in 0..<1000 where table.began(2, due) == .probe { probes.add(1, ordering: .relaxed) }
        }
        #expect(probes.load(ordering: .relaxed) == 1 && table[2].state == .probing)
        onThreads { for _ in 0..<1000 { table.proved(2, due) } }
        #expect(table.isQuiet)
    }
}
