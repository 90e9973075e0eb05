import Addressing
import Engine
import Routing
import Testing

@testable import Forwarding

/// Rows as they change hands, and what is known of the endpoints in them.
@Suite struct CounterRowsTests {
    private static func group(_ name: String, ejectAfter: UInt8 = 5) -> EndpointGroup {
        var settings = EndpointGroup.Settings()
        settings.ejectAfter = ejectAfter
        return EndpointGroup(
            service: ServicePortName(namespace: "default", name: name, port: "", transport: .tcp), settings: settings,
            endpoints: [Endpoint(SocketAddress("10.0.0.1:80")!)])
    }

    /// Rows of which one group at a time is served.
    private struct OneGroup {
        var rows: CounterRows
        private var group: EndpointGroup?

        init(_ table: CounterTable, _ health: HealthTable) { rows = CounterRows(tables: [table], health: health) }

        /// Serves a group in place of the one before; answers the row of its endpoint.
        mutating func serve(_ next: EndpointGroup) -> Int {
            rows.reclaim()
            let row = rows.take(next).endpoints[0]
            if let group { rows.leave(group) }
            group = next
            return row
        }
    }

    private static func eject(_ row: Int, _ health: HealthTable) {
        for _ in 0..<5 { _ = health.failed(row, .connectRefused, limit: 5, isProbe: false, 1) }
    }

    @Test func aRowThatChangesItsOwnerStartsClean() {
        let (table, health) = (makeCounterTable(), HealthTable())
        var one = OneGroup(table, health)
        let row = one.serve(Self.group("a"))
        Self.eject(row, health)
        one.rows.probed(
            EndpointKey(service: Self.group("a").service, endpoint: SocketAddress("10.0.0.1:80")!), "status 503")
        #expect(health[row].state == .ejected && health[row].isDown && one.rows.endpointReports().map(\.reason) == ["status 503"])
        _ = one.serve(Self.group("b"))
        #expect(!health.isQuiet)
        // Only now are both rows of the first free, and the next two owners get them.
        let next = one.serve(Self.group("c"))
        #expect(next <= row + 1 && health[row] == EndpointHealth() && health.isQuiet)
        #expect(one.rows.endpointReports().map(\.state) == [.well])
    }

    @Test func anEndpointThatReturnsToItsRowIsWhatItWas() {
        let (table, health) = (makeCounterTable(), HealthTable())
        var one = OneGroup(table, health)
        let row = one.serve(Self.group("a"))
        Self.eject(row, health)
        table.add(1, row: row, column: Column.connectionsActive)
        for _ in 0..<3 { _ = one.serve(Self.group("b")) }
        #expect(one.rows.endpointReports().count == 1)
        #expect(one.serve(Self.group("a")) == row && health[row].state == .ejected)
        #expect(one.rows.statistics().first { $0.name == "a" }?.endpoints.map(\.state) == ["ejected"])
    }

    @Test func switchedOffTheEndpointIsForgiven() {
        let (table, health) = (makeCounterTable(), HealthTable())
        var one = OneGroup(table, health)
        let row = one.serve(Self.group("a"))
        Self.eject(row, health)
        #expect(one.serve(Self.group("a", ejectAfter: 0)) == row)
        #expect(health[row] == EndpointHealth() && health.isQuiet)
    }

    @Test func whatAProbeFindsOfAnUnknownEndpointIsNothing() {
        let (table, health) = (makeCounterTable(), HealthTable())
        var one = OneGroup(table, health)
        _ = one.serve(Self.group("a"))
        one.rows.probed(EndpointKey(service: Self.group("b").service, endpoint: SocketAddress("10.0.0.1:80")!), "no answer")
        #expect(health.isQuiet && health.changeCount == 0)
    }

    /// The log names a Service by its row: a connection that was closed before the row got another owner is still the former one's.
    @Test func aRowIsItsFormerOwnersUntilItIsGivenToAnother() {
        let (table, health) = (makeCounterTable(), HealthTable())
        var rows = CounterRows(tables: [table], health: health)
        let (group, twin) = (Self.group("first"), Self.group("first"))
        let first = rows.take(group)
        let same = rows.take(twin)
        #expect(same.service == first.service && same.endpoints == first.endpoints)
        rows.leave(twin)
        rows.reclaim()
        #expect(!rows.hasLeaving, "another group names them still")
        table.add(1, row: first.service, column: Column.connectionsActive)
        rows.leave(group)
        // Nothing names it, but a connection is left: its row stays.
        for _ in 0..<3 { rows.reclaim() }
        #expect(rows.service(of: UInt32(first.service))?.name == "first" && rows.names == [group.service])
        table.subtract(1, row: first.service, column: Column.connectionsActive)
        var names: [String?] = []
        rows.reclaim { names = [$0.service(of: UInt32(first.service))?.name] }
        #expect(names == ["first"] && rows.names.isEmpty)
        let second = rows.take(Self.group("second"))
        #expect(second.service == first.service || second.endpoints == [first.service])
        #expect(rows.service(of: UInt32(first.service))?.name == "second")
        #expect(rows.endpoint(of: UInt32(second.endpoints[0])) == SocketAddress("10.0.0.1:80")!)
        #expect(rows.service(of: UInt32(Column.overflowRow)) == nil && rows.endpoint(of: 0) == nil)
    }

    /// What Prometheus takes for a restart: a counter that falls.
    @Test func theSumOfAServiceDoesNotFallWhenAnEndpointGoes() throws {
        let (table, health) = (makeCounterTable(), HealthTable())
        var rows = CounterRows(tables: [table], health: health)
        let name = Self.group("a").service
        func group(_ endpoints: [String]) -> EndpointGroup {
            EndpointGroup(service: name, settings: EndpointGroup.Settings(), endpoints: endpoints.map { Endpoint(SocketAddress($0)!) })
        }
        let (both, one) = (group(["10.0.0.1:80", "10.0.0.2:80"]), group(["10.0.0.1:80"]))
        for row in rows.take(both).endpoints { table.add(3, row: row, column: Column.connectFailures) }
        #expect(rows.reading(of: name)?.connectFailures == 6 && rows.reading(of: name)?.endpoints == [.active: 2])
        _ = rows.take(one)
        rows.leave(both)
        for _ in 0..<3 { rows.reclaim() }
        #expect(rows.reading(of: name)?.connectFailures == 6 && rows.reading(of: name)?.endpoints == [.active: 1])
        #expect(rows.names == [name] && rows.reading(of: Self.group("b").service) == nil)
    }

    /// Two ports of addresses that change hands at random: rows never belong to two, and in the end all are free again.
    @Test func rowsAreNeverLostNorGivenTwice() {
        let (table, health) = (makeCounterTable(), HealthTable())
        var rows = CounterRows(tables: [table], health: health)
        var random = RandomSource(seed: 7)
        var served: [EndpointGroup] = []
        var highest = 0
        for _ in 0..<2000 {
            rows.reclaim()
            if served.count < 6, random.next() % 2 == 0 {
                let endpoints = (0..<random.next() % 5).map { _ in Endpoint(SocketAddress("10.0.0.\(random.next() % 8):80")!) }
                let name = ServicePortName(namespace: "default", name: "s\(random.next() % 3)", port: "", transport: .tcp)
                served.append(EndpointGroup(service: name, settings: EndpointGroup.Settings(), endpoints: endpoints))
                let numbers = rows.take(served[served.count - 1])
                highest = max(highest, numbers.service, numbers.endpoints.max() ?? 0)
            } else if let group = served.popLast() {
                rows.leave(group)
            }
            for group in served {
                let numbers = rows.take(group)
                rows.leave(group)
                #expect(rows.service(of: UInt32(numbers.service)) == group.service && rows.endpoint(of: UInt32(numbers.service)) == nil)
                #expect(numbers.endpoints.map { rows.endpoint(of: UInt32($0)) } == group.endpoints.map(\.address))
            }
        }
        while let group = served.popLast() { rows.leave(group) }
        rows.reclaim()
        // Three Services of eight endpoints each.
        #expect(rows.names.isEmpty && !rows.hasLeaving && highest <= Column.firstFreeRow + 27)
    }
}
