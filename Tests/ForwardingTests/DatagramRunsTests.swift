import Addressing
import Engine
import Testing

@testable import Forwarding

/// Which datagrams of a sender go out as one message: as many as can, and their boundaries are those that came.
@Suite struct DatagramRunsTests {
    private static let client = SocketAddress("10.0.0.1:40000")!

    /// Each datagram is a length, or a length and the size of the pieces it was joined of.
    private static func batch(_ datagrams: [(length: Int, segment: Int)]) -> DatagramBatch {
        let batch = DatagramBatch(takesNames: true)
        for datagram in datagrams {
            batch.append([UInt8](repeating: 1, count: datagram.length), segment: datagram.segment, from: client)
        }
        return batch
    }

    /// The messages, each as the lengths of the datagrams it will be.
    private static func messages(_ batch: DatagramBatch) -> [[Int]] {
        batch.enqueueJoined(0..<batch.count)
        var messages: [[Int]] = []
        while let message = batch.firstQueued {
            var lengths: [Int] = []
            var left = message.bytes
            if message.segment == 0 {
                lengths = [left]
            } else {
                while left > 0 {
                    lengths.append(min(message.segment, left))
                    left -= message.segment
                }
            }
            #expect(lengths.count == message.datagrams)
            messages.append(lengths)
            batch.dropFirstQueued()
        }
        return messages
    }

    @Test(arguments: [
        ([100], [[100]]), ([100, 100, 100], [[100, 100, 100]]), ([100, 100, 50, 100], [[100, 100, 50], [100]]),
        ([100, 200], [[100], [200]]), ([0, 0, 100], [[0], [0], [100]]), ([100, 0, 100], [[100], [0], [100]]),
        ([50, 100, 100], [[50], [100, 100]]),
    ])
    func equalOnesAreJoinedAndTheLastMayBeShorter(lengths: [Int], expected: [[Int]]) {
        #expect(Self.messages(Self.batch(lengths.map { ($0, 0) })) == expected)
    }

    @Test func whatTheKernelHasJoinedIsJoinedOn() {
        #expect(Self.messages(Self.batch([(250, 100)])) == [[100, 100, 50]])
        #expect(Self.messages(Self.batch([(200, 100), (300, 100), (50, 0), (100, 0)])) == [[100, 100, 100, 100, 100, 50], [100]])
        #expect(Self.messages(Self.batch([(250, 100), (100, 0)])) == [[100, 100, 50], [100]])
        #expect(Self.messages(Self.batch([(200, 100), (200, 50)])) == [[100, 100], [50, 50, 50, 50]])
    }

    @Test func aMessageIsNeverMoreThanTheKernelTakes() {
        let many = Self.messages(Self.batch([(64, 1), (1, 0)]))
        #expect(many.map(\.count) == [64, 1])
        let long = Self.messages(Self.batch(Array(repeating: (1400, 0), count: 64)))
        #expect(long.flatMap { $0 } == Array(repeating: 1400, count: 64))
        #expect(long.allSatisfy { $0.reduce(0, +) <= Limits.joinedBytesMax && $0.count <= Limits.datagramsJoinedMax })
        #expect(long.count == 2)
        #expect(Self.messages(Self.batch([(65_507, 0), (65_507, 0)])) == [[65_507], [65_507]])
    }

    @Test func aSendersDatagramsEndWhereAnothersBegin() {
        let batch = DatagramBatch(takesNames: true)
        let other = SocketAddress("10.0.0.1:40001")!
        let arrivals = [
            (Self.client, IPAddress.loopbackIPv4), (Self.client, .loopbackIPv4), (Self.client, .anyIPv4), (other, .anyIPv4),
        ]
        for (sender, asked) in arrivals {
            batch.append([1], from: sender, to: asked)
        }
        #expect(batch.endOfSender(from: 0) == 2)
        #expect(batch.endOfSender(from: 2) == 3)
        #expect(batch.endOfSender(from: 3) == 4)
        #expect(batch.totals(0..<4) == (4, 4))
    }

    @Test func aClientIsHeldToItsRateAndOthersAreNot() {
        var rates = SourceRates()
        var allowed = 0
        // A thousand a second, offered ten times as many for two seconds.
        for step in 0..<20_000 where rates.allows(1, 1, rate: 1000, 1_000_000_000 + UInt64(step) * 100_000) { allowed += 1 }
        // Its rate, and a burst of a tenth of a second.
        #expect((2095...2105).contains(allowed), "\(allowed)")
        let others = [
            rates.allows(2, 1, rate: 1000, 3_000_000_000),
            // Another client in the same cell is not refused for the first one's sake.
            rates.allows(1 + 1 << 16, 1, rate: 1000, 3_000_000_000),
            // It has waited.
            rates.allows(1, 1, rate: 1000, 4_000_000_000),
        ]
        #expect(others == [true, true, true])
    }
}
