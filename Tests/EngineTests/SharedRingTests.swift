import Engine
import Foundation
import Testing

struct SharedRingTests {
    @Test func whatIsAppendedIsTakenInOrderAndNoMoreThanThereIsRoom() {
        let ring = SharedRing<Int>(capacity: 4)
        for round in 0..<100 {
            #expect((0..<5).map { ring.append(5 * round + $0) } == [true, true, true, true, false])
            #expect((0..<5).map { _ in ring.take() } == [5 * round, 5 * round + 1, 5 * round + 2, 5 * round + 3, nil])
        }
    }

    /// Each element is written in two halves: one that was taken before it was whole would show.
    @Test func twoThreadsSeeEveryElementWholeAndInOrder() {
        struct Pair: BitwiseCopyable {
            var number: Int
            var complement: Int
        }
        let count = 200_000
        let ring = SharedRing<Pair>(capacity: 64)
        let writer = Thread {
            for number in 0..<count {
                while !ring.append(Pair(number: number, complement: ~number)) { usleep(1) }
            }
        }
        writer.start()
        var next = 0
        var wrong = 0
        while next < count {
            guard let pair = ring.take() else {
                usleep(1)
                continue
            }
            if pair.number != next || pair.complement != ~next { wrong += 1 }
            next += 1
        }
        #expect(wrong == 0 && ring.take() == nil)
    }
}
