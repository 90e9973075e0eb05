internal import Addressing
internal import Routing
internal import ServiceModel

/// Which Service port gets each frontend that any Service asks for.
struct FrontendClaims {
    struct Claim {
        var service: ServiceKey
        /// Index into the plan's ports.
        var port: Int
        var origin: Frontend.Origin
    }

    private(set) var winners: [FrontendKey: Claim] = [:]
    private(set) var addresses = FrontendAddresses()
    /// One for each frontend that two ask for.
    private(set) var notices: [Diagnostic] = []

    init() {}

    /// Where two ask for one frontend the first by namespace, name and place in the Service wins: the order must not depend on
    /// files, or a restart would move the address.
    init(_ plans: [ServiceKey: ServicePlan]) {
        for (service, plan) in plans.sorted(by: { $0.key < $1.key }) {
            for (index, port) in plan.ports.enumerated() {
                for listen in port.listens {
                    guard let winner = winners[listen.key] else {
                        winners[listen.key] = Claim(service: service, port: index, origin: listen.origin)
                        addresses.insert(listen.key)
                        continue
                    }
                    // A nodePort that a port of the same Service asks for twice is one listener all the same.
                    if winner.service == service, winner.port == index { continue }
                    let holder = plans[winner.service]?.ports[winner.port].name.description ?? winner.service.description
                    notices.append(
                        Diagnostic(
                            severity: .error, location: port.location,
                            object: ObjectKey(kind: .service, namespace: service.namespace, name: service.name),
                            message: "Service \(port.name) can't have \(listen.key) (\(listen.origin.rawValue)): Service \(holder) has it; "
                                + "give one of them another address or port"))
                }
            }
        }
    }
}

/// The addresses we listen on, to tell an endpoint that is ourselves.
struct FrontendAddresses: Equatable {
    private var exact: Set<FrontendKey> = []

    var isEmpty: Bool { exact.isEmpty }

    mutating func insert(_ key: FrontendKey) { exact.insert(key) }

    func symmetricDifference(_ other: FrontendAddresses) -> FrontendAddresses {
        var result = FrontendAddresses()
        result.exact = exact.symmetricDifference(other.exact)
        return result
    }

    /// Whether what is sent to `endpoint` would arrive at one of the addresses, by the same protocol. A listener on any address also
    /// catches loopback; which other addresses are the host's own is not known here.
    func contains(_ endpoint: SocketAddress, _ transport: TransportProtocol) -> Bool {
        if exact.contains(FrontendKey(endpoint, transport)) { return true }
        guard endpoint.address.isLoopback else { return false }
        let any = endpoint.address.family == .ipv4 ? IPAddress.anyIPv4 : .anyIPv6
        return exact.contains(FrontendKey(SocketAddress(any, endpoint.port), transport))
    }
}
