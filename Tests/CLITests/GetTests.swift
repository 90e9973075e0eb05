import AdminServer
import ArgumentParser
import ControlPlane
import FoundationEssentials
import Testing

@testable import CLI

struct GetTests {
    private static func table(_ rows: [[String]], namespace: String = "default") throws -> TableDocument {
        let columns = ["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector"].enumerated().map { index, name in
            "{\"name\":\"\(name)\",\"type\":\"string\",\"priority\":\(index == 6 ? 1 : 0)}"
        }
        let lines = rows.map { cells in
            """
            {"cells":[\(cells.map { "\"\($0)\"" }.joined(separator: ","))],"object":{"kind":"PartialObjectMetadata",
            "apiVersion":"meta.k8s.io/v1","metadata":{"name":"\(cells[0])","namespace":"\(namespace)"}}}
            """
        }
        let text = """
            {"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"1"},
            "columnDefinitions":[\(columns.joined(separator: ","))],"rows":[\(lines.joined(separator: ","))]}
            """
        return try JSONDecoder().decode(TableDocument.self, from: Data(text.utf8))
    }

    private static let rows = [
        ["kubernetes", "ClusterIP", "10.96.0.1", "<none>", "443/TCP", "12d", "<none>"],
        ["web", "LoadBalancer", "10.96.12.7", "<pending>", "8080:30914/TCP,53:31000/UDP", "5m3s", "app=web"],
    ]

    private static func text(_ output: ResourceOutput, showsNamespace: Bool = false) throws -> String {
        var printer = ResourcePrinter(kind: .services, output: output, showsNamespace: showsNamespace)
        return printer.text([try table(rows)])
    }

    @Test func servicesStandInTheColumnsOfKubectl() throws {
        #expect(
            try Self.text(.table) == """
                NAME         TYPE           CLUSTER-IP   EXTERNAL-IP   PORT(S)                       AGE
                kubernetes   ClusterIP      10.96.0.1    <none>        443/TCP                       12d
                web          LoadBalancer   10.96.12.7   <pending>     8080:30914/TCP,53:31000/UDP   5m3s

                """)
    }

    @Test func wideAddsTheSelectorAndAllNamespacesTheNamespace() throws {
        #expect(
            try Self.text(.wide, showsNamespace: true) == """
                NAMESPACE   NAME         TYPE           CLUSTER-IP   EXTERNAL-IP   PORT(S)                       AGE    SELECTOR
                default     kubernetes   ClusterIP      10.96.0.1    <none>        443/TCP                       12d    <none>
                default     web          LoadBalancer   10.96.12.7   <pending>     8080:30914/TCP,53:31000/UDP   5m3s   app=web

                """)
        #expect(try Self.text(.name) == "service/kubernetes\nservice/web\n")
    }

    @Test func linesThatFollowStandBelowTheOthers() throws {
        var printer = ResourcePrinter(kind: .services, output: .table, showsNamespace: false)
        let empty = try Self.table([])
        #expect(printer.text([]).isEmpty && printer.text([empty]).isEmpty, "no header without a row")
        let first = printer.text([try Self.table([Self.rows[0]])])
        let second = printer.text([try Self.table([["a", "ClusterIP", "10.96.0.2", "<none>", "1/TCP", "0s", "<none>"]])])
        #expect(
            first + second == """
                NAME         TYPE        CLUSTER-IP   EXTERNAL-IP   PORT(S)   AGE
                kubernetes   ClusterIP   10.96.0.1    <none>        443/TCP   12d
                a            ClusterIP   10.96.0.2    <none>        1/TCP     0s

                """)
    }

    @Test func noColumnIsNarrowerThanSixAndNoLineEndsInSpace() {
        var columns = ColumnWriter()
        #expect(columns.text([["a", "b", "c"], ["a", "", "d"]]) == "a     b     c\na           d\n")
        #expect(columns.text([["long-name", "b", "c"]]) == "long-name   b     c\n")
    }

    @Test(arguments: [
        (["pods"], "There is no resource \"pods\" here"), (["svc", "web", "-A"], "by name across all namespaces"),
        (["svc", "a", "b", "-w"], "Only one name can be watched"), (["svc", "../x"], "can't be a name"),
        (["svc", "-n", ""], "can't be a name"),
    ])
    func whatMakesNoSenseIsSaid(arguments: [String], problem: String) {
        let failure = #expect(throws: (any Error).self) { try GetCommand.parse(arguments) }
        #expect(failure.map { GetCommand.message(for: $0).contains(problem) } == true)
    }

    @Test func namesOptionsAndShortNamesAreTaken() throws {
        let command = try GetCommand.parse(["svc", "web", "db", "-n", "shop", "-o", "wide", "--admin-socket", "/tmp/a.sock"])
        #expect(command.resource == "svc" && command.names == ["web", "db"] && command.namespace == "shop" && command.output == .wide)
        #expect(try GetCommand.parse(["endpoints", "-A", "-w"]).allNamespaces)
    }
}
