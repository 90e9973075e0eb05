import Addressing
import Foundation
import Fuzz
import Routing
import Testing

@testable import DNS

/// Questions, and what a cluster's DNS server answered to them.
struct DNSVector: Sendable, CustomTestStringConvertible {
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
        let ignoreEmptyService: Bool?
        let localIPs: [String]?
        /// "apiserver never synced…"
        let state: String?
    }

    struct Suite: Decodable, Sendable {
        let name: String
        let fixture: String
        let config: Configuration
        let cases: [Case]
    }

    let suite: Suite
    let test: Case
    /// The fixture's objects, as a list in JSON.
    let manifests: String

    var testDescription: String { "\(test.id): \(test.qname) \(test.qtype)" }

    static let file: URL = {
        let project = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let folder =
            ProcessInfo.processInfo.environment["RINGWAY_VECTORS"].map { URL(filePath: $0) }
            ?? project.deletingLastPathComponent().appending(path: "shared/vectors")
        return folder.appending(path: "dns.json")
    }()
    static let isPresent = FileManager.default.isReadableFile(atPath: file.path)

    private struct Contents: Decodable { let suites: [Suite] }

    static let all: [DNSVector] = {
        guard let data = try? Data(contentsOf: file), let contents = try? JSONDecoder().decode(Contents.self, from: data),
            let tree = (try? JSONSerialization.jsonObject(with: data)) as? [String: Any], let fixtures = tree["fixtures"] as? [String: Any]
        else { return [] }
        return contents.suites.flatMap { suite in
            // A fixture that isn't there has no objects.
            let all = (fixtures[suite.fixture] as? [String: Any])?["objects"] as? [[String: Any]] ?? []
            // Where only some namespaces are to be seen, the others' objects are not there.
            let objects = all.filter { object in
                let metadata = object["metadata"] as? [String: Any]
                guard let namespace = metadata?["namespace"] as? String else { return true }
                return suite.config.namespaces?.contains(namespace) ?? true
            }
            let list: [String: Any] = ["apiVersion": "v1", "kind": "List", "items": objects]
            let text = (try? JSONSerialization.data(withJSONObject: list)).map { String(decoding: $0, as: UTF8.self) } ?? ""
            return suite.cases.map { DNSVector(suite: suite, test: $0, manifests: text) }
        }
    }()

    func makeWorld() throws -> World {
        var world = try World(manifests, domain: suite.config.zones[0], pods: try #require(PodNames(rawValue: suite.config.pods)))
        world.settings.ttl = suite.config.ttl
        world.settings.serverAddresses = (suite.config.localIPs ?? []).compactMap { IPAddress($0) }
        world.settings.hidesServicesWithoutEndpoints = suite.config.ignoreEmptyService ?? false
        world.settings.ownedRanges = suite.config.zones.dropFirst().compactMap { Self.range(of: $0) }
        return world
    }

    /// `0.10.in-addr.arpa.` is 10.0.0.0/16.
    static func range(of zone: String) -> IPRange? {
        let labels = Array(zone.split(separator: ".").dropLast(2).reversed())
        if zone.hasSuffix("in-addr.arpa.") {
            let octets = labels + Array(repeating: "0", count: 4 - labels.count)
            return IPRange("\(octets.joined(separator: "."))/\(labels.count * 8)")
        }
        let digits = Array((labels + Array(repeating: "0", count: 32 - labels.count)).joined())
        let groups = stride(from: 0, to: 32, by: 4).map { String(digits[$0..<$0 + 4]) }
        return IPAddress(groups.joined(separator: ":")).flatMap { IPRange($0, prefix: UInt8(labels.count * 4)) }
    }
}

@Suite(.enabled(if: DNSVector.isPresent, "dns.json is not there: set RINGWAY_VECTORS"))
struct DNSVectorTests {
    @Test func allOfThemAreRead() {
        #expect(DNSVector.all.count >= 40)
        #expect(DNSVector.range(of: "0.10.in-addr.arpa.")?.description == "10.0.0.0/16")
        #expect(DNSVector.range(of: "d.c.b.a.4.3.2.1.ip6.arpa.")?.description == "1234:abcd::/32")
    }

    @Test(arguments: DNSVector.all, [QueryTransport.udp, .tcp])
    func theAnswerIsAClusters(_ vector: DNSVector, _ transport: QueryTransport) throws {
        let world = try vector.makeWorld()
        var zone = world.zone
        zone.isSynced = vector.suite.config.state == nil
        let message = try world.ask(vector.test.qname, vector.test.qtype, over: transport, zone: zone)
        #expect(Packet.codeName(message.code) == vector.test.rcode)
        #expect(message.isAuthoritative == vector.test.aa)
        compare(message.answers, vector.test.answer)
        compare(message.authorities, vector.test.authority)
        compare(message.additionals, vector.test.additional)
    }

    /// As multisets; of an SOA its owner, TTL and name server; of an SRV all but the weight.
    private func compare(_ records: [DNSMessage.Record], _ expected: [DNSVector.Record]) {
        func line(_ name: String, _ ttl: UInt32, _ type: String, _ data: String) -> String {
            var words = data.split(separator: " ").map(String.init)
            if type == "SOA" { words = Array(words.prefix(1)) }
            if type == "SRV" { words.remove(at: 1) }
            return "\(name) \(type) \(words.joined(separator: " "))"
        }
        let lines = records.map { line($0.name, $0.ttl, $0.typeName, $0.data) }
        #expect(lines.sorted() == expected.map { line($0.name, $0.ttl, $0.type, $0.rdata) }.sorted())
        let ttls = Set(expected.map(\.ttl)).subtracting([303])
        if !ttls.isEmpty { #expect(Set(records.map(\.ttl)) == ttls) }
    }

    private struct Hostname: Decodable {
        let ip: String
        let hostname: String
        let expected: String
        let endpointPodNames: Bool
    }

    @Test func endpointsAreNamedAsInACluster() throws {
        struct Contents: Decodable { let endpointHostnameCases: [Hostname] }
        let cases = try JSONDecoder().decode(Contents.self, from: Data(contentsOf: DNSVector.file)).endpointHostnameCases
        #expect(cases.count >= 8)
        // Names of Pods are an option of that server that is off by default.
        for hostname in cases where !hostname.endpointPodNames || !hostname.hostname.isEmpty {
            let address = try #require(IPAddress(hostname.ip))
            let endpoint = ServiceNames.Endpoint(hostname: hostname.hostname, address: address)
            let names = ServiceNames(
                service: ServiceName(namespace: "n", name: "s"), kind: .headless, endpointSets: [.init(ports: [], endpoints: [endpoint])])
            let keys = NameRecords(names).entries.keys.map { DomainName(wire: $0 + [0]).description }
            #expect(keys.contains("\(hostname.expected).s.n.svc."))
        }
    }
}
