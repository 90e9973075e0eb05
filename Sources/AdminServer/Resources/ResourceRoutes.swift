internal import ControlPlane
internal import FoundationEssentials
internal import Hummingbird
internal import NIOCore

/// What there is, under the paths and in the forms of the Kubernetes API: `/api/v1/services`, `/api/v1/namespaces/shop/services/web`, the
/// same of `endpoints` and, under `/apis/discovery.k8s.io/v1`, of `endpointslices`. With `?watch=true` a line for each change.
struct ResourceRoutes {
    let store: InventoryStore

    func add(to router: Router<AdminRequestContext>) {
        for kind in ResourceKind.allCases {
            let root = kind == .endpointslices ? "/apis/discovery.k8s.io/v1" : "/api/v1"
            for path in ["\(root)/\(kind)", "\(root)/namespaces/:namespace/\(kind)", "\(root)/namespaces/:namespace/\(kind)/:name"] {
                router.get(RouterPath(path)) { request, context in try answer(kind, request, context) }
            }
        }
    }

    private func answer(_ kind: ResourceKind, _ request: Request, _ context: AdminRequestContext) throws -> Response {
        let selection = Selection(
            kind: kind, namespace: context.parameters.get("namespace"), name: context.parameters.get("name"))
        guard request.headers[.accept]?.contains("as=Table") == true else { return try whole(selection, request) }
        guard request.uri.queryParameters["watch"] != "true" else { return try watch(selection, context) }
        let inventory = store.inventory
        let rows = selection.rows(of: inventory)
        if rows.isEmpty, let name = selection.name { return try Self.failure(.notFound(kind, name)) }
        return try Self.json(.ok, TableDocument(kind, rows, version: inventory.version, now: Self.now))
    }

    /// The objects themselves: a list is a `List`, as kubectl prints it.
    private func whole(_ selection: Selection, _ request: Request) throws -> Response {
        guard selection.kind == .services else { return try Self.failure(.onlyTables) }
        let isYAML = request.headers[.accept]?.contains("yaml") == true
        let text = store.inventory.services(as: isYAML ? .yaml : .json, namespace: selection.namespace, name: selection.name)
        guard let text else { return try Self.failure(.notFound(selection.kind, selection.name ?? "")) }
        return Response(
            status: .ok, headers: [.contentType: isYAML ? "application/yaml" : "application/json", .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }

    private func watch(_ selection: Selection, _ context: AdminRequestContext) throws -> Response {
        guard let (signals, continuation) = store.watch() else { return try Self.failure(.tooManyWatch) }
        // Whoever is gone is found out by a write: lines come all the time.
        let heart = Task {
            while (try? await Task.sleep(for: Self.heartbeat)) != nil { continuation.yield() }
        }
        return Response(
            status: .ok, headers: [.contentType: "application/json"],
            body: ResponseBody { [store] writer in
                defer {
                    heart.cancel()
                    continuation.finish()
                }
                var told = Told(selection: selection)
                for await _ in signals {
                    for event in told.events(of: store.inventory, now: Self.now) {
                        try await writer.write(ByteBuffer(bytes: JSONEncoder().encode(event) + [0x0a]))
                    }
                }
                try await writer.finish(nil)
            })
    }

    static let heartbeat = Duration.seconds(10)
    private static var now: Int64 { Int64(Date().timeIntervalSince1970) }

    static func failure(_ status: StatusDocument) throws -> Response { try json(.init(code: status.code), status) }

    static func json(_ status: HTTPResponse.Status, _ value: some Encodable) throws -> Response {
        Response(
            status: status, headers: [.contentType: "application/json", .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: try JSONEncoder().encode(value) + [0x0a])))
    }
}

/// Which objects somebody asks for.
struct Selection {
    var kind: ResourceKind
    var namespace: String?
    var name: String?

    func rows(of inventory: Inventory) -> [ResourceTable.Row] { inventory.rows(of: kind, namespace: namespace, name: name) }
}

/// What a watcher has been told. A slow one is told less often, and never something old.
struct Told {
    private struct Key: Hashable {
        let namespace: String
        let name: String

        init(_ row: ResourceTable.Row) {
            namespace = row.namespace
            name = row.name
        }
    }

    let selection: Selection
    private var rows: [ResourceTable.Row] = []
    private var version: UInt64?

    init(selection: Selection) { self.selection = selection }

    mutating func events(of inventory: Inventory, now: Int64) -> [WatchEvent] {
        func event(_ type: WatchEvent.Kind, _ row: ResourceTable.Row?) -> WatchEvent {
            WatchEvent(type: type, object: TableDocument(selection.kind, row.map { [$0] } ?? [], version: inventory.version, now: now))
        }
        guard version != inventory.version else { return [event(.bookmark, nil)] }
        let isFirst = version == nil
        version = inventory.version
        let next = selection.rows(of: inventory)
        var before = Dictionary(uniqueKeysWithValues: rows.map { (Key($0), $0) })
        var events: [WatchEvent] = []
        for row in next {
            guard let old = before.removeValue(forKey: Key(row)) else {
                events.append(event(.added, row))
                continue
            }
            if old != row { events.append(event(.modified, row)) }
        }
        for row in rows where before[Key(row)] != nil { events.append(event(.deleted, row)) }
        rows = next
        return isFirst ? events + [event(.bookmark, nil)] : events
    }
}
