import Routing
import Testing

@testable import Forwarding

private let second: UInt64 = 1_000_000_000

@Suite struct TimerWheelTests {
    @Test func nothingSetWaitsForEver() {
        let wheel = TimerWheel(capacity: 4, now: 0)
        let wait = wheel.waitNanoseconds(0)
        #expect(wait == .max)
    }

    @Test func aDeadlineFiresOnceAndNotEarly() {
        var wheel = TimerWheel(capacity: 4, now: 5 * second)
        wheel.set(2, deadline: 6 * second)
        let early = wheel.takeDue(6 * second - 1)
        let due = wheel.takeDue(6 * second)
        let again = wheel.takeDue(7 * second)
        #expect(early == nil && due == 2 && again == nil)
    }

    @Test func aClearedDeadlineDoesNotFire() {
        var wheel = TimerWheel(capacity: 4, now: 0)
        for slot in 0..<4 as Range<UInt32> { wheel.set(slot, deadline: second) }
        wheel.clear(1)
        wheel.clear(1)
        wheel.set(3, deadline: 2 * second)
        var fired: Set<UInt32> = []
        while let slot = wheel.takeDue(second) { fired.insert(slot) }
        #expect(fired == [0, 2])
        let count = wheel.count
        #expect(count == 1)
    }

    @Test func aDeadlineInThePastFiresAtOnce() {
        var wheel = TimerWheel(capacity: 4, now: 100 * second)
        wheel.set(0, deadline: 3)
        let wait = wheel.waitNanoseconds(100 * second)
        let due = wheel.takeDue(100 * second)
        #expect(wait == 0 && due == 0)
        // Its bucket was the current one, not the one its time names: clearing must find it there.
        wheel.set(1, deadline: 3)
        wheel.set(2, deadline: 3)
        wheel.clear(2)
        wheel.clear(1)
        let left = wheel.takeDue(101 * second)
        #expect(left == nil)
    }

    @Test func deadlinesBeyondATurnWaitForTheirTurn() {
        var wheel = TimerWheel(capacity: 4, now: 0)
        wheel.set(0, deadline: 3600 * second)
        var now: UInt64 = 0
        var wakes = 0
        while now < 3600 * second {
            let early = wheel.takeDue(now)
            #expect(early == nil)
            let wait = wheel.waitNanoseconds(now)
            #expect(wait > 0 && wait <= 3600 * second)
            now += wait
            wakes += 1
        }
        let due = wheel.takeDue(now)
        #expect(due == 0)
        #expect(wakes < 1000, "an hour may cost a wake each turn, not more")
    }

    @Test func firesEverythingAfterALongSleep() {
        var wheel = TimerWheel(capacity: 1000, now: 0)
        for slot in 0..<1000 as Range<UInt32> { wheel.set(slot, deadline: UInt64(slot) * 20_000_000) }
        var fired = 0
        while wheel.takeDue(10_000 * second) != nil { fired += 1 }
        #expect(fired == 1000)
    }

    @Test func aFarDeadlineFiresInItsOwnTime() {
        // Within both ranges of the wheel, at their borders, and beyond them.
        for deadline in [8, 9, 17, 60, 3600, 4397, 4398, 4399, 10_000, 400_000] as [UInt64] {
            var wheel = TimerWheel(capacity: 4, now: 3 * second)
            wheel.set(1, deadline: deadline * second + 5)
            var now = 3 * second
            var wakes = 0
            while true {
                let wait = wheel.waitNanoseconds(now)
                if wait == .max { break }
                now += wait
                if let due = wheel.takeDue(now) { #expect(due == 1 && now == deadline * second + 5) }
                wakes += 1
                guard wakes < 500 else { break }
            }
            #expect(wakes <= 2 + Int(deadline / 4000), "\(wakes) wakes for \(deadline) s")
        }
    }

    @Test func manyFarDeadlinesComeNearerInPieces() {
        let count: UInt32 = 5000
        var wheel = TimerWheel(capacity: Int(count), now: 0)
        for slot in 0..<count { wheel.set(slot, deadline: 3600 * second + UInt64(slot)) }
        var now: UInt64 = 0
        var fired = 0
        var piecewise = 0
        while fired < count {
            let wait = wheel.waitNanoseconds(now)
            guard wait != .max else { break }
            now += wait
            let before = fired
            while wheel.takeDue(now) != nil { fired += 1 }
            if before == fired, wait == 0 { piecewise += 1 }
        }
        #expect(fired == count && now < 3601 * second)
        #expect(piecewise >= Int(count) / Limits.timersMovedPerTickMax - 1)
    }

    @Test func agreesWithASortedListOverDaysToo() {
        var random = RandomSource(seed: 78)
        var wheel = TimerWheel(capacity: 64, now: 0)
        var model: [UInt32: UInt64] = [:]
        var now: UInt64 = 0
        for _ in 0..<20_000 {
            let slot = UInt32(random.below(64))
            switch random.below(3) {
            case 0:
                // Milliseconds to hours ahead.
                let deadline = now + UInt64(1 + random.below(1000)) << UInt64(random.below(24)) * 1000
                wheel.set(slot, deadline: deadline)
                model[slot] = deadline
            case 1 where random.below(8) == 0: now += UInt64(random.below(10_000)) * second
            default:
                let wait = wheel.waitNanoseconds(now)
                if let first = model.values.min() {
                    #expect(wait <= (first > now ? first - now : 0), "a wait must not pass the first deadline")
                    now += wait
                }
            }
            var fired: Set<UInt32> = []
            while let due = wheel.takeDue(now) { fired.insert(due) }
            #expect(fired == Set(model.filter { $0.value <= now }.keys))
            for slot in fired { model[slot] = nil }
        }
    }

    @Test func agreesWithASortedListOverRandomUse() {
        var random = RandomSource(seed: 77)
        var wheel = TimerWheel(capacity: 64, now: 0)
        var model: [UInt32: UInt64] = [:]
        var now: UInt64 = 0
        for _ in 0..<20_000 {
            let slot = UInt32(random.below(64))
            switch random.below(4) {
            case 0:
                wheel.clear(slot)
                model[slot] = nil
            case 1, 2:
                let deadline = now + UInt64(random.below(20_000)) * 1_000_000
                wheel.set(slot, deadline: deadline)
                model[slot] = deadline
            default:
                let wait = wheel.waitNanoseconds(now)
                if let first = model.values.min() {
                    #expect(wait <= (first > now ? first - now : 0), "a wait must not pass the first deadline")
                }
                now += UInt64(random.below(3_000)) * 1_000_000
                var fired: Set<UInt32> = []
                while let due = wheel.takeDue(now) { fired.insert(due) }
                #expect(fired == Set(model.filter { $0.value <= now }.keys))
                for slot in fired { model[slot] = nil }
            }
            let count = wheel.count
            #expect(count == model.count)
        }
    }
}
