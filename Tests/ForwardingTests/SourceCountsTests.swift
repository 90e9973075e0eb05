import Addressing
import Forwarding
import Testing

/// The table of connections by client.
@Suite struct SourceCountsTests {
    private func address(_ number: Int) -> IPAddress { IPAddress(ipv4: 0x0a00_0000 + UInt32(number)) }

    @Test func countsRiseAndFallByKey() throws {
        let counts = SourceCounts(secret: 1)
        let a = counts.key(client: address(1), serviceRow: 2)
        let b = counts.key(client: address(2), serviceRow: 2)
        let first = try #require(counts.add(a))
        #expect(counts.add(a) == first && counts.add(b) != first && first != 0)
        #expect(counts.read(a) == 2 && counts.read(b) == 1)
        counts.subtract(first)
        #expect(counts.read(a) == 1)
        counts.subtract(first)
        #expect(counts.read(a) == 0 && counts.read(b) == 1)
    }

    @Test func aKeyIsOfClientServiceAndSecret() {
        let counts = SourceCounts(secret: 1)
        let key = counts.key(client: IPAddress("10.0.0.1")!, serviceRow: 2)
        #expect(counts.key(client: IPAddress("::ffff:10.0.0.1")!, serviceRow: 2) == key)
        #expect(counts.key(client: IPAddress("::10.0.0.1")!, serviceRow: 2) != key)
        #expect(counts.key(client: IPAddress("10.0.0.1")!, serviceRow: 3) != key)
        #expect(SourceCounts(secret: 2).key(client: IPAddress("10.0.0.1")!, serviceRow: 2) != key)
        #expect(SourceCounts(secret: 1).key(client: IPAddress("10.0.0.1")!, serviceRow: 2) == key)
    }

    @Test func manyClientsAreCountedExactly() {
        let counts = SourceCounts(secret: 7)
        var cells: [UInt32] = []
        var uncounted = 0
        let keys = (0..<50_000).map { counts.key(client: address($0), serviceRow: 5) }
        for (number, key) in keys.enumerated() {
            for _ in 0...number % 3 {
                if let cell = counts.add(key) { cells.append(cell) } else { uncounted += 1 }
            }
        }
        // At 50,000 clients one in a million finds its bucket full.
        #expect(uncounted == 0)
        #expect(keys.enumerated().allSatisfy { counts.read($0.element) == $0.offset % 3 + 1 })
        for cell in cells { counts.subtract(cell) }
        #expect(keys.allSatisfy { counts.read($0) == 0 })
    }

    @Test func aFullBucketCountsNoMoreAndForgetsNothing() {
        let counts = SourceCounts()
        // One bucket: the upper bits are the same.
        let keys = (1...9).map { UInt64(0x1234) << 48 | UInt64($0) }
        var cells = keys.map { counts.add($0) }
        #expect(cells[8] == nil && cells[..<8].allSatisfy { $0 != nil })
        #expect(counts.add(keys[3]) == cells[3] && counts.read(keys[3]) == 2 && counts.read(keys[8]) == 0)
        counts.subtract(cells[5]!)
        cells[8] = counts.add(keys[8])
        #expect(cells[8] == cells[5] && counts.read(keys[5]) == 0 && counts.read(keys[8]) == 1)
    }
}
