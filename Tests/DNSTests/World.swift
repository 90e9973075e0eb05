import Addressing
import ControlPlane
import Fuzz
import ObjectSources
import Routing
import ServiceModel
import Testing

@testable import DNS

/// Manifests and the server that answers for them.
struct World {
    var settings: Responder.Settings
    private(set) var maker = ZoneMaker()
    private(set) var compiler: SnapshotCompiler
    private var serial: UInt32 = 1

    init(_ manifests: String = "", domain: String = "cluster.local", pods: PodNames = .disabled) throws {
        settings = Responder.Settings(domain: try #require(DomainName(domain)))
        settings.podNames = pods
        settings.ownedRanges = ["10.96.0.0/12", "fd00:10:96::/112"].compactMap { IPRange($0) }
        compiler = SnapshotCompiler(names: .servicesAndPods)
        if !manifests.isEmpty { try load(manifests) }
    }

    /// Of `Manifests.cluster`.
    static let cluster: World = {
        do {
            return try World(Manifests.cluster)
        } catch {
            fatalError("\(error)")
        }
    }()

    static func objects(_ manifests: String) throws -> [KubernetesObject] {
        let text = ManifestReader().read(Array(manifests.utf8), file: "test.yaml")
        #expect(text.diagnostics.map(\.message) == [])
        return try text.documents.flatMap { ObjectDecoder.decode($0) }.map { decoded in
            #expect(decoded.diagnostics.filter { $0.severity == .error }.map(\.message) == [])
            return try #require(decoded.object)
        }
    }

    /// Takes the complete set of objects.
    @discardableResult
    mutating func load(_ manifests: String) throws -> Compilation { take(try Self.objects(manifests)) }

    @discardableResult
    mutating func take(_ objects: [KubernetesObject]) -> Compilation {
        let compilation = compiler.compile(objects)
        serial += 1
        if let snapshot = compilation.snapshot { _ = maker.update(to: snapshot, serial: serial) }
        return compilation
    }

    var zone: Zone { maker.zone }

    func exchange(
        _ query: [UInt8], over transport: QueryTransport = .tcp, seed: UInt64 = 1, zone: Zone? = nil
    ) -> DNSExchange {
        DNSExchange(query, Responder(settings), zone ?? self.zone, over: transport, seed: seed)
    }

    /// Asks, and finds the reply to be what any reply must be.
    func ask(
        _ name: String, _ type: String = "A", over transport: QueryTransport = .tcp, payload: Int? = 4096, seed: UInt64 = 1,
        zone: Zone? = nil
    ) throws -> DNSMessage {
        let query = Packet.query(name, try #require(DNSMessage.type(named: type)), payload: payload)
        let exchange = exchange(query, over: transport, seed: seed, zone: zone)
        #expect(exchange.findings == [], "\(name) \(type)")
        return try #require(exchange.message)
    }

    /// `NOERROR`, or the first answers' data, sorted; what a test mostly wants to know.
    func answer(_ name: String, _ type: String = "A") throws -> [String] {
        let message = try ask(name, type)
        guard message.code == 0 else { return [Packet.codeName(message.code)] }
        return message.answers.map(\.data).sorted()
    }
}

/// Messages, byte by byte.
enum Packet {
    static func name(_ text: String) -> [UInt8] {
        text.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }

    static func number(_ number: Int) -> [UInt8] { [UInt8(number >> 8 & 0xff), UInt8(number & 0xff)] }

    static func header(id: Int = 0x1234, flags: Int = 0x0100, _ counts: [Int] = [1, 0, 0, 0]) -> [UInt8] {
        number(id) + number(flags) + counts.flatMap { number($0) }
    }

    static func opt(payload: Int = 1232, version: Int = 0, flags: Int = 0, data: [UInt8] = []) -> [UInt8] {
        [0] + number(41) + number(payload) + [0, UInt8(version)] + number(flags) + number(data.count) + data
    }

    /// - Parameter payload: nil: without EDNS.
    static func query(
        _ name: String, _ type: UInt16, class recordClass: Int = 1, payload: Int? = nil, flags: Int = 0x0100
    ) -> [UInt8] {
        header(flags: flags, [1, 0, 0, payload == nil ? 0 : 1]) + self.name(name) + number(Int(type)) + number(recordClass)
            + (payload.map { opt(payload: $0) } ?? [])
    }

    static func codeName(_ code: UInt16) -> String {
        [0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 16: "BADVERS"][code] ?? "\(code)"
    }
}
