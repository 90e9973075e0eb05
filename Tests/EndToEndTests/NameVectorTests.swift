import Foundation
import Fuzz
import Testing

/// What a cluster's DNS server has answered, asked of the running program over UDP and TCP.
///
/// A server that hasn't seen its objects is played by a file that isn't there, a filter of namespaces by leaving out what it hides; nothing
/// that is asked goes by whether Services without endpoints are hidden.
extension EndToEndTests {
    @Suite(.enabled(if: NameVectors.isPresent, "dns.json is not there: set RINGWAY_VECTORS"))
    struct NameVectorTests {
        @Test(arguments: NameVectors.suites)
        func theAnswersAreAClusters(suite: NameVectors.Suite) throws {
            let directory = try TemporaryDirectory()
            try directory.replace("objects.json", with: suite.manifests)
            let port = try FreePort.take()
            let config = suite.config
            let options = [
                "--dns-listen", "127.0.0.1:\(port)", "--cluster-domain", String(config.zones[0].dropLast()), "--dns-ttl", "\(config.ttl)",
                "--dns-upstream", "none", "--dns-pods", config.pods, "--service-cidr",
                "\(suite.hasReverseZones ? "192.168.0.0/16" : "10.96.0.0/12"),fd00:10:96::/108",
            ]
            let roots = [directory.path("objects.json")] + (config.state == nil ? [] : [directory.path("missing.json")])
            try withRingway(Engines.available[0], roots, options: options, directory: directory) { _ in
                let client = NameClient("127.0.0.1", port)
                for test in suite.cases {
                    for overTCP in [false, true] {
                        let message = try client.ask(test.qname, test.qtype, overTCP: overTCP)
                        let name = "\(test.id): \(test.qname) \(test.qtype)\(overTCP ? " over TCP" : "")"
                        #expect(NameVectors.codes[message.code] == test.rcode, "\(name)")
                        #expect(message.isAuthoritative == test.aa, "\(name)")
                        #expect(NameVectors.lines(message.answers) == NameVectors.lines(test.answer), "\(name)")
                        #expect(NameVectors.lines(message.authorities) == NameVectors.lines(test.authority), "\(name)")
                        #expect(NameVectors.lines(message.additionals) == NameVectors.lines(test.additional), "\(name)")
                    }
                }
            }
        }
    }
}

enum NameVectors {
    struct Record: Decodable, Sendable {
        let name: String
        let ttl: UInt32
        let type: String
        let rdata: String
    }

    struct Case: Decodable, Sendable {
        let id: String
        let qname: String
        let qtype: String
        let rcode: String
        let aa: Bool
        let answer: [Record]
        let authority: [Record]
        let additional: [Record]
    }

    struct Configuration: Decodable, Sendable {
        let zones: [String]
        let pods: String
        let ttl: UInt32
        let namespaces: [String]?
        let state: String?
    }

    struct Suite: Decodable, Sendable, CustomTestStringConvertible {
        let name: String
        let fixture: String
        let config: Configuration
        let cases: [Case]
        /// Of the fixture, as a List.
        var manifests = ""

        private enum CodingKeys: CodingKey { case name, fixture, config, cases }

        var testDescription: String { "\(name), \(cases.count) cases" }

        var hasReverseZones: Bool { config.zones.count > 1 }
    }

    private static let file: URL = {
        let project = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let folder =
            ProcessInfo.processInfo.environment["RINGWAY_VECTORS"].map { URL(filePath: $0) }
            ?? project.deletingLastPathComponent().appending(path: "shared/vectors")
        return folder.appending(path: "dns.json")
    }()
    static let isPresent = FileManager.default.isReadableFile(atPath: file.path)
    static let codes: [UInt16: String] = [0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"]

    private struct Contents: Decodable { let suites: [Suite] }

    static let suites: [Suite] = {
        guard let data = try? Data(contentsOf: file), let contents = try? JSONDecoder().decode(Contents.self, from: data),
            let tree = (try? JSONSerialization.jsonObject(with: data)) as? [String: Any], let fixtures = tree["fixtures"] as? [String: Any]
        else { return [] }
        return contents.suites.map { suite in
            var suite = suite
            let all = (fixtures[suite.fixture] as? [String: Any])?["objects"] as? [[String: Any]] ?? []
            let objects = all.filter { object in
                let metadata = object["metadata"] as? [String: Any]
                guard let namespace = metadata?["namespace"] as? String else { return true }
                return suite.config.namespaces?.contains(namespace) ?? true
            }
            let list: [String: Any] = ["apiVersion": "v1", "kind": "List", "items": objects]
            suite.manifests = (try? JSONSerialization.data(withJSONObject: list)).map { String(decoding: $0, as: UTF8.self) } ?? ""
            return suite
        }
    }()

    /// As multisets; of an SOA its owner, TTL and name server, of an SRV all but the weight.
    static func lines(_ records: [Record]) -> [String] {
        records.map { line($0.name, $0.ttl, $0.type, $0.rdata) }.sorted()
    }

    static func lines(_ records: [DNSMessage.Record]) -> [String] {
        records.map { line($0.name, $0.ttl, $0.typeName, $0.data) }.sorted()
    }

    private static func line(_ name: String, _ ttl: UInt32, _ type: String, _ data: String) -> String {
        var words = data.split(separator: " ").map(String.init)
        if type == "SOA" { words = Array(words.prefix(1)) }
        if type == "SRV" { words.remove(at: 1) }
        return "\(name) \(ttl) \(type) \(words.joined(separator: " "))"
    }
}
