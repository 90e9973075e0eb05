internal import Addressing
internal import Routing
internal import ServiceModel

/// What two snapshots mean for listeners, endpoints and the connections that are open.
struct RoutingDifference {
    private(set) var listeners: [ChangePreview.Listener] = []
    private(set) var ports: [ChangePreview.Port] = []
    private(set) var connections = ChangePreview.Connections()

    /// One of the two snapshots, as the workers get it.
    struct Side {
        var frontends: PersistentDictionary<FrontendKey, Frontend>
        /// Addresses that Services were given, in a range that is not this host's own.
        var unreachable: Set<FrontendKey> = []
        /// Those that could not be opened.
        var failed: Set<FrontendKey> = []

        subscript(key: FrontendKey) -> Frontend? { unreachable.contains(key) ? nil : frontends[key] }

        func isOpen(_ key: FrontendKey) -> Bool { !failed.contains(key) && self[key]?.isOpen == true }
    }

    /// - Parameters:
    ///   - touched: the frontends that may differ.
    ///   - name: what a frontend is called.
    ///   - open: the connections of some Service ports.
    init(
        from before: Side, to after: Side, touched: Set<FrontendKey>, name: (FrontendKey, Frontend) -> String,
        open: (Set<ServicePortName>) -> [ServicePortName: OpenConnections]
    ) {
        var concerned: Set<ServicePortName> = []
        for key in touched.sorted(by: { ($0.address, $0.transport.rawValue) < ($1.address, $1.transport.rawValue) }) {
            let (old, new) = (before[key], after[key])
            if let old, let new, old.routes(as: new), old.origin == new.origin { continue }
            concerned.formUnion([old, new].compactMap { $0?.group.service })
            if let listener = Self.listener(key, from: before, to: after, name: name) { listeners.append(listener) }
        }
        let open = open(concerned)
        let (former, next) = (ServedPort.all(concerned, in: before), ServedPort.all(concerned, in: after))
        for port in concerned.sorted() { compare(port, former[port], next[port], open[port] ?? OpenConnections()) }
        connections.touched = connections.parts.reduce(0) { $0 + ($1.fate == .goOn ? 0 : $1.count) }
    }

    private static func listener(
        _ key: FrontendKey, from before: Side, to after: Side, name: (FrontendKey, Frontend) -> String
    ) -> ChangePreview.Listener? {
        let (old, new) = (before.frontends[key], after.frontends[key])
        guard let frontend = new ?? old else { return nil }
        var listener = ChangePreview.Listener(
            frontend: name(key, frontend), change: .opened, service: frontend.group.service.description, origin: frontend.origin.rawValue)
        if let new, !after.isOpen(key) {
            listener.reason =
                after.unreachable.contains(key)
                ? "virtual addresses are not this host's own" : new.group.endpoints.isEmpty ? "no endpoint" : "every endpoint has weight 0"
        }
        switch (before.isOpen(key), after.isOpen(key)) {
        case (false, true): break
        case (true, false): listener.change = .closed
        case (true, true):
            guard let old, let new, old.group.service != new.group.service else { return nil }
            listener.change = .moved
        case (false, false):
            guard new != nil, old == nil else { return nil }
            listener.change = .unserved
        }
        return listener
    }

    private mutating func compare(_ name: ServicePortName, _ old: ServedPort?, _ new: ServedPort?, _ open: OpenConnections) {
        let (before, after) = (old ?? ServedPort(), new ?? ServedPort())
        var port = ChangePreview.Port(
            service: name.description, transport: name.transport.rawValue, change: old == nil ? .added : new == nil ? .removed : .changed)
        port.endpoints = after.weights.count
        port.connections = open.total
        let gone = before.weights.keys.filter { after.weights[$0] == nil }.sorted()
        port.endpointsAdded = after.weights.keys.filter { before.weights[$0] == nil }.sorted().map { .init(address: $0.description) }
        port.endpointsRemoved = gone.map { .init(address: $0.description, connections: open.byEndpoint[$0] ?? 0) }
        if old != nil, new != nil {
            port.settingsChange =
                before.settings != after.settings || before.weights.contains { (after.weights[$0] ?? $1) != $1 }
            guard !port.endpointsAdded.isEmpty || !gone.isEmpty || port.settingsChange else { return }
        }
        ports.append(port)

        func add(
            _ count: UInt64, _ fate: ChangePreview.Connections.Fate, of endpoint: SocketAddress? = nil, after time: Duration? = nil
        ) {
            guard count > 0 else { return }
            connections.parts.append(
                .init(
                    service: port.service, transport: port.transport, endpoint: endpoint?.description, count: count, fate: fate,
                    seconds: time.map { $0 / .seconds(1) }))
        }
        let isDatagrams = name.transport == .udp
        if old != nil, new == nil {
            switch (isDatagrams, before.settings.resetsAfterDeletion) {
            case (true, _): add(open.total, .end)
            case (false, nil): add(open.total, .goOn)
            case (false, .zero?): add(open.total, .reset)
            case (false, let time?): add(open.total, .drain, after: time)
            }
        } else if isDatagrams, !after.isOpen {
            if before.isOpen { add(open.total, .end) }
        } else {
            for endpoint in gone { add(open.byEndpoint[endpoint] ?? 0, isDatagrams ? .rebind : .goOn, of: endpoint) }
        }
    }
}

/// What is served of one Service port, on all of its frontends together.
private struct ServedPort {
    var weights: [SocketAddress: UInt16] = [:]
    var settings = EndpointGroup.Settings()
    var isOpen = false

    static func all(_ ports: Set<ServicePortName>, in side: RoutingDifference.Side) -> [ServicePortName: ServedPort] {
        var result: [ServicePortName: ServedPort] = [:]
        for (key, frontend) in side.frontends where ports.contains(frontend.group.service) && !side.unreachable.contains(key) {
            for group in frontend.groups {
                for endpoint in group.endpoints { result[group.service, default: ServedPort()].weights[endpoint.address] = endpoint.weight }
                result[group.service, default: ServedPort()].settings = group.settings
            }
            if side.isOpen(key) { result[frontend.group.service]?.isOpen = true }
        }
        return result
    }
}
