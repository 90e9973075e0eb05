import Engine

/// Tokens of flows that something is to be done for, in order of arrival; a ring of fixed size. What it is made for stands in it at
/// most once at a time, and stale entries are few; should it be full, the oldest entry is taken over.
struct TokenQueue: ~Copyable {
    private var tokens: FixedTable<OperationToken>
    private var head = 0
    private(set) var count = 0

    init(capacity: Int) { tokens = FixedTable(zeroedCapacity: capacity) }

    var isEmpty: Bool { count == 0 }
    var isFull: Bool { count == tokens.capacity }

    mutating func append(_ token: OperationToken) {
        if count == tokens.capacity { _ = take() }
        tokens[(head + count) % tokens.capacity] = token
        count += 1
    }

    mutating func take() -> OperationToken? {
        guard count > 0 else { return nil }
        let token = tokens[head]
        head = (head + 1) % tokens.capacity
        count -= 1
        return token
    }
}
