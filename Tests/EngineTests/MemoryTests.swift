import Engine
import Testing

/// The pool, the queue of bytes, and the tables of fixed size.
struct MemoryTests {
    @Test func poolGivesEachBufferOnceAndTheLastReleasedFirst() throws {
        let pool = BufferPool(bufferSize: 8, capacity: 3)
        #expect(pool.freeCount == 3)
        let taken = try (0..<3).map { _ in try #require(pool.take()) }
        #expect(Set(taken).count == 3)
        #expect(pool.take() == nil)
        #expect(pool.freeCount == 0)
        pool.release(taken[1])
        pool.release(taken[0])
        #expect(pool.take() == taken[0])
        #expect(pool.take() == taken[1])
        #expect(pool.take() == nil)
    }

    @Test func bufferOfThePoolTrapsWhenItIsReleasedTooOften() async {
        await #expect(processExitsWith: .failure) {
            let pool = BufferPool(bufferSize: 8, capacity: 3)
            let buffer = pool.take()!
            pool.release(buffer)
            pool.release(buffer)
        }
    }

    @Test func queueKeepsTheOrderOfItsBytes() throws {
        let pool = BufferPool(bufferSize: 4, capacity: 8)
        var queue = ByteQueue()
        #expect(queue.isEmpty && queue.count == 0 && queue.bytes == 0)
        for bytes in [[1, 2, 3, 4], [5], [6, 7]] as [[UInt8]] {
            let buffer = try #require(pool.take())
            pool.fill(buffer, with: bytes)
            queue.append(buffer, length: bytes.count, in: pool)
        }
        #expect(queue.count == 3 && queue.bytes == 7)
        #expect(contents(queue, pool) == [1, 2, 3, 4, 5, 6, 7])
    }

    @Test(arguments: 0...7)
    func queueDropsWhatWasSentAndReleasesWhatIsEmpty(_ length: Int) throws {
        let pool = BufferPool(bufferSize: 4, capacity: 8)
        var queue = ByteQueue()
        for bytes in [[1, 2, 3, 4], [5], [6, 7]] as [[UInt8]] {
            let buffer = try #require(pool.take())
            pool.fill(buffer, with: bytes)
            queue.append(buffer, length: bytes.count, in: pool)
        }
        queue.consume(length, in: pool)
        #expect(contents(queue, pool) == Array(([1, 2, 3, 4, 5, 6, 7] as [UInt8]).dropFirst(length)))
        #expect(Int(queue.bytes) == 7 - length)
        let held = [0: 3, 1: 3, 2: 3, 3: 3, 4: 2, 5: 1, 6: 1, 7: 0][length]!
        #expect(Int(queue.count) == held && pool.freeCount == 8 - held)
        // What is left can grow again.
        let buffer = try #require(pool.take())
        pool.fill(buffer, with: [8])
        queue.append(buffer, length: 1, in: pool)
        #expect(contents(queue, pool).last == 8)
        queue.removeAll(in: pool)
        #expect(queue.isEmpty && queue.head == .none && pool.freeCount == 8)
    }

    @Test func queueOfFixedCapacityRemovesFromTheFront() {
        var queue = FixedQueue<Int>(capacity: 4)
        for element in 1...4 { queue.append(element) }
        #expect((queue.room, queue.count) == (0, 4))
        queue.removeFirst(3)
        #expect((queue.room, queue.count, queue[0]) == (3, 1, 4))
        queue.append(5)
        #expect((queue.count, queue[0], queue[1]) == (2, 4, 5))
        queue.removeFirst(2)
        let isEmpty = queue.isEmpty
        #expect(isEmpty)
    }

    @Test func queueOfFixedCapacityTrapsWhenItIsFull() async {
        await #expect(processExitsWith: .failure) {
            var queue = FixedQueue<Int>(capacity: 1)
            queue.append(1)
            queue.append(2)
        }
    }

    @Test func tableBeginsAsZeroesAndKeepsItsRows() {
        var table = FixedTable<UInt64>(zeroedCapacity: 1 << 20)
        let last = table.capacity - 1
        #expect((table[0], table[last]) == (0, 0))
        table[7] += 3
        table[last] = 9
        #expect((table[7], table[8], table[last]) == (3, 0, 9))
    }

    @Test func countersAddSubtractAndAreReadByRow() {
        let counters = CounterTable(rows: 3, columns: 2)
        counters.add(5, row: 1, column: 1)
        counters.subtract(2, row: 1, column: 1)
        counters.set(9, row: 2, column: 0)
        #expect(counters.read(row: 1, column: 1) == 3)
        #expect(counters.read(row: 2, column: 0) == 9)
        #expect(counters.read(row: 0, column: 0) == 0)
    }

    @Test(arguments: [(0, 0, 0), (0x3f, 0xff_ffff, UInt32.max), (1, 7, 9)] as [(UInt8, UInt32, UInt32)])
    func tokenKeepsItsParts(_ kind: UInt8, _ generation: UInt32, _ slot: UInt32) {
        let token = OperationToken(kind: kind, generation: generation, slot: slot)
        #expect(token.kind == kind && token.generation == generation && token.slot == slot)
        #expect(OperationToken(rawValue: token.rawValue) == token)
        #expect(OperationToken(kind: kind, generation: generation | 0xff00_0000, slot: slot) == token)
    }

    private func contents(_ queue: ByteQueue, _ pool: BufferPool) -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = queue.head
        for _ in 0..<queue.count {
            bytes += pool.copyBytes(of: buffer)
            buffer = pool.next(after: buffer)
        }
        return bytes
    }

    @Test func cellsThatManyThreadsChangeLoseNothing() {
        let table = AtomicTable(count: 2)
        let threads = (0..<4).map { _ in
            WorkerThread(name: "cells", cpu: nil) {
                for _ in 0..<10_000 {
                    table.add(1, at: 0)
                    while true {
                        let old = table.load(1)
                        if table.compareExchange(1, expected: old, desired: old + 3) { break }
                    }
                }
            }
        }
        threads.forEach { $0.join() }
        #expect(table.load(0) == 40_000 && table.load(1) == 120_000)
        #expect(!table.compareExchange(1, expected: 5, desired: 6) && table.load(1) == 120_000)
    }
}
