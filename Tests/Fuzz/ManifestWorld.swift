import Addressing
import ControlPlane
import ObjectSources
import Routing
import ServiceModel

/// One file and a control plane that follows it, with so few addresses and ports that they run out.
struct ManifestWorld {
    private static let file = "fuzz.yaml"
    private static let serviceRanges = ["10.96.0.0/28", "fd00:10:96::/122"].compactMap { IPRange($0) }
    private static let nodePorts = PortNumber(30_000)!...PortNumber(30_015)!

    private(set) var findings: [String] = []
    private let strictness: Strictness
    private let reader: ManifestReader
    private var store = ManifestStore(holdsLosses: false)
    private var registry: ServiceRegistry
    private var allocations: Allocations
    private var compiler = SnapshotCompiler(node: LocalNode(name: "node-1", zone: "zone-1"))
    private var now: Int64 = 1_000_000
    /// Every version so far: what was refused keeps its last good one, and findings about that stand in there.
    private var texts: [PlacesOfText] = []

    init(strictness: Strictness) {
        self.strictness = strictness
        var limits = ManifestLimits()
        // Low enough for an input to reach them.
        limits.nestingMax = 24
        limits.documentsMax = 32
        limits.aliasNodesMax = 100
        reader = ManifestReader(limits: limits)
        registry = ServiceRegistry(strictness: strictness)
        allocations = Self.allocations()
    }

    private static func allocations() -> Allocations {
        do {
            return try Allocations(.init(serviceRanges: serviceRanges, nodePorts: nodePorts, acceptsLoopback: true), seed: 1)
        } catch {
            fatalError("\(error)")
        }
    }

    /// The file's next version.
    mutating func take(_ bytes: [UInt8]) {
        now += 60
        texts.append(PlacesOfText(bytes))
        let before = registry.services
        let state = read(bytes)
        allocations.expire(at: now)
        _ = registry.replaceAll(with: state.services, allocations: &allocations, at: now)
        check(!registry.refused.contains { before[$0] != registry.services[$0] }, "what was refused has changed what was in force")
        check(
            registry.replaceAll(with: state.services, allocations: &allocations, at: now).isEmpty,
            "the same Services again changed something")
        checkOwners()

        let objects = state.objects.filter { $0.key.kind != .service } + registry.services.values.map(\.object)
        let compilation = compiler.compile(objects)
        check(compiler.compile(objects).snapshot == nil, "the same objects again gave another snapshot")
        checkAnew(objects.reversed(), compilation)
        checkFrontends()
        checkPlaces(of: state.diagnostics + registry.diagnostics + compilation.notices)
        checkStatuses(state.diagnostics + registry.diagnostics)
        checkWritten()
    }

    /// The file is gone, and so is all that was given.
    mutating func end() {
        _ = registry.replaceAll(with: [], allocations: &allocations, at: now)
        allocations.expire(at: now + Allocations.retention)
        check(registry.services.isEmpty && registry.diagnostics.isEmpty, "Services were left behind")
        check(allocations.addressCount == 0 && allocations.portCount == 0, "addresses or ports were left behind")
        _ = compiler.compile([])
        check(compiler.snapshot.frontends.isEmpty, "frontends were left behind")
    }

    private mutating func read(_ bytes: [UInt8]) -> ManifestState {
        _ = store.apply(LoadedChange(roots: [LoadedRoot(path: Self.file)], files: [file(bytes, reader)]))
        return store.state
    }

    private func file(_ bytes: [UInt8], _ reader: ManifestReader) -> LoadedFile {
        LoadedFile(reader.read(bytes, file: Self.file), path: Self.file, root: Self.file, strictness: strictness)
    }

    private mutating func check(_ isRight: Bool, _ finding: @autoclosure () -> String) {
        if !isRight { findings.append(finding()) }
    }

    // MARK: What must hold

    /// No address and no port of the nodes belongs to two Services. (Loopback addresses do, on purpose.)
    private mutating func checkOwners() {
        var addresses: [IPAddress: ServiceKey] = [:]
        var ports: [PortNumber: ServiceKey] = [:]
        for (key, manifest) in registry.services {
            let held = Allocation(of: manifest.service)
            for address in held.clusterIPs where !address.isLoopback {
                check(Self.serviceRanges.contains { $0.contains(address) }, "\(key) has \(address), which is in no range")
                if let other = addresses.updateValue(key, forKey: address) { check(false, "\(address) belongs to \(key) and \(other)") }
            }
            for port in Set(held.nodePorts.values).union([held.healthCheckNodePort].compactMap(\.self)) {
                check(Self.nodePorts.contains(port), "\(key) has port \(port), which is not in the range")
                if let other = ports.updateValue(key, forKey: port) { check(false, "port \(port) belongs to \(key) and \(other)") }
            }
        }
    }

    /// A compiler without a past comes to the same, in whatever order it is given the objects.
    private mutating func checkAnew(_ objects: [KubernetesObject], _ compilation: Compilation) {
        var other = SnapshotCompiler(node: LocalNode(name: "node-1", zone: "zone-1"))
        let anew = other.compile(objects)
        check(
            compiler.snapshot.frontends.mapValues(FrontendContent.init) == other.snapshot.frontends.mapValues(FrontendContent.init),
            "compiled anew, the snapshot is another one")
        check(compilation.probes == anew.probes, "compiled anew, the probes are others")
        let others = Set(compilation.notices).symmetricDifference(anew.notices)
        check(others.isEmpty, "compiled anew, the notices are others: \(others.map(\.description))")
    }

    /// Each frontend belongs to a Service in force that has such a port, and leads to none of the others.
    private mutating func checkFrontends() {
        let frontends = compiler.snapshot.frontends
        for (key, frontend) in frontends {
            let name = frontend.group.service
            let service = registry.services[ServiceKey(namespace: name.namespace, name: name.name)]?.service
            check(
                service?.ports.contains { port in
                    port.name == name.port && port.transport == key.transport && [port.port, port.nodePort].contains(key.address.port)
                } ?? false, "\(key) belongs to \(name), which doesn't have it")
            for endpoint in frontend.group.endpoints where frontends[FrontendKey(endpoint.address, key.transport)] != nil {
                check(false, "\(key) leads to \(endpoint.address), another frontend")
            }
        }
    }

    private mutating func checkPlaces(of diagnostics: [Diagnostic]) {
        for diagnostic in diagnostics {
            let place = diagnostic.location
            check(place.file == Self.file && texts.contains { $0.contains(place) }, "not a place of the file: \(diagnostic)")
            check(!diagnostic.message.isEmpty, "a finding says nothing at \(place)")
        }
    }

    /// What an API server would answer is JSON, and as such can be read.
    private mutating func checkStatuses(_ diagnostics: [Diagnostic]) {
        let statuses = Status.all(diagnostics).map(\.json.text)
        guard !statuses.isEmpty else { return }
        let lines = statuses.joined(separator: "\n")
        let text = ManifestReader().read(Array(lines.utf8), file: Self.file)
        check(text.diagnostics.isEmpty && text.documents.count == statuses.count, "not JSON: \(lines)")
    }

    /// What `ringway get -o yaml` shows of Services in force can be read, and means the same. Left out are those that an API server takes
    /// as an update and refuses as a new one, too.
    private mutating func checkWritten() {
        let services = registry.services.filter { !$0.value.service.canOnlyBeUpdated }
        var inventory = Inventory()
        inventory.update(ObjectChange(changed: services.values.map(\.object)), changed: [], removed: [], now: now)
        for format in [Inventory.Format.yaml, .json] {
            let text = inventory.services(as: format) ?? ""
            var other = ServiceRegistry(strictness: strictness)
            var given = Self.allocations()
            let file = file(Array(text.utf8), ManifestReader())
            let manifests = file.declarations.compactMap { if case .service(let manifest) = $0.version { manifest } else { nil } }
            _ = other.replaceAll(with: manifests, allocations: &given, at: now)
            let errors = (file.diagnostics + file.declarations.flatMap(\.diagnostics) + other.diagnostics).filter { $0.severity == .error }
            check(errors.isEmpty, "written down, Services are refused: \(errors)\n\(text)")
            guard errors.isEmpty else { return }
            for (key, manifest) in services {
                let (was, metadata) = (manifest.service.withoutPlaces, manifest.metadata)
                let now = other.services[key]
                check(now?.service.withoutPlaces == was, "written down, \(key) means something else:\n\(text)")
                check(
                    now.map { $0.metadata.labels == metadata.labels && $0.metadata.annotations == metadata.annotations } ?? false,
                    "written down, \(key) has other labels or annotations:\n\(text)")
            }
        }
    }
}

extension Service {
    /// One node port for two numbers, on different protocols: a new Service shares one between entries of the same number alone.
    fileprivate var canOnlyBeUpdated: Bool {
        ports.contains { one in one.nodePort != nil && ports.contains { $0.nodePort == one.nodePort && $0.port != one.port } }
    }
}

/// What a frontend says, without the identity of its group.
private struct FrontendContent: Equatable {
    let origin: Frontend.Origin
    let service: ServicePortName
    let settings: EndpointGroup.Settings
    let endpoints: [Endpoint]

    init(_ frontend: Frontend) {
        origin = frontend.origin
        service = frontend.group.service
        settings = frontend.group.settings
        endpoints = frontend.group.endpoints
    }
}

extension Service {
    fileprivate var withoutPlaces: Service {
        var service = self
        for index in ports.indices { service.ports[index].location = SourceLocation(file: "") }
        return service
    }
}

/// The places that a text has.
struct PlacesOfText {
    private let lengths: [Int]
    /// It has line ends that YAML knows and editors of code don't: lines are counted by YAML's.
    private let hasOtherLineEnds: Bool
    private let count: Int

    init(_ bytes: [UInt8]) {
        lengths = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map(\.count)
        count = bytes.count
        hasOtherLineEnds = bytes.contains { $0 == UInt8(ascii: "\r") || $0 == 0xc2 || $0 == 0xe2 }
    }

    /// Columns are characters; the place behind the last one of a line, and of the text, is one, too.
    func contains(_ place: SourceLocation) -> Bool {
        guard place.line >= 1, place.column >= 1 else { return false }
        if hasOtherLineEnds { return place.line + place.column <= count + 2 }
        return place.line <= lengths.count && place.column <= lengths[place.line - 1] + 1
    }
}
