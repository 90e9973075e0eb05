import Foundation
import Glibc
import Testing

/// `ringway get`, asked as `kubectl get` is.
extension EndToEndTests {
    @Suite struct GetTests {
        private static func get(_ ringway: RunningRingway, _ arguments: [String]) throws -> ChildProcess.Outcome {
            try ChildProcess.run([RunningRingway.binary, "get", "--admin-socket", ringway.adminSocket] + arguments)
        }

        /// A line's cells; columns are three spaces apart at least.
        private static func cells(_ line: some StringProtocol) -> [String] {
            line.replacingOccurrences(of: "   +", with: "\t", options: .regularExpression).components(separatedBy: "\t")
        }

        @Test func servicesAndEndpointsAreShownAndFollowed() throws {
            let (port, other) = (try FreePort.take(), try FreePort.take())
            let directory = try TemporaryDirectory()
            func web(_ created: String) -> String {
                """
                apiVersion: v1
                kind: Service
                metadata: {name: web, namespace: shop, creationTimestamp: "\(created)", annotations: {ringway.dev/endpoints: "127.0.0.1:9"}}
                spec: {selector: {app: web}, externalIPs: [127.0.0.1], ports: [{name: http, port: \(port)}]}

                """
            }
            let idle = """
                apiVersion: v1
                kind: Service
                metadata: {name: idle}
                spec: {clusterIP: None, ports: [{port: \(other)}]}

                """
            try directory.replace("web.yaml", with: web("2001-01-01T00:00:00Z") + "---\n" + idle)
            try withRingway("epoll", [directory.path("web.yaml")], directory: directory) { ringway in
                let shop = try Self.get(ringway, ["services", "-n", "shop"])
                let lines = shop.output.split(separator: "\n").map(Self.cells)
                #expect(shop.isSuccess && lines.count == 2)
                #expect(lines.first == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"])
                var cells = try #require(lines.last)
                // The address is one that it was given, out of 10.96.0.0/12.
                #expect(cells.remove(at: 2).hasPrefix("10."))
                #expect(cells.dropLast() == ["web", "ClusterIP", "127.0.0.1", "\(port)/TCP"])
                #expect(lines.last?.last?.hasSuffix("y") == true, "\(lines)")

                let all = try Self.get(ringway, ["svc", "-A", "-o", "wide"]).output.split(separator: "\n").map(Self.cells)
                #expect(all.map(\.first) == ["NAMESPACE", "default", "shop"] && all.map(\.last) == ["SELECTOR", "<none>", "app=web"])
                #expect(all[1].prefix(6) == ["default", "idle", "ClusterIP", "None", "<none>", "\(other)/TCP"])

                let endpoints = try Self.get(ringway, ["ep", "web", "-n", "shop"]).output.split(separator: "\n").map(Self.cells)
                #expect(endpoints.map { Array($0.prefix(2)) } == [["NAME", "ENDPOINTS"], ["web", "127.0.0.1:9"]])
                #expect(try Self.get(ringway, ["svc", "-n", "shop", "-o", "name"]).output == "service/web\n")

                let missing = try Self.get(ringway, ["services", "web", "idle"])
                #expect(missing.exit == .code(1) && missing.error == "Error from server (NotFound): services \"web\" not found\n")
                #expect(missing.output.contains("idle"), "what is there is shown")
                let nothing = try Self.get(ringway, ["endpointslices"])
                #expect(nothing.isSuccess && nothing.error == "No resources found in default namespace.\n")

                // What it writes can be read again, and says the same then.
                for format in ["json", "yaml"] {
                    let written = try Self.get(ringway, ["svc", "-A", "-o", format])
                    try directory.replace("written.\(format)", with: written.output)
                    let check = try ChildProcess.run([RunningRingway.binary, "check", directory.path("written.\(format)")])
                    #expect(check.output.hasPrefix("ok: 2 services"), "\(check.error)\(check.output)\(written.output)")
                }
                #expect(
                    try Self.get(ringway, ["svc", "web", "-n", "shop", "-o", "yaml"]).output.contains("creationTimestamp: \"2001-01-01"))
                #expect(try Self.get(ringway, ["svc", "web", "-o", "json"]).exit == .code(1))

                let watch = try ChildProcess(
                    [RunningRingway.binary, "get", "--admin-socket", ringway.adminSocket, "svc", "-A", "-w"], in: directory)
                defer { watch.end() }
                func seen() -> [[String]] { watch.output.split(separator: "\n").map { Array(Self.cells($0).prefix(6)) } }
                try waitUntil("what is there is shown") { seen().count == 3 }
                try directory.replace(
                    "web.yaml", with: web("2001-01-01T00:00:00Z").replacingOccurrences(of: "127.0.0.1]", with: "127.0.0.2]"))
                try waitUntil("the change and the end of another are shown") { seen().count == 5 }
                let news = seen().suffix(2).map { "\($0[1]) \($0[4])" }
                #expect(news == ["web 127.0.0.2", "idle <none>"])
            }
        }

        @Test func withoutARunningProcessTheRemedyIsNamed() throws {
            let outcome = try ChildProcess.run([RunningRingway.binary, "get", "svc", "--admin-socket", "/tmp/ringway-nobody"])
            #expect(outcome.exit == .code(1) && outcome.error.contains("start one with `ringway run`"))
        }
    }
}
