import Addressing
import ControlPlane
import FoundationEssentials
import ServiceModel
import Testing

@testable import AdminServer

struct ResourceTests {
    private static func service(_ name: String, namespace: String = "default", _ address: String = "10.96.0.1") -> KubernetesObject {
        var service = Service()
        service.clusterIPs = [IPAddress(address)!]
        return KubernetesObject(
            metadata: ObjectMetadata(name: name, namespace: namespace), body: .service(service),
            location: SourceLocation(file: "test.yaml", line: 1, column: 1))
    }

    private static func update(_ inventory: inout Inventory, _ objects: [KubernetesObject]) {
        let keys = objects.map { ServiceKey(namespace: $0.metadata.namespace, name: $0.metadata.name) }
        inventory.update(ObjectChange(from: inventory.keys, to: objects), changed: keys, removed: [], now: 1000)
    }

    private static func told(_ events: [WatchEvent]) -> [String] {
        events.map { ([$0.type.rawValue] + $0.object.rows.map { "\($0.cells[0]) \($0.cells[2])" }).joined(separator: " ") }
    }

    @Test func aWatcherIsToldWhatChangesAndNothingElse() {
        var inventory = Inventory()
        var told = Told(selection: Selection(kind: .services, namespace: "default"))
        Self.update(&inventory, [Self.service("a"), Self.service("b"), Self.service("c", namespace: "other")])
        #expect(Self.told(told.events(of: inventory, now: 1001)) == ["ADDED a 10.96.0.1", "ADDED b 10.96.0.1", "BOOKMARK"])
        #expect(Self.told(told.events(of: inventory, now: 1100)) == ["BOOKMARK"], "an age is no change")
        Self.update(&inventory, [Self.service("b", "10.96.0.9"), Self.service("d"), Self.service("c", namespace: "other", "10.96.0.3")])
        #expect(
            Self.told(told.events(of: inventory, now: 1101)) == ["MODIFIED b 10.96.0.9", "ADDED d 10.96.0.1", "DELETED a 10.96.0.1"])
        Self.update(&inventory, [Self.service("b", "10.96.0.9"), Self.service("d")])
        #expect(Self.told(told.events(of: inventory, now: 1102)) == [])
    }

    @Test(.timeLimit(.minutes(5))) func tablesAndWatchesComeOverTheSocket() async throws {
        let directory = "/tmp/ringway-test-\(UInt32.random(in: 0...UInt32.max))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let subject = AdminSubject(report: { preconditionFailure("nobody asks for it") })
        let store = subject.inventory
        store.update { Self.update(&$0, [Self.service("web"), Self.service("db", namespace: "shop")]) }
        let server = try await AdminServer(on: .socket(directory + "/admin.sock"), subject: subject)
        let client = AdminClient.patient(directory + "/admin.sock")

        func names(_ namespace: String?, _ name: String?) async throws -> [String] {
            switch try await client.table(of: .services, namespace: namespace, name: name) {
            case .success(let table): table.rows.map { "\($0.object.metadata.namespace)/\($0.object.metadata.name)" }
            case .failure(let refusal): ["\(refusal.reason): \(refusal.message)"]
            }
        }
        #expect(try await names(nil, nil) == ["default/web", "shop/db"])
        #expect(try await names("shop", nil) == ["shop/db"])
        #expect(try await names("shop", "db") == ["shop/db"])
        #expect(try await names("default", "db") == ["NotFound: services \"db\" not found"])
        #expect(try await names("empty", nil) == [])
        #expect(try await client.get("/api/v1/namespaces/shop/services").body.contains("\"kind\": \"List\""))
        #expect(try await client.get("/api/v1/endpoints").status == 406, "there is no more of them than a table")
        #expect(
            try await client.get("/apis/discovery.k8s.io/v1/endpointslices", accept: "application/json;as=Table").body.contains(
                "AddressType"))

        var heard: [String] = []
        // The end of the server is the end of the watch.
        let watch = try await client.watch(.services, namespace: "default", name: nil) { event in
            heard += Self.told([event])
            if event.type == .bookmark { store.update { Self.update(&$0, [Self.service("web", "10.96.0.2")]) } }
            if event.type == .modified { Task { await server.stop(within: .milliseconds(10)) } }
        }
        #expect(watch == nil)
        #expect(heard.prefix(3) == ["ADDED web 10.96.0.1", "BOOKMARK", "MODIFIED web 10.96.0.2"])
    }

    @Test func tooManyWatchersAreTurnedAwayAndThoseThatLeaveMakeRoom() {
        let store = InventoryStore()
        var watchers = (0..<InventoryStore.watchersMax).map { _ in store.watch() }
        #expect(watchers.allSatisfy { $0 != nil } && store.watch() == nil)
        watchers.removeLast()?.continuation.finish()
        #expect(store.watch() != nil)
    }
}
