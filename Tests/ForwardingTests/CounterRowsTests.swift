import Addressing
import Engine
import Routing
import Testing

@testable import Forwarding

struct CounterRowsTests {
    private func group(_ name: String) -> EndpointGroup {
        EndpointGroup(
            service: ServicePortName(namespace: "default", name: name, port: "", transport: .tcp), selection: .random,
            endpoints: [SocketAddress(.loopbackIPv4, PortNumber(80)!)])
    }

    /// The log names a Service by its row: a connection that was closed before the row got another owner is still the former one's.
    @Test func aRowIsItsFormerOwnersUntilItIsGivenToAnother() {
        let table = makeCounterTable()
        var rows = CounterRows()
        rows.begin([table])
        let first = rows.assign(group("first"))
        table.add(1, row: first.service, column: Column.connectionsActive)
        // Gone from the snapshot, but a connection is left: its row stays.
        for _ in 0..<3 { rows.begin([table]) }
        #expect(rows.service(of: UInt32(first.service))?.name == "first")
        table.subtract(1, row: first.service, column: Column.connectionsActive)
        var names: [String?] = []
        rows.begin([table]) { names = [$0.service(of: UInt32(first.service))?.name] }
        #expect(names == ["first"])
        let second = rows.assign(group("second"))
        #expect(second.service == first.service || second.endpoints == [first.service])
        #expect(rows.service(of: UInt32(first.service))?.name == "second")
        #expect(rows.endpoint(of: UInt32(second.endpoints[0])) == SocketAddress(.loopbackIPv4, PortNumber(80)!))
        #expect(rows.service(of: UInt32(Column.overflowRow)) == nil && rows.endpoint(of: 0) == nil)
    }
}
