internal import Engine

/// The health of all endpoints, by their rows of counters: one table for the process, so that failures are counted over all workers.
///
/// Workers write only where something is amiss or well again. Who connects to a healthy endpoint reads its word, and who
/// chooses one reads one number while nothing in the whole process is ejected or down.
package final class HealthTable: Sendable {
    private let cells: AtomicTable
    private let suspects: Int
    private let changes: Int

    package init(rows: Int = Limits.counterRowsMax) {
        cells = AtomicTable(count: rows + 2)
        suspects = rows
        changes = rows + 1
    }

    /// Whether no endpoint has to be passed over.
    package var isQuiet: Bool { cells.load(suspects) == 0 }

    /// Goes on with every change of an endpoint's state.
    package var changeCount: UInt64 { cells.load(changes) }

    package subscript(row: Int) -> EndpointHealth { EndpointHealth(word: cells.load(row)) }

    /// Changes an endpoint's word; whoever came first is not lost.
    ///
    /// - Returns: what it was and what it became.
    @discardableResult
    package func update(
        _ row: Int, _ change: (inout EndpointHealth) -> Void
    ) -> (before: EndpointHealth, after: EndpointHealth) {
        while true {
            let word = cells.load(row)
            let before = EndpointHealth(word: word)
            var after = before
            change(&after)
            if after == before { return (before, after) }
            guard cells.compareExchange(row, expected: word, desired: after.word) else { continue }
            if after.isSuspect != before.isSuspect { cells.add(after.isSuspect ? 1 : 0 &- 1, at: suspects) }
            if after.state != before.state || after.isDown != before.isDown { cells.add(1, at: changes) }
            return (before, after)
        }
    }

    // MARK: What connections tell

    /// - Returns: whether the endpoint is ejected now, and was not, or not for as long.
    package func failed(_ row: Int, _ reason: CloseReason, limit: UInt8, isProbe: Bool, _ now: UInt64) -> Bool {
        let (before, after) = update(row) { $0.failed(reason, limit: limit, isProbe: isProbe, now) }
        return after.state == .ejected && before.state != .ejected
    }

    package func connected(_ row: Int, isProbe: Bool, _ now: UInt64) {
        guard cells.load(row) & EndpointHealth.unwell != 0 else { return }
        update(row) { $0.connected(isProbe: isProbe, now) }
    }

    package func proved(_ row: Int, _ now: UInt64) {
        guard cells.load(row) & EndpointHealth.unwell != 0 else { return }
        update(row) { $0.proved(now) }
    }

    package func abandoned(_ row: Int, _ now: UInt64) { update(row) { $0.abandoned(now) } }

    /// What a connection that was chosen for the endpoint as its first attempt is to it.
    package enum Attempt { case plain, probe, taken }

    /// `.taken` where another connection has just become the one that tries the endpoint.
    package func began(_ row: Int, _ now: UInt64) -> Attempt {
        var isProbe = false
        let (before, _) = update(row) { isProbe = $0.began(now) }
        if isProbe { return .probe }
        return before.state == .probing && now < before.time ? .taken : .plain
    }

    // MARK: What the control side does

    /// The row belongs to another endpoint from now on.
    func reset(_ row: Int) { update(row) { $0 = EndpointHealth() } }
}
