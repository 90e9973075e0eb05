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

    /// Assigns one group, as if it were all there is; answers the row of its endpoint.
    private static func assign(_ group: EndpointGroup, _ rows: inout CounterRows, _ table: CounterTable, _ health: HealthTable) -> Int {
        rows.begin([table])
        return rows.assign(group, health).endpoints[0]
    }

    private static func eject(_ row: Int, _ health: HealthTable) {
        for _ in 0..<5 { _ = health.failed(row, .connectRefused, limit: 5, isProbe: false, 1) }
    }

    @Test func aRowThatChangesItsOwnerStartsClean() {
        var rows = CounterRows()
        let (table, health) = (makeCounterTable(), HealthTable())
        let row = Self.assign(Self.group("a"), &rows, table, health)
        Self.eject(row, health)
        rows.probed(
            EndpointKey(service: Self.group("a").service, endpoint: SocketAddress("10.0.0.1:80")!), "status 503", health)
        #expect(health[row].state == .ejected && health[row].isDown && rows.endpointReports(health).map(\.reason) == ["status 503"])
        _ = Self.assign(Self.group("b"), &rows, table, health)
        #expect(!health.isQuiet)
        // Only now are both rows of the first free, and the next two owners get them.
        let next = Self.assign(Self.group("c"), &rows, table, health)
        #expect(next <= row + 1 && health[row] == EndpointHealth() && health.isQuiet)
        #expect(rows.endpointReports(health).map(\.state) == [.well])
    }

    @Test func anEndpointThatReturnsToItsRowIsWhatItWas() {
        var rows = CounterRows()
        let (table, health) = (makeCounterTable(), HealthTable())
        let row = Self.assign(Self.group("a"), &rows, table, health)
        Self.eject(row, health)
        table.add(1, row: row, column: Column.connectionsActive)
        for _ in 0..<3 { _ = Self.assign(Self.group("b"), &rows, table, health) }
        #expect(rows.endpointReports(health).count == 1)
        #expect(Self.assign(Self.group("a"), &rows, table, health) == row && health[row].state == .ejected)
        #expect(rows.statistics(health).first { $0.name == "a" }?.endpoints.map(\.state) == ["ejected"])
    }

    @Test func switchedOffTheEndpointIsForgiven() {
        var rows = CounterRows()
        let (table, health) = (makeCounterTable(), HealthTable())
        let row = Self.assign(Self.group("a"), &rows, table, health)
        Self.eject(row, health)
        #expect(Self.assign(Self.group("a", ejectAfter: 0), &rows, table, health) == row)
        #expect(health[row] == EndpointHealth() && health.isQuiet)
    }

    @Test func whatAProbeFindsOfAnUnknownEndpointIsNothing() {
        var rows = CounterRows()
        let (table, health) = (makeCounterTable(), HealthTable())
        _ = Self.assign(Self.group("a"), &rows, table, health)
        rows.probed(EndpointKey(service: Self.group("b").service, endpoint: SocketAddress("10.0.0.1:80")!), "no answer", health)
        #expect(health.isQuiet && health.changeCount == 0)
    }

    /// The log names a Service by its row: a connection that was closed before the row got another owner is still the former one's.
    @Test func aRowIsItsFormerOwnersUntilItIsGivenToAnother() {
        let (table, health) = (makeCounterTable(), HealthTable())
        var rows = CounterRows()
        rows.begin([table])
        let first = rows.assign(Self.group("first"), health)
        table.add(1, row: first.service, column: Column.connectionsActive)
        // Gone from the snapshot, but a connection is left: its row stays.
        for _ in 0..<3 { rows.begin([table]) }
        #expect(rows.service(of: UInt32(first.service))?.name == "first")
        table.subtract(1, row: first.service, column: Column.connectionsActive)
        var names: [String?] = []
        rows.begin([table]) { names = [$0.service(of: UInt32(first.service))?.name] }
        #expect(names == ["first"])
        let second = rows.assign(Self.group("second"), health)
        #expect(second.service == first.service || second.endpoints == [first.service])
        #expect(rows.service(of: UInt32(first.service))?.name == "second")
        #expect(rows.endpoint(of: UInt32(second.endpoints[0])) == SocketAddress("10.0.0.1:80")!)
        #expect(rows.service(of: UInt32(Column.overflowRow)) == nil && rows.endpoint(of: 0) == nil)
    }

    /// What Prometheus takes for a restart: a counter that falls.
    @Test func theSumOfAServiceDoesNotFallWhenAnEndpointGoes() throws {
        let (table, health) = (makeCounterTable(), HealthTable())
        var rows = CounterRows()
        let name = Self.group("a").service
        func group(_ endpoints: [String]) -> EndpointGroup {
            EndpointGroup(service: name, settings: EndpointGroup.Settings(), endpoints: endpoints.map { Endpoint(SocketAddress($0)!) })
        }
        rows.begin([table])
        let both = rows.assign(group(["10.0.0.1:80", "10.0.0.2:80"]), health).endpoints
        for row in both { table.add(3, row: row, column: Column.connectFailures) }
        #expect(rows.reading(of: name, health)?.connectFailures == 6 && rows.reading(of: name, health)?.endpoints == [.active: 2])
        for _ in 0..<3 {
            rows.begin([table])
            _ = rows.assign(group(["10.0.0.1:80"]), health)
        }
        #expect(rows.reading(of: name, health)?.connectFailures == 6 && rows.reading(of: name, health)?.endpoints == [.active: 1])
        #expect(rows.names == [name] && rows.reading(of: Self.group("b").service, health) == nil)
    }
}
