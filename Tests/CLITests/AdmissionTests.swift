import Addressing
import ControlPlane
import ObjectSources
import ServiceModel
import StateStore
import Synchronization
import Testing

@testable import CLI

/// Services on their way from the files to those who serve them, with a store that the test can make fail.
struct AdmissionTests {
    private final class Disk: Sendable {
        private struct State {
            var records: [ServiceKey: AllocationRecord] = [:]
            var isFull = false
            var writes = 0
        }

        private let state = Mutex(State())

        var names: Set<String> { state.withLock { Set($0.records.keys.map(\.name)) } }
        var records: [ServiceKey: AllocationRecord] { state.withLock { $0.records } }
        var writes: Int { state.withLock { $0.writes } }
        var isFull: Bool {
            get { state.withLock { $0.isFull } }
            set { state.withLock { $0.isFull = newValue } }
        }

        var store: ServiceAdmission.Store {
            ServiceAdmission.Store(file: "state.db") { [self] changes throws(StateStoreError) in
                try state.withLock { state throws(StateStoreError) in
                    guard !state.isFull else { throw .failed(file: "state.db", reason: "the disk is full") }
                    for (key, record) in changes { state.records[key] = record }
                    state.writes += 1
                }
            }
        }
    }

    private struct World {
        let disk: Disk
        var admission: ServiceAdmission
        var now: Int64 = 1000

        init(_ disk: Disk = Disk(), serviceCIDR: String = "10.96.0.0/24") throws {
            self.disk = disk
            let range = try #require(IPRange(serviceCIDR))
            let (first, last) = (try #require(PortNumber(30_000)), try #require(PortNumber(30_009)))
            admission = ServiceAdmission(
                allocations: try Allocations(.init(serviceRanges: [range], nodePorts: first...last), seed: 1))
            admission.resume(from: disk.records, keepingIn: disk.store)
        }

        /// The names and the rest of the specs of a file, and the Services that are served afterwards.
        mutating func admit(_ specs: [String: String], _ diagnostics: [Diagnostic] = []) throws -> [String: Service] {
            var change = sources.apply(LoadedChange(roots: [LoadedRoot(path: "f.yaml")], files: [file(specs)]))
            change.diagnostics += diagnostics
            state = admission.admit(change, at: now)
            for key in state.change.removed { services[key.name] = nil }
            for object in state.change.changed {
                if case .service(let service) = object.body { services[object.metadata.name] = service }
            }
            return services
        }

        var state = ServiceAdmission.Admitted()
        var messages: [String] { state.diagnostics.map(\.message) }
        private var services: [String: Service] = [:]
        private var sources = ManifestStore()

        private func file(_ specs: [String: String]) -> LoadedFile {
            let text = specs.sorted { $0.key < $1.key }.map { name, spec in
                "apiVersion: v1\nkind: Service\nmetadata: {name: \(name)}\nspec: {\(spec)}\n"
            }.joined(separator: "---\n")
            let documents = ManifestReader().read(Array(text.utf8), file: "f.yaml").documents
            let objects = documents.flatMap { ObjectDecoder.decode($0, strictness: .ringway, judgesServices: false) }
            return LoadedFile(path: "f.yaml", root: "f.yaml", declarations: objects.map { Declaration($0) })
        }
    }

    private static let plain = "ports: [{port: 80}]"
    private static let nodePort = "type: NodePort, ports: [{port: 80}]"

    @Test func nothingIsServedBeforeItIsKept() throws {
        var world = try World()
        let first = try world.admit(["a": Self.plain, "b": Self.nodePort])
        #expect(world.disk.names == ["a", "b"] && world.disk.writes == 1)
        #expect(try world.admit(["a": Self.plain, "b": Self.nodePort]) == first)
        #expect(world.disk.writes == 1, "nothing has changed")

        world.disk.isFull = true
        // One gains a port, one comes, one goes, one changes in what nobody allocates.
        let specs = ["a": Self.nodePort, "c": Self.plain, "b": Self.nodePort + ", selector: {app: b}"]
        let second = try world.admit(specs)
        #expect(second["a"] == first["a"], "it goes on as it was")
        #expect(second["c"] == nil)
        #expect(second["b"]?.selector == ["app": "b"])
        #expect(world.messages == ["can't write or read state.db: the disk is full; what Services are given waits for it"])
        #expect(world.state.rejectedObjects == 2)
        #expect(world.admission.nextAdmission(after: world.now) == world.now + 10)
        #expect(try world.admit(specs) == second)
        #expect(try world.admit([:]).isEmpty, "what is gone is gone")
        #expect(try world.admit(specs)["a"] == nil)

        world.disk.isFull = false
        let third = try world.admit(specs)
        #expect(Set(third.keys) == ["a", "b", "c"] && world.messages == [] && world.state.rejectedObjects == 0)
        #expect(third["a"]?.clusterIPs == first["a"]?.clusterIPs && third["a"]?.ports.first?.nodePort != nil)
        #expect(world.disk.names == ["a", "b", "c"] && world.disk.records.values.allSatisfy { $0.goneSince == nil })
        #expect(world.admission.nextAdmission(after: world.now) == nil)
    }

    @Test func aFullDiskAtTheStartLeavesWhatIsKeptAlready() throws {
        var before = try World()
        let first = try before.admit(["a": Self.nodePort])
        before.disk.isFull = true
        var after = try World(before.disk)
        #expect(try after.admit(["a": Self.nodePort, "b": Self.plain]) == first)
    }

    @Test func whatHasGoneIsReleasedWhenItIsTimeAndLetsOthersIn() throws {
        var world = try World(serviceCIDR: "10.96.0.0/30")
        _ = try world.admit(["a": Self.plain, "b": Self.plain])
        #expect(try world.admit(["b": Self.plain, "c": Self.plain]).keys.sorted() == ["b"], "there are two addresses")
        #expect(world.admission.nextAdmission(after: world.now) == 1600)
        world.now = 1600
        #expect(try world.admit(["b": Self.plain, "c": Self.plain]).keys.sorted() == ["b", "c"])
        #expect(world.disk.names == ["b", "c"] && world.admission.nextAdmission(after: world.now) == nil)
    }

    @Test func servicesOfAnEarlierRunHaveGoneOnlyOnceEverythingCouldBeRead() throws {
        var before = try World()
        let first = try before.admit(["a": Self.plain, "b": Self.plain])
        let address = try #require(first["a"]?.clusterIPs.first)
        let wishing = "clusterIP: \(address), ports: [{port: 80}]"
        var after = try World(before.disk)
        let unreadable = Diagnostic(severity: .error, location: SourceLocation(file: "other.yaml"), message: "permission denied")
        #expect(
            try after.admit(["b": Self.plain, "c": wishing], [unreadable]).mapValues(\.clusterIPs) == ["b": first["b"]?.clusterIPs])
        #expect(after.disk.names == ["a", "b"] && after.admission.nextAdmission(after: after.now) == nil)
        #expect(try after.admit(["b": Self.plain, "c": wishing])["c"]?.clusterIPs == [address], "now it is known")
        #expect(after.disk.names == ["b", "c"])
    }

    @Test func whatIsRefusedIsNotKept() throws {
        var world = try World()
        _ = try world.admit(["a": "type: NodePort, sessionAffinity: Perhaps, ports: [{port: 80}]"])
        #expect(world.disk.names == [] && world.disk.writes == 0 && world.state.rejectedObjects == 1)
    }

    @Test func withoutAStoreNothingWaits() throws {
        var world = try World()
        world.admission.stopKeeping()
        #expect(try world.admit(["a": Self.plain]).count == 1)
        #expect(world.disk.writes == 0 && world.admission.nextAdmission(after: world.now) == nil)
    }

    @Test(arguments: [(nil, nil), ("/var/lib/ringway", "/var/lib/ringway"), ("/a:/b", "/a")] as [(String?, String?)])
    func theDirectoryOfSystemdIsTheDefault(variable: String?, path: String?) {
        #expect(StateDirectoryArgument.ofEnvironment { $0 == "STATE_DIRECTORY" ? variable : nil }.path == path)
        #expect(StateDirectoryArgument(argument: "none")?.path == nil)
        #expect(StateDirectoryArgument(argument: "/x")?.path == "/x")
        #expect(StateDirectoryArgument(argument: "") == nil)
    }
}
