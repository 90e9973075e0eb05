internal import Addressing
internal import Routing
internal import ServiceModel

/// Which Service port gets each frontend that any Service asks for. A change costs what one Service asks for.
struct FrontendClaims {
    struct Claim {
        var service: ServiceKey
        /// Index into the plan's ports.
        var port: Int
        var origin: Frontend.Origin
    }

    /// By precedence: where two ask for one frontend the first by namespace, name and place in the Service wins: the order must not
    /// depend on files, or a restart would move the address.
    private var claims: [FrontendKey: [Claim]] = [:]
    /// Frontends that are asked for more than once.
    private var contested: Set<FrontendKey> = []

    func winner(of key: FrontendKey) -> Claim? { claims[key]?.first }

    /// Takes what a Service asks for from now on, in place of what it asked for before.
    ///
    /// - Returns: the frontends that may be another Service's now, or another port's.
    mutating func replace(_ service: ServiceKey, _ old: ServicePlan?, with new: ServicePlan?) -> Set<FrontendKey> {
        var touched: Set<FrontendKey> = []
        for listen in old?.ports.lazy.flatMap(\.listens) ?? [] where touched.insert(listen.key).inserted {
            claims[listen.key]?.removeAll { $0.service == service }
            if claims[listen.key]?.isEmpty == true { claims[listen.key] = nil }
        }
        for (index, port) in (new?.ports ?? []).enumerated() {
            for listen in port.listens {
                touched.insert(listen.key)
                var all = claims[listen.key] ?? []
                // A nodePort that a port of the same Service asks for twice is one listener all the same.
                guard !all.contains(where: { $0.service == service && $0.port == index }) else { continue }
                let place = all.firstIndex { service < $0.service } ?? all.count
                all.insert(Claim(service: service, port: index, origin: listen.origin), at: place)
                claims[listen.key] = all
            }
        }
        for key in touched {
            if (claims[key]?.count ?? 0) > 1 { contested.insert(key) } else { contested.remove(key) }
        }
        return touched
    }

    /// One for each frontend that two ask for.
    func notices(_ plan: (ServiceKey) -> ServicePlan?) -> [Diagnostic] {
        contested.flatMap { key -> [Diagnostic] in
            guard let all = claims[key], let winner = all.first else { return [] }
            let holder = plan(winner.service)?.ports[winner.port].name.description ?? winner.service.description
            return all.dropFirst().compactMap { claim in
                guard let port = plan(claim.service)?.ports[claim.port] else { return nil }
                return Diagnostic(
                    severity: .error, location: port.location,
                    object: ObjectKey(kind: .service, namespace: claim.service.namespace, name: claim.service.name),
                    message: "Service \(port.name) can't have \(key) (\(claim.origin.rawValue)): Service \(holder) has it; "
                        + "give one of them another address or port")
            }
        }
    }

    /// Whether what is sent to `endpoint` would arrive at one of our frontends.
    func catches(_ endpoint: SocketAddress, _ transport: TransportProtocol) -> Bool {
        FrontendAddresses.catches(endpoint, transport) { claims[$0] != nil }
    }
}

/// Addresses that we listen on, to tell an endpoint that is ourselves.
struct FrontendAddresses {
    private var exact: Set<FrontendKey> = []

    var isEmpty: Bool { exact.isEmpty }

    mutating func insert(_ key: FrontendKey) { exact.insert(key) }

    func catches(_ endpoint: SocketAddress, _ transport: TransportProtocol) -> Bool { Self.catches(endpoint, transport, exact.contains) }

    /// Whether what is sent to `endpoint` would arrive at one of the addresses, by the same protocol. A listener on any address also
    /// catches loopback; which other addresses are the host's own is not known here.
    static func catches(_ endpoint: SocketAddress, _ transport: TransportProtocol, _ contains: (FrontendKey) -> Bool) -> Bool {
        if contains(FrontendKey(endpoint, transport)) { return true }
        guard endpoint.address.isLoopback else { return false }
        let any = endpoint.address.family == .ipv4 ? IPAddress.anyIPv4 : .anyIPv6
        return contains(FrontendKey(SocketAddress(any, endpoint.port), transport))
    }
}
